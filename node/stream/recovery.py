"""After a restore from an old backup: nothing is signed in a stream before its readers have said what they hold of it.

Whoever signs sequence 8 a second time contradicts itself for ever. So a node that is behind what it signed before

    learns it   from the high-water file beside its key (`node.mark`: the last sequence and id of each own stream,
                written when the commit is done), from the command `gonghui sync recover`, or from a peer that shows
                it its own signed records; what somebody merely claims counts for nothing
    waits       stream by stream, until each reader it sends that stream to has answered; other work goes on
    takes back  its own records from them, verified like any others, and then goes on where it was

The file is restored with the folder where all of it was copied: then only the command or a peer can tell. A machine
that was set back and signs before any contact is not stopped; its readers find the contradiction.
"""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import bindparam, event
from sqlalchemy import select as core_select
from sqlmodel import Field, Session, SQLModel, col, delete, func, select

from federation.errors import Conflict
from node.context import Node
from node.db import Counter, UtcDateTime
from node.prepared import Prepared
from node.stream.models import Federation, Peer, StoredRecord

MARK_FILE = "node.mark"
COMMAND, MARK, PEER = "command", "mark", "peer"
LEAP = 1_000_000  # positions: beyond what any reader can have seen of a log whose end was lost
_NODE = "node:"


class Recovery(SQLModel, table=True):
    """This node is finding out what it signed in a federation before it was restored."""

    federation: str = Field(primary_key=True)
    cause: str  # command, mark, peer
    since_at: datetime = Field(sa_type=UtcDateTime)


_RECOVERING = Prepared(core_select(col(Recovery.cause)).where(col(Recovery.federation) == bindparam("federation")))
_HEADS = Prepared(
    core_select(col(StoredRecord.stream), func.max(col(StoredRecord.sequence)))
    .where(col(StoredRecord.federation) == bindparam("federation"), col(StoredRecord.origin) == bindparam("origin"))
    .group_by(col(StoredRecord.stream))
)


class RecoveryAnswer(SQLModel, table=True):
    """A reader has shown all it holds of our streams since the recovery began."""

    __tablename__ = "recovery_answer"
    federation: str = Field(primary_key=True)
    peer_id: str = Field(primary_key=True)
    answered_at: datetime = Field(sa_type=UtcDateTime)


@dataclass(frozen=True)
class Head:
    """The last record of an own stream."""

    sequence: int
    id: str


def check_may_sign(session: Session, node: Node, federation: Federation, stream: str, head: Head | None) -> None:
    """Raise Conflict while it is not known what this node signed last in `stream`."""
    marked = _load_mark(node).get(f"{federation.id} {stream}")
    behind = marked is not None and marked.sequence > (head.sequence if head else 0)
    if not behind and session.get(Recovery, federation.id) is None:
        return
    missing = _missing_readers(session, node, federation, stream)
    if behind or missing:
        raise Conflict(
            "stream-recovering",
            "本节点从备份恢复，正在向对端取回自己已签名的条目，此前不能签名。请运行 gonghui sync run 后重试。",
            "This node was restored and has to get back what it signed: run `gonghui sync run`, then repeat.",
            readers=sorted(missing),
        )


def note_mark(session: Session, node: Node, federation_id: str, stream: str, head: Head) -> None:
    """Write the high-water mark as soon as this transaction is committed, before anybody is told."""
    name = f"{federation_id} {stream}"

    def write(committed: Session) -> None:
        if committed.in_nested_transaction():  # a savepoint is no commit
            return
        marks = _load_mark(node)
        if name not in marks or marks[name].sequence < head.sequence:
            marks[name] = head
            _write_mark(node, marks)

    event.listen(session, "after_commit", write)


def recognise(session: Session, node: Node) -> bool:
    """Begin to recover where the high-water file knows more than the database; tell whether that is so."""
    found = False
    for name, marked in _load_mark(node).items():
        federation_id, _, stream = name.partition(" ")
        head = own_head(session, node, federation_id, stream)
        behind = marked.sequence > (head.sequence if head else 0)
        if behind and session.get(Federation, federation_id) is not None:
            begin(session, node, federation_id, MARK)
            found = True
    return found


