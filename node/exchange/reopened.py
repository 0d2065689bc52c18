"""Streams that begin anew: what a reader does with them, and how an administrator opens them.

Where nobody can tell a restored node what it signed last, its streams would stay closed for ever. An administrator says
that it is so: each stream that still waits for a reader begins anew (`federation.generations`) with a record that names
the last known one. A reader gives up what it held beyond, shows the break as an alarm, and shows again what the subject
said before. The last of what it gave up it shows to other readers: who forked a stream does not hide that by a break.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from federation.acceptance import KEY_REVOKED, Record, is_own_word
from federation.documents import dump_document
from federation.errors import Conflict, InputRefused
from federation.generations import REOPENING, may_reopen
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.audit.events import SYSTEM
from node.context import Node
from node.exchange.shown import take_off
from node.stream.models import OriginBreak, StoredRecord
from node.stream.recovery import awaited_readers, end_if_answered, own_head, reopen
from node.stream.service import ABANDONED, CURRENT, PLACEHOLDER, UNPROVEN, append_record, get_federation

CODE = "stream-reopened"


def reopen_streams(node: Node, actor: Actor) -> dict[str, int]:
    """Open every own stream that still waits for a reader anew; return by stream the last place that is known.

    Raise NotPermitted; Conflict where nothing waits.
    """
    check_permission(actor, "sync.reopen")
    with node.database.write() as session:
        federation = get_federation(session, node)
        waiting = awaited_readers(session, node, federation)
        if not waiting:
            raise Conflict(
                "nothing-recovering",
                "没有等待恢复的交换流，无须重新开流。",
                "No stream waits to be recovered, so there is nothing to open anew.",
            )
        known = {}
        for stream in waiting:
            head = own_head(session, node, federation.id, stream)
            known[stream] = head.sequence if head else 0
            generation = reopen(session, node, federation.id, stream)
            append_record(
                session,
                node,
                federation=federation,
                stream=stream,
                kind=REOPENING,
                subject=f"{REOPENING}/{generation}",
                revision=1,
                supersedes="",
                schema=f"{REOPENING}.v1",
                content=dump_document({"known": known[stream]}),
            )
            at = node.clock()
            write_audit(
                session, account_id=actor.account_id, action="stream.reopen", subject=stream, at=at, known=known[stream]
            )
        end_if_answered(session, node, federation)
    return known


def take_reopening(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG001
    """Check that the record stands where a stream may begin anew (handler of kind `reopening`); raise InputRefused."""
    if not may_reopen(record.sequence):
        raise InputRefused("reopening-place", "此处不能重新开流。", "A stream does not begin anew at this place.")


def give_up(session: Session, node: Node, handlers: Mapping[str, Any], record: Record, known: int) -> int:
    """Give up what is held between `known` and the record that begins the stream anew; return how many records.

    What a subject said before, as far as its origin still knows it, is shown again.
    """
    rows = session.exec(
        select(StoredRecord)
        .where(StoredRecord.federation == record.federation, StoredRecord.origin == record.origin)
        .where(StoredRecord.stream == record.stream, StoredRecord.state != ABANDONED)
        .where(col(StoredRecord.sequence) > known, col(StoredRecord.sequence) < record.sequence)
        .order_by(col(StoredRecord.sequence).desc())
    ).all()
    _note_break(session, node, record, known, rows)
    shown = [row for row in rows if row.state == CURRENT]
    for row in rows:
        if row.state == PLACEHOLDER and not is_own_word(row.envelope):  # it is no record, to contradict one
            session.delete(row)
            continue
        row.state, row.code = ABANDONED, CODE
        session.add(row)
    session.flush()
    for row in shown:
        take_off(session, handlers, row)
    return len(rows)


def drop_unproven(session: Session, node: Node, record: Record) -> None:
    """Drop what a revoked key signed at a record's place and behind it, and nothing shows to be older.

    A key that stands signed the record, so a thief signed those, or their origin lost them. Both stay as evidence.
    """
    rows = session.exec(
        select(StoredRecord)
        .where(StoredRecord.federation == record.federation, StoredRecord.origin == record.origin)
        .where(StoredRecord.stream == record.stream, col(StoredRecord.sequence) >= record.sequence)
        .where(StoredRecord.state == UNPROVEN, StoredRecord.code == KEY_REVOKED)
        .order_by(col(StoredRecord.sequence).desc())
    ).all()
    _note_break(session, node, record, record.sequence - 1, rows, shown=True)  # and nobody spreads a thief's word
    for row in rows:
        session.delete(row)
    session.flush()


def _note_break(
    session: Session, node: Node, record: Record, known: int, rows: Sequence[StoredRecord], *, shown: bool = False
) -> None:
    """Note that a stream does not go on from what was held of it (`rows`, the last first), but from `known`."""
    last = next((row for row in rows if row.state != PLACEHOLDER), None)
    at = node.clock()
    session.add(
        OriginBreak(
            id=record.id,
            federation=record.federation,
            origin=record.origin,
            stream=record.stream,
            before=max((row.sequence for row in rows), default=known),
            after=known,
            first_envelope=last.envelope if last else b"",
            envelope=record.envelope,
            found_at=at,
            shown=shown or last is None,
        )
    )
    write_audit(
        session, account_id=SYSTEM, action="stream.reopened", subject=record.origin, at=at, known=known, held=len(rows)
    )
