"""What the hub says of releases, and who has reported what: reviews, and the matrix of members by period and dataflow.

A review is a signed record in the hub's stream to the release's origin, who reads it there with its next pull; a
changed mind is its next revision. A review changes no figure: what was returned for correction stays in the roll-up,
marked in the matrix, until its origin's next revision takes its place.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from federation.catalogue import load_catalogue
from federation.documents import dump_document
from federation.errors import Conflict, InputRefused, NotPermitted
from federation.periods import read_period
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import NODE_ID, Node
from node.db import Meta
from node.exchange.records import get_record
from node.exchange.shared import KIND as RELEASE
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.peers import list_peers
from node.stream.service import ABANDONED, CURRENT, EQUIVOCAL, QUARANTINED, append_record, find_own, read_content
from node.stream.standing import is_active, reports

KIND = "review"
ACCEPTED, RETURNED = "accepted", "returned"
MAX_NOTE = 500
MISSING, REPORTED, CONTRADICTED = "missing", "reported", "contradicted"
_FROM_ROWS = ("stock", "flow", "ratio")
_STATES = {CURRENT: REPORTED, QUARANTINED: QUARANTINED, EQUIVOCAL: CONTRADICTED}


@dataclass(frozen=True)
class Review:
    """The hub's present opinion of one record."""

    id: str
    record_id: str
    verdict: str
    note: str
    at: datetime
    revision: int


@dataclass(frozen=True)
class Column:
    """One dataflow of one period."""

    period: str
    dataflow: str


@dataclass(frozen=True)
class Cell:
    """What one member has reported in one column: its newest revision, however that was received.

    `state`: missing, reported, quarantined (`code` says why), contradicted. `shown_revision` is the revision whose
    figures count, 0 where none does; after a refused correction that is still the one before.
    """

    state: str = MISSING
    revision: int = 0
    record_id: str = ""
    code: str = ""
    issued_at: datetime | None = None
    received_at: datetime | None = None
    shown_revision: int = 0
    review: Review | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        review = self.review
        said = {"verdict": review.verdict, "note": review.note, "at": review.at, "id": review.id} if review else None
        return {**{name: value for name, value in vars(self).items() if name != "review"}, "review": said}


@dataclass(frozen=True)
class Line:
    """One member of the matrix."""

    member_id: str
    name: str
    code: str
    active: bool
    cells: tuple[Cell, ...]  # one a column