def begin(session: Session, node: Node, federation_id: str, cause: str, *, anew: bool = False) -> None:
    """Begin to recover; already begun, only `anew` forgets what readers answered."""
    if session.get(Recovery, federation_id) is not None and not anew:
        return
    session.execute(delete(RecoveryAnswer).where(col(RecoveryAnswer.federation) == federation_id))
    session.merge(Recovery(federation=federation_id, cause=cause, since_at=node.clock()))
    counter = session.get(Counter, "log", populate_existing=True)
    if counter is not None:  # readers' cursors may lie beyond our log's end
        counter.value += LEAP
        session.add(counter)
    session.flush()


def is_recovering(session: Session, federation_id: str) -> bool:
    """Tell whether this node still waits for readers of that federation."""
    return bool(_RECOVERING.all(session.connection(), {"federation": federation_id}))


def note_answer(session: Session, node: Node, federation: Federation, peer_id: str) -> None:
    """Note that a reader has shown all it holds of ours; end the recovery with the last one."""
    session.merge(RecoveryAnswer(federation=federation.id, peer_id=peer_id, answered_at=node.clock()))
    session.flush()
    streams = {"all", *own_heads(session, node, federation.id)}
    if not any(_missing_readers(session, node, federation, stream) for stream in streams):
        session.execute(delete(Recovery).where(col(Recovery.federation) == federation.id))


def own_head(session: Session, node: Node, federation_id: str, stream: str) -> Head | None:
    """Return the last record of an own stream."""
    row = session.exec(
        select(StoredRecord.sequence, StoredRecord.id)
        .where(StoredRecord.federation == federation_id, StoredRecord.origin == node.node_id)
        .where(StoredRecord.stream == stream)
        .order_by(col(StoredRecord.sequence).desc())
        .limit(1)
    ).first()
    return Head(*row) if row else None


def own_heads(session: Session, node: Node, federation_id: str) -> dict[str, int]:
    """Return the last sequence of each own stream."""
    return heads_of(session, federation_id, node.node_id)


def heads_of(session: Session, federation_id: str, origin: str) -> dict[str, int]:
    """Return the last sequence held of each stream of an origin."""
    return dict(_HEADS.all(session.connection(), {"federation": federation_id, "origin": origin}))


def _missing_readers(session: Session, node: Node, federation: Federation, stream: str) -> set[str]:
    answered = set(session.exec(select(RecoveryAnswer.peer_id).where(RecoveryAnswer.federation == federation.id)).all())
    return _readers(session, node, federation, stream) - answered


def _readers(session: Session, node: Node, federation: Federation, stream: str) -> set[str]:
    """Return whom this node itself gives a stream to: they hold all of it that anybody holds."""
    if stream.startswith(_NODE):
        return {stream.removeprefix(_NODE)}
    if federation.hub_id != node.node_id:
        return {federation.hub_id}
    members = select(Peer.id).where(Peer.federation == federation.id, Peer.status == "active")
    return set(session.exec(members).all()) - {node.node_id}


def _load_mark(node: Node) -> dict[str, Head]:
    """Return what the file says; nothing where it is missing or unreadable, as after a power cut."""
    try:
        told = json.loads((node.folder / MARK_FILE).read_bytes())
        return {name: Head(int(sequence), str(identity)) for name, (sequence, identity) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_mark(node: Node, marks: dict[str, Head]) -> None:
    path: Path = node.folder / MARK_FILE
    draft = path.with_name(f"{MARK_FILE}.{os.getpid()}.new")
    text = json.dumps({name: [head.sequence, head.id] for name, head in sorted(marks.items())}, indent=0)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)
    except OSError:  # the record is signed and kept; `doctor` looks after disks
        draft.unlink(missing_ok=True)
