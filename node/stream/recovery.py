"""After a restore from an old backup: nothing is signed in a stream before its readers have said what they hold of it.

Whoever signs sequence 8 a second time contradicts itself for ever. So a node that is behind what it signed before

    learns it   from the high-water file beside its key (`node.mark`: the last sequence and id of each own stream,
                written when the commit is done), from the command `gonghui sync recover`, or from a peer that shows
                it its own signed records; what somebody merely claims counts for nothing
                nor does what is signed with a key that a list calls ours and that we never had, or that was revoked:
                a parent, or a thief, could else stop us and write into our past
    waits       stream by stream, until each reader it sends that stream to has answered, over whatever way: in the
                answer to `ping`, or in a manifest made after the reader took the parcel that asked; other work goes on
    takes back  its own records from them, verified like any others, and then goes on where it was

The file is restored with the folder where all of it was copied: then only the command or a peer can tell. A machine
that was set back and signs before any contact is not stopped; its readers find the contradiction.
"""

from datetime import datetime

from sqlalchemy import BigInteger, bindparam
from sqlalchemy import select as core_select
from sqlmodel import Field, Session, SQLModel, col, delete, func, select

from federation.envelope import read_envelope
from federation.errors import Conflict
from federation.generations import first_of, generation_of
from federation.keys import Member
from node.context import Node
from node.db import Counter, UtcDateTime
from node.prepared import Prepared
from node.stream.marks import Head, check_same_machine, find_mark, load_marks
from node.stream.models import Federation, OwnCheckpoint, Peer, StoredRecord

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


class ReopenedStream(SQLModel, table=True):
    """An own stream that an administrator let begin anew, at the first place of a later generation."""

    __tablename__ = "reopened_stream"
    federation: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    generation: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=UtcDateTime)


class RecoveryQuestion(SQLModel, table=True):
    """A reader is asked over mailbox or stick: the first parcel that asked it, and the one that lies in the mailbox."""

    __tablename__ = "recovery_question"
    federation: str = Field(primary_key=True)
    peer_id: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    parcel: str = ""
    asked_at: datetime = Field(sa_type=UtcDateTime)


def check_may_sign(session: Session, node: Node, federation: Federation, stream: str, head: Head | None) -> None:
    """Raise Conflict while it is not known what this node signed last in `stream`."""
    marked = find_mark(node, federation.id, stream)
    behind = marked is not None and marked.sequence > (head.sequence if head else 0)
    if marked is not None and not behind:
        check_same_machine(session, node, federation.id, stream, marked)
    if not behind and session.get(Recovery, federation.id) is None:
        return
    if _is_reopened(session, federation.id, stream, marked if behind else None):
        return
    missing = _missing_readers(session, node, federation, stream)
    if behind or missing:
        raise Conflict(
            "stream-recovering",
            "本节点从备份恢复，正在向对端取回自己已签名的条目，此前不能签名。请运行 gonghui sync run 后重试。",
            "This node was restored and has to get back what it signed: run `gonghui sync run`, then repeat.",
            readers=sorted(missing),
        )


def recognise(session: Session, node: Node) -> bool:
    """Begin to recover where the high-water file knows more than the database; tell whether that is so."""
    found = False
    for name, marked in load_marks(node).items():
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
    session.execute(delete(RecoveryQuestion).where(col(RecoveryQuestion.federation) == federation_id))
    session.merge(Recovery(federation=federation_id, cause=cause, since_at=node.clock()))
    counter = session.get(Counter, "log", populate_existing=True)
    if counter is not None:  # readers' cursors may lie beyond our log's end
        counter.value += LEAP
        session.add(counter)
    session.flush()


def may_tell(session: Session, node: Node, signer: Member) -> bool:
    """Tell whether what was signed in our name with this key, and we lack, says that we were restored.

    Our own checkpoints show which keys we had: nobody else writes them. Once it is known that we were restored, what
    we lost may be of any key that the list calls ours.
    """
    if signer.key.keyid == node.signer.public_key.keyid or is_recovering(session, signer.federation):
        return True
    signed = session.exec(select(OwnCheckpoint.envelope)).all()
    return signer.revoked_at is None and any(signer.key.keyid in read_envelope(one).keyids for one in signed)


def is_recovering(session: Session, federation_id: str) -> bool:
    """Tell whether this node still waits for readers of that federation."""
    return bool(_RECOVERING.all(session.connection(), {"federation": federation_id}))


def note_answer(session: Session, node: Node, federation: Federation, peer_id: str) -> None:
    """Note that a reader has shown all it holds of ours; end the recovery with the last one."""
    session.merge(RecoveryAnswer(federation=federation.id, peer_id=peer_id, answered_at=node.clock()))
    session.flush()
    end_if_answered(session, node, federation)


def end_if_answered(session: Session, node: Node, federation: Federation) -> None:
    """End the recovery where every stream was answered for, or begins anew."""
    if not awaited_readers(session, node, federation):
        session.execute(delete(Recovery).where(col(Recovery.federation) == federation.id))