@dataclass(frozen=True)
class Matrix:
    """Members by period and dataflow; every member has a cell in every column."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...] = field(default=())

    def as_json(self) -> list[dict[str, Any]]:
        """Return one entry a cell."""
        return [
            {"member": line.member_id, "name": line.name, "code_901": line.code, "active": line.active}
            | vars(column)
            | cell.as_json()
            for line in self.lines
            for column, cell in zip(self.columns, line.cells, strict=True)
        ]


def review_release(node: Node, actor: Actor, record_id: str, verdict: str, note: str = "") -> Review:
    """Accept a member's release, or return it for correction with a note; the same again changes nothing.

    `record_id` may be how it begins. Raise NotPermitted, InputRefused, or Conflict where the release is quarantined,
    contradicted, or no longer the newest.
    """
    check_permission(actor, "review.write")
    note = _check_opinion(verdict, note)
    with node.database.write() as session:
        federation = get_own_federation(session, node)
        record = get_record(session, record_id)
        _check_reviewable(session, node, record)
        last = _find_reviews(session, node.node_id, [record.id]).get(record.id)
        if last is not None and (last.verdict, last.note) == (verdict, note):
            return last
        stored = append_record(
            session,
            node,
            federation=federation,
            stream=f"node:{record.origin}",
            kind=KIND,
            subject=_subject_of(record.id),
            revision=last.revision + 1 if last else 1,
            supersedes=last.id if last else "",
            schema="review.v1",
            content=dump_document({"record": record.id, "verdict": verdict, "note": note}),
        )
        at = node.clock()
        write_audit(
            session, account_id=actor.account_id, action="review.write", subject=record.id, at=at, verdict=verdict
        )
        return _read(stored)


def take_review(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
    """Check what the hub says of a record of ours (handler of kind `review`); raise InputRefused.

    Nothing else is stored: the record itself is what `sync status` shows. A record that we lost is still talked of.
    """
    reviewed = session.get(StoredRecord, content["record"])
    own_id = session.get_one(Meta, NODE_ID).value
    of_us = reviewed is not None and (reviewed.federation, reviewed.origin) == (record.federation, own_id)
    ours = reviewed is None or (of_us and reviewed.kind == RELEASE)
    if record.subject != _subject_of(content["record"]) or not ours:
        raise InputRefused("review-mismatch", "审核意见与条目不符。", "The review is not of a release of this node.")


def report_matrix(node: Node, actor: Actor, periods: Iterable[str] = ()) -> Matrix:
    """Return who has reported what, for these periods or for all of which anything came.

    A period that is named has a column for every dataflow that can be computed for it, though nobody has reported.
    Raise NotPermitted, and Conflict where this node is no hub.
    """
    check_permission(actor, "matrix.read")
    named = [read_period(label) for label in dict.fromkeys(periods)]
    with node.database.read() as session:
        federation = get_own_federation(session, node)
        known = {indicator.dataflow for indicator in load_catalogue().indicators.values()}
        records = defaultdict(list)
        for record in _load_releases(session, federation):
            dataflow, _, period = record.subject.partition("/")
            if dataflow in known and (not named or period in {item.label for item in named}):
                records[record.origin, Column(period, dataflow)].append(record)
        expected = {Column(item.label, dataflow) for item in named for dataflow in _computable(item.frequency)}
        columns = sorted({column for _, column in records} | expected, key=_order, reverse=True)
        reviews = _find_reviews(session, node.node_id)
        now = node.clock()
        reporters = {origin for origin, _ in records}
        lines = [
            _line(peer, [_cell(records[peer.id, column], reviews) for column in columns], now)
            for peer in list_peers(session, federation.id)
            if peer.id != node.node_id and ((is_active(peer, now) and reports(peer)) or peer.id in reporters)
        ]
    return Matrix(tuple(columns), tuple(lines))


def get_own_federation(session: Session, node: Node) -> Federation:
    """Return the federation whose hub this node is, whatever others it is in; raise Conflict where it is none."""
    federation = find_own(session, node)
    if federation is None:
        raise Conflict("not-hub", "只有汇总节点可以这样做。", "Only the hub can do this.")
    return federation


def _check_opinion(verdict: str, note: str) -> str:
    if verdict not in {ACCEPTED, RETURNED}:
        raise InputRefused(
            "review-verdict", "审核意见只有接受或退回修改。", "A review accepts a release or returns it for correction."
        )
    note = note.strip()
    if verdict == RETURNED and not note:
        raise InputRefused(
            "review-note-missing", "退回修改须写明要改什么。", "To return it, write a note on what to correct."
        )
    if len(note) > MAX_NOTE:
        raise InputRefused(
            "review-note-long", f"意见不超过 {MAX_NOTE} 字。", f"A note has at most {MAX_NOTE} characters."
        )
    return note


def _check_reviewable(session: Session, node: Node, record: StoredRecord) -> None:
    if record.kind != RELEASE:
        raise InputRefused("review-no-release", "只能审核发布条目。", "Only a release can be reviewed.")
    if record.origin == node.node_id:
        raise NotPermitted("review-own", "不能审核本节点自己的发布。", "A node does not review its own releases.")
    if record.state != CURRENT:
        raise Conflict(
            "review-not-current",
            "该条目在隔离区或自相矛盾，来源节点已从回执得知。",
            "The record is quarantined or contradicted; its origin knows from the receipt.",
        )
    newest = session.exec(
        select(StoredRecord.revision)
        .where(StoredRecord.federation == record.federation, StoredRecord.origin == record.origin)
        .where(StoredRecord.stream == record.stream, StoredRecord.subject == record.subject)
        .where(StoredRecord.state == CURRENT)
        .order_by(col(StoredRecord.revision).desc())
        .limit(1)
    ).first()
    if newest != record.revision:
        raise Conflict(
            "review-superseded", "该发布已有更新的修订，请审核最新修订。", "There is a newer revision; review that one."
        )


def _subject_of(record_id: str) -> str:
    return f"{KIND}:{record_id}"


def _find_reviews(session: Session, hub_id: str, record_ids: list[str] | None = None) -> dict[str, Review]:
    """Return the newest review of each record."""
    statement = select(StoredRecord).where(StoredRecord.origin == hub_id, StoredRecord.kind == KIND)
    if record_ids is not None:
        statement = statement.where(col(StoredRecord.subject).in_([_subject_of(identity) for identity in record_ids]))
    rows = session.exec(statement.order_by(col(StoredRecord.revision))).all()
    newest = {row.subject: row for row in rows}
    return {review.record_id: review for review in map(_read, newest.values())}


def _read(stored: StoredRecord) -> Review:
    content = read_content(stored)
    return Review(stored.id, content["record"], content["verdict"], content["note"], stored.issued_at, stored.revision)


def _load_releases(session: Session, federation: Federation) -> list[StoredRecord]:
    """Return all received releases without their envelopes, the newest revision of a subject last."""
    statement = select(StoredRecord).where(StoredRecord.federation == federation.id, StoredRecord.kind == RELEASE)
    statement = statement.where(StoredRecord.state != ABANDONED)
    return list(
        session.exec(
            statement.options(defer(StoredRecord.envelope)).order_by(  # type: ignore[arg-type]
                col(StoredRecord.revision), col(StoredRecord.position)
            )
        ).all()
    )


def _computable(frequency: str) -> set[str]:
    return {
        indicator.dataflow
        for indicator in load_catalogue().indicators.values()
        if indicator.dataflow and indicator.kind in _FROM_ROWS and frequency in indicator.frequencies
    }


def _order(column: Column) -> tuple[Any, ...]:
    return (read_period(column.period), column.dataflow)


def _line(peer: Peer, cells: list[Cell], now: datetime) -> Line:
    return Line(peer.id, peer.name, peer.code, is_active(peer, now), tuple(cells))


def _cell(records: list[StoredRecord], reviews: dict[str, Review]) -> Cell:
    if not records:
        return Cell()
    newest = records[-1]
    contradicted = max((record.revision for record in records if record.state == EQUIVOCAL), default=0)
    shown = [record.revision for record in records if record.state == CURRENT and record.revision > contradicted]
    return Cell(
        _STATES.get(newest.state, QUARANTINED),
        newest.revision,
        newest.id,
        newest.code,
        newest.issued_at,
        newest.stored_at,
        max(shown, default=0),
        reviews.get(newest.id),
    )
