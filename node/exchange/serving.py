"""What a peer may read of our log: deny by default, stored bytes verbatim, one page at a time.

A quarantined record is never served: our signed refusal stands in its place, so that it blocks nothing behind it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, or_, select

from federation.acceptance import ALL, HUB
from federation.keys import Member
from node.context import Node
from node.stream.models import Receipt, StoredRecord
from node.stream.service import PLACEHOLDER, QUARANTINED

MAX_ITEMS = 50


@dataclass(frozen=True)
class Page:
    """One page of the log for one reader: pairs (id, envelope) and the position to go on from."""

    enclosed: list[tuple[str, bytes]]
    cursor: int
    more: bool


def may_read(node: Node, member: Member, hub_id: str) -> ColumnElement[bool]:
    """Return the condition under which a record is for this reader; everything else is not.

    Only the hub serves what others have signed; a placeholder is another's refusal and is not passed on.
    """
    audiences = [col(StoredRecord.stream) == ALL, col(StoredRecord.stream) == f"node:{member.id}"]
    if member.is_hub:
        audiences.append(col(StoredRecord.stream) == HUB)
    allowed = (
        (col(StoredRecord.federation) == member.federation) & (col(StoredRecord.state) != PLACEHOLDER) & or_(*audiences)
    )
    return allowed if node.node_id == hub_id else allowed & (col(StoredRecord.origin) == node.node_id)


def read_page(session: Session, node: Node, member: Member, hub_id: str, cursor: int, limit: int = MAX_ITEMS) -> Page:
    """Return what follows position `cursor` for this reader: at most 50 records and 1 MiB, but at least one record."""
    where = (
        may_read(node, member, hub_id) & (col(StoredRecord.origin) != member.id) & (col(StoredRecord.position) > cursor)
    )
    return _page(session, node, where, cursor, limit)


def read_missing(session: Session, node: Node, member: Member, hub_id: str, wanted: dict[str, Any]) -> Page:
    """Return the records `first` to `last` of one stream of one origin; a node may ask for its own, after a restore."""
    own = (col(StoredRecord.federation) == member.federation) & (col(StoredRecord.origin) == member.id)
    where = (
        or_(may_read(node, member, hub_id), own)
        & (col(StoredRecord.origin) == wanted["origin"])
        & (col(StoredRecord.stream) == wanted["stream"])
        & col(StoredRecord.sequence).between(wanted["first"], wanted["last"])
    )
    return _page(session, node, where, 0, MAX_ITEMS)


def _page(session: Session, node: Node, where: ColumnElement[bool], cursor: int, limit: int) -> Page:
    settings = node.settings.exchange
    limit = min(limit, settings.page_records, MAX_ITEMS)
    order = (col(StoredRecord.position),)
    sizes = session.exec(
        select(StoredRecord.position, func.length(StoredRecord.envelope)).where(where).order_by(*order).limit(limit + 1)
    ).all()
    total, last, count = 0, cursor, 0
    for position, size in sizes[:limit]:
        if count and total + size > settings.page_bytes:
            break
        total, last, count = total + size, position, count + 1
    rows = session.exec(
        select(StoredRecord).where(where, col(StoredRecord.position) <= last).order_by(*order).limit(count)
    ).all()
    return Page([_served(session, row) for row in rows], last, more=len(sizes) > count)


def _served(session: Session, row: StoredRecord) -> tuple[str, bytes]:
    """Return the stored bytes, or our refusal in place of what we quarantined."""
    if row.state != QUARANTINED:
        return row.id, row.envelope
    receipt = session.get_one(Receipt, row.id)
    return receipt.id, receipt.envelope
