"""What a peer may read of our log: deny by default, stored bytes verbatim, one page at a time.

Only the hub serves what others have signed, unless one asks for a place. A quarantined record is never served: our
signed refusal stands in its place, so that it blocks nothing behind it; the same for a release of whose dataflow the
grants do not let this reader read each node's figures. A placeholder is another's refusal and is not passed on. What is
sealed to others is served as it is, and an origin gets its own records as it signed them, whatever we think of them.
The statements are built once: this is the hot path of every round of every peer.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Select, String, and_, bindparam, func, or_, select
from sqlmodel import Session, col

from federation.acceptance import ALL, HUB
from federation.grants import Grants, dataflow_of
from federation.keys import Member
from node.context import Node
from node.exchange.receipts import build_stand_in, is_present, sign_again
from node.prepared import Prepared
from node.stream.listed import find_grants
from node.stream.models import Receipt, StoredRecord
from node.stream.service import ABANDONED, PLACEHOLDER, QUARANTINED, UNPROVEN

MAX_ITEMS = 50

_POSITION = col(StoredRecord.position)
_IS_QUARANTINED = col(StoredRecord.state) == QUARANTINED
_BLANK, _GROUPS = bindparam("blank", " ", type_=String), bindparam("groups", type_=String)  # ` group:a  group:b `
_TO_GROUP = func.replace(_GROUPS, _BLANK + col(StoredRecord.stream) + _BLANK, "", type_=String) != _GROUPS
_OF_FEDERATION = col(StoredRecord.federation) == bindparam("federation")
_SERVES = or_(bindparam("we_are_hub", type_=Boolean), col(StoredRecord.origin) == bindparam("we"))
_READABLE = and_(
    col(StoredRecord.state) != PLACEHOLDER,
    col(StoredRecord.state) != ABANDONED,
    or_(
        col(StoredRecord.stream) == ALL,
        col(StoredRecord.stream) == bindparam("to_reader"),
        and_(col(StoredRecord.stream) == HUB, bindparam("reader_is_hub", type_=Boolean)),
        _TO_GROUP,
    ),
)
_MAY_READ = and_(_READABLE, _SERVES)
_HELD = and_(  # any holder may answer for what is missing: else a fork that a colluding hub hides would stay hidden
    _READABLE,
    or_(_SERVES, and_(col(StoredRecord.state) != QUARANTINED, col(StoredRecord.state) != UNPROVEN)),
)
_AFTER = and_(
    # an expression, that SQLite may not search the whole federation by its key and sort: positions are in order
    func.coalesce(col(StoredRecord.federation), "") == bindparam("federation"),
    _MAY_READ,
    col(StoredRecord.origin) != bindparam("reader"),
    bindparam("cursor") < _POSITION,
)
_RANGE = and_(
    _OF_FEDERATION,
    or_(_HELD, and_(col(StoredRecord.origin) == bindparam("reader"), col(StoredRecord.state) != PLACEHOLDER)),
    col(StoredRecord.origin) == bindparam("origin"),
    col(StoredRecord.stream) == bindparam("stream"),
    col(StoredRecord.sequence).between(bindparam("first"), bindparam("last")),
    bindparam("cursor") < _POSITION,
)


def _sizes(where: ColumnElement[bool]) -> Select[Any]:
    found = select(_POSITION, func.length(col(StoredRecord.envelope))).where(where)
    return found.order_by(_POSITION).limit(bindparam("limit"))


def _rows(where: ColumnElement[bool]) -> Select[Any]:
    record = (
        col(StoredRecord.id),
        col(StoredRecord.state),
        col(StoredRecord.origin),
        col(StoredRecord.envelope),
        col(StoredRecord.kind),
        col(StoredRecord.subject),
    )
    columns: tuple[Any, ...] = (*record, col(Receipt.id), col(Receipt.envelope))
    found: Select[Any] = select(*columns).select_from(StoredRecord)
    found = found.outerjoin(Receipt, and_(col(Receipt.record_id) == col(StoredRecord.id), _IS_QUARANTINED))
    return found.where(where, bindparam("until") >= _POSITION).order_by(_POSITION)


_PAGE_AFTER = (Prepared(_sizes(_AFTER)), Prepared(_rows(_AFTER)))
_PAGE_RANGE = (Prepared(_sizes(_RANGE)), Prepared(_rows(_RANGE)))


@dataclass(frozen=True)
class Page:
    """One page of the log for one reader: pairs (id, envelope) and the position to go on from."""

    enclosed: list[tuple[str, bytes]]
    cursor: int
    more: bool


EMPTY_PAGE = Page([], 0, more=False)


def read_page(session: Session, node: Node, member: Member, hub_id: str, cursor: int, limit: int = MAX_ITEMS) -> Page:
    """Return what follows position `cursor` for this reader: at most 50 records and 1 MiB, but at least one record."""
    return _page(session, node, member, _PAGE_AFTER, {**_reader(node, member, hub_id), "cursor": cursor}, limit)


def read_missing(session: Session, node: Node, member: Member, hub_id: str, wanted: dict[str, Any]) -> Page:
    """Return the records `first` to `last` of one stream of one origin; a node may ask for its own, after a restore."""
    values = {**_reader(node, member, hub_id), "cursor": 0, **wanted}
    return _page(session, node, member, _PAGE_RANGE, values, MAX_ITEMS)


def _reader(node: Node, member: Member, hub_id: str) -> dict[str, Any]:
    return {
        "federation": member.federation,
        "reader": member.id,
        "to_reader": f"node:{member.id}",
        "reader_is_hub": member.is_hub,
        "groups": "".join(f" group:{group} " for group in member.groups),
        "we": node.node_id,
        "we_are_hub": node.node_id == hub_id,
    }


def _page(
    session: Session,
    node: Node,
    member: Member,
    statements: tuple[Prepared, Prepared],
    values: dict[str, Any],
    limit: int,
) -> Page:
    """Look at sizes first, so that no more is loaded than the page may hold."""
    limit = min(limit, node.settings.exchange.page_records, MAX_ITEMS)
    connection = session.connection()
    sizes = statements[0].all(connection, {**values, "limit": limit + 1})
    total, last, count = 0, values["cursor"], 0
    for position, size in sizes[:limit]:
        if count and total + size > node.settings.exchange.page_bytes:
            break
        total, last, count = total + size, position, count + 1
    rows = statements[1].all(connection, {**values, "until": last}) if count else []
    grants = find_grants(session, member.federation)
    enclosed = []
    for identity, state, origin, envelope, kind, subject, receipt_id, receipt in rows:
        if origin == member.id:
            enclosed.append((identity, envelope))
        elif state == QUARANTINED:
            enclosed.append(_refusal(session, node, identity, receipt_id, receipt))
        elif grants is None or may_have(grants, member, dataflow_of(kind, subject)):
            enclosed.append((identity, envelope))
        else:
            enclosed.append(build_stand_in(session, node, identity))
    return Page(enclosed, last, more=len(sizes) > count)


def _refusal(session: Session, node: Node, record_id: str, receipt_id: str, receipt: bytes) -> tuple[str, bytes]:
    if is_present(node, receipt):
        return receipt_id, receipt
    return sign_again(node, session.get_one(StoredRecord, record_id), session.get_one(Receipt, record_id))


def may_have(grants: Grants, member: Member, dataflow: str) -> bool:
    """Tell whether a reader of the stream may have what belongs to a dataflow, or to none (""), of each node."""
    return not dataflow or grants.may_read(member, dataflow)