def reopen(session: Session, node: Node, federation_id: str, stream: str) -> int:
    """Let the next record of an own stream begin it anew, beyond all that it may have had; return the generation.

    That is the second in which it is done, so that a second restore to the same backup opens another.
    """
    head, marked = own_head(session, node, federation_id, stream), find_mark(node, federation_id, stream)
    seen = max((generation_of(known.sequence) for known in (head, marked) if known), default=0)
    at = node.clock()
    generation = max(int(at.timestamp()), seen + 1)
    session.merge(ReopenedStream(federation=federation_id, stream=stream, generation=generation, at=at))
    session.flush()
    return generation


def next_sequence(session: Session, federation_id: str, stream: str, head: Head | None) -> int:
    """Return the place of the next record of an own stream."""
    reopened = session.get(ReopenedStream, (federation_id, stream))
    if reopened is not None and first_of(reopened.generation) > (head.sequence if head else 0):
        return first_of(reopened.generation)
    return head.sequence + 1 if head else 1


def _is_reopened(session: Session, federation_id: str, stream: str, seen: Head | None) -> bool:
    """Tell whether the stream was opened anew in this recovery, at a place beyond the one that was `seen`."""
    recovery, reopened = session.get(Recovery, federation_id), session.get(ReopenedStream, (federation_id, stream))
    if reopened is None or (recovery is not None and reopened.at < recovery.since_at):
        return False
    return seen is None or first_of(reopened.generation) > seen.sequence


def has_answered_since(session: Session, federation_id: str, at: datetime) -> bool:
    """Tell whether a recovery was answered at or after `at`: then what was signed before was looked for."""
    found = select(RecoveryAnswer.peer_id).where(
        RecoveryAnswer.federation == federation_id, col(RecoveryAnswer.answered_at) >= at
    )
    return session.exec(found.limit(1)).first() is not None


def awaited_readers(session: Session, node: Node, federation: Federation) -> dict[str, set[str]]:
    """Return by own stream which readers have not answered since the recovery began; a stream without any is left out.

    Nothing where no recovery is going on.
    """
    if not is_recovering(session, federation.id):
        return {}
    streams = {"all", *own_heads(session, node, federation.id)}
    streams = {name for name in streams if not _is_reopened(session, federation.id, name, None)}
    found = {stream: _missing_readers(session, node, federation, stream) for stream in sorted(streams)}
    return {stream: readers for stream, readers in found.items() if readers}


def note_question(session: Session, node: Node, federation_id: str, peer_id: str, number: int) -> None:
    """Note the first parcel that asks a reader: only what it says after it has taken that one is an answer."""
    if session.get(RecoveryQuestion, (federation_id, peer_id)) is None:
        at = node.clock()
        session.add(RecoveryQuestion(federation=federation_id, peer_id=peer_id, number=number, asked_at=at))
        session.flush()


def take_word(
    session: Session, node: Node, federation: Federation, peer_id: str, held: dict[str, Head], taken: int
) -> None:
    """Take a reader's manifest as its answer where it was made after our question and holds nothing that we lack.

    `taken` is the number of our last parcel that it has taken in.
    """
    asked = session.get(RecoveryQuestion, (federation.id, peer_id))
    if asked is None or taken < asked.number or not is_recovering(session, federation.id):
        return
    if all(_holds(session, node, federation.id, stream, head) for stream, head in held.items()):
        note_answer(session, node, federation, peer_id)


def _holds(session: Session, node: Node, federation_id: str, stream: str, head: Head) -> bool:
    found = select(StoredRecord.id).where(
        StoredRecord.federation == federation_id,
        StoredRecord.origin == node.node_id,
        StoredRecord.stream == stream,
        StoredRecord.sequence == head.sequence,
    )
    return session.exec(found).first() == head.id


def own_head(session: Session, node: Node, federation_id: str, stream: str) -> Head | None:
    """Return the last record of an own stream."""
    return head_of(session, federation_id, node.node_id, stream)


def head_of(session: Session, federation_id: str, origin: str, stream: str) -> Head | None:
    """Return the last record held of a stream; what stands in for one is none."""
    row = session.exec(
        select(StoredRecord.sequence, StoredRecord.id)
        .where(StoredRecord.federation == federation_id, StoredRecord.origin == origin)
        .where(StoredRecord.stream == stream, StoredRecord.state != "placeholder")
        .order_by(col(StoredRecord.sequence).desc())
        .limit(1)
    ).first()
    return Head(*row) if row else None


def held_of(session: Session, federation_id: str, origin: str) -> dict[str, Head]:
    """Return the last record held of each stream of an origin."""
    found = {name: head_of(session, federation_id, origin, name) for name in heads_of(session, federation_id, origin)}
    return {stream: head for stream, head in found.items() if head is not None}


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
