"""The waiting room (等候): documents that came too early, whose share of it that is, and which gaps must be asked for.

    verified     a gap before it, or the list has expired   room by its origin, in rows and bytes
    unverified   its key is unknown here                     room by who brought it, and for a time alone

So nobody fills another's room. Where an origin's own room is full the gap is remembered without the bytes: what lies in
it, and behind it, is asked for by `missing` as room comes. Nothing here judges a document.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, bindparam, func
from sqlalchemy import select as core_select
from sqlmodel import Session, col, delete, select

from federation.acceptance import Outcome, Record, Refusal
from federation.envelope import read_envelope
from federation.errors import NetworkError
from node.context import Node
from node.prepared import Prepared
from node.stream.memberlist import is_expired
from node.stream.models import Federation, Home, KnownGap, StoredRecord, WaitingDocument

EXPIRED, UNKNOWN, FULL = "list-expired", "key-unknown", "waiting-room-full"
MAX_OF_ORIGIN, MAX_BYTES_OF_ORIGIN = 2_000, 67_108_864
MAX_WAITING_OF_ONE = 200  # records of one origin while the member list has expired
MAX_UNKNOWN, MAX_UNKNOWN_BYTES = 200, 16_777_216  # of one deliverer
MAX_GAPS = 200  # streams of one origin
KEEP_UNKNOWN = timedelta(days=45)  # as long as a list lives: after that no list will name the key
_ANY = tuple(
    Prepared(core_select(column).where(federation == bindparam("federation")).limit(1))
    for column, federation in (
        (col(WaitingDocument.id), col(WaitingDocument.federation)),
        (col(KnownGap.last), col(KnownGap.federation)),
    )
)


@dataclass(frozen=True)
class Gap:
    """Records `first` to `last` of a stream are missing here, while a later one waits or is known of."""

    origin: str
    stream: str
    first: int
    last: int


def is_empty(session: Session, federation_id: str) -> bool:
    """Tell whether nothing waits: nearly always."""
    return not _ANY[0].all(session.connection(), {"federation": federation_id})


def check_room(session: Session, node: Node, federation_id: str, origin: str) -> None:
    """Raise NetworkError with a time to come back where the list has expired and enough of this origin's waits."""
    if not is_expired(session, federation_id, node.clock()):
        return
    if _used(session, federation_id, WaitingDocument.origin == origin)[0] >= MAX_WAITING_OF_ONE:
        raise NetworkError(
            EXPIRED,
            "成员名录已过期，须待更新后再收。",
            "The member list has expired; try again after it was renewed.",
            retry_after_seconds=3600,
        )


def keep_waiting(
    session: Session, node: Node, federation: Federation | Home, outcome: Outcome, envelope: bytes, *, via: str, by: str
) -> bool:
    """Keep a document that came too early, brought by the node `by`; tell whether there was room for it."""
    placed = outcome.record or outcome.refusal
    identity = outcome.record_id
    waits = session.get(WaitingDocument, identity)
    if waits is not None and waits.federation != federation.id:  # what another one was shown keeps nothing out here
        identity = f"{federation.id} {identity}"
        waits = session.get(WaitingDocument, identity)
    if waits is not None:
        return True
    if not _has_room(session, node, federation, placed, len(envelope), by):
        if placed is not None:
            _note_gap(session, federation, placed)
        return False
    session.add(
        WaitingDocument(
            id=identity,
            code=outcome.code,
            federation=federation.id,
            origin=placed.origin if placed else "",
            stream=placed.stream if placed else "",
            sequence=placed.sequence if placed else 0,
            keyids=" ".join(read_envelope(envelope).keyids),
            via=via,
            deliverer=by,
            envelope=envelope,
            since_at=node.clock(),
        )
    )
    session.flush()
    return True


def may_have_gaps(session: Session, federation_id: str) -> bool:
    """Tell whether anything waits or is known to be missing: nearly never."""
    return any(statement.all(session.connection(), {"federation": federation_id}) for statement in _ANY)


def find_gaps(session: Session, federation_id: str) -> list[Gap]:
    """Return what must be asked for (`POST /exchange/v1/missing`), per stream."""
    if not may_have_gaps(session, federation_id):
        return []
    until: dict[tuple[str, str], int] = {}
    waiting = select(WaitingDocument.origin, WaitingDocument.stream, func.min(WaitingDocument.sequence))
    waiting = waiting.where(WaitingDocument.federation == federation_id, WaitingDocument.code == "sequence-gap")
    for origin, stream, sequence in session.exec(
        waiting.group_by(WaitingDocument.origin, WaitingDocument.stream)
    ).all():
        until[origin, stream] = sequence - 1
    gaps = []
    for known in session.exec(select(KnownGap).where(KnownGap.federation == federation_id)).all():
        until.setdefault((known.origin, known.stream), known.last)
    for (origin, stream), last in sorted(until.items()):
        first = _head(session, federation_id, origin, stream) + 1
        if first <= last:
            gaps.append(Gap(origin, stream, first, last))
    return gaps


def _has_room(
    session: Session, node: Node, federation: Federation | Home, placed: Record | Refusal | None, size: int, by: str
) -> bool:
    if placed is not None:
        rows, total = _used(session, federation.id, WaitingDocument.origin == placed.origin)
        most = MAX_WAITING_OF_ONE if is_expired(session, federation.id, node.clock()) else MAX_OF_ORIGIN
        return rows < most and total + size <= MAX_BYTES_OF_ORIGIN
    late = and_(col(WaitingDocument.code) == UNKNOWN, col(WaitingDocument.since_at) < node.clock() - KEEP_UNKNOWN)
    session.execute(delete(WaitingDocument).where(late))
    brought = (col(WaitingDocument.origin) == "") & (col(WaitingDocument.deliverer) == by)
    rows, total = _used(session, federation.id, brought)
    return rows < MAX_UNKNOWN and total + size <= MAX_UNKNOWN_BYTES


def _used(session: Session, federation_id: str, whose: object) -> tuple[int, int]:
    """Return rows and bytes, for whatever reason: behind one that waits for the list the next ones wait too."""
    counted = select(func.count(), func.coalesce(func.sum(func.length(WaitingDocument.envelope)), 0))
    rows, total = session.exec(counted.where(WaitingDocument.federation == federation_id, whose)).one()  # type: ignore[arg-type]
    return rows, total


def _note_gap(session: Session, federation: Federation | Home, placed: Record | Refusal) -> None:
    key = (federation.id, placed.origin, placed.stream)
    known = session.get(KnownGap, key)
    if known is None:
        rows = session.exec(
            select(KnownGap).where(KnownGap.federation == federation.id, KnownGap.origin == placed.origin)
        ).all()
        filled = [row for row in rows if _head(session, row.federation, row.origin, row.stream) >= row.last]
        for row in filled:
            session.delete(row)
        if len(rows) - len(filled) >= MAX_GAPS:
            return
        known = KnownGap(federation=key[0], origin=key[1], stream=key[2])
    known.last = max(known.last, placed.sequence)
    session.add(known)
    session.flush()


def _head(session: Session, federation_id: str, origin: str, stream: str) -> int:
    found = select(func.max(StoredRecord.sequence)).where(
        StoredRecord.federation == federation_id, StoredRecord.origin == origin, StoredRecord.stream == stream
    )
    return session.exec(found).one() or 0
