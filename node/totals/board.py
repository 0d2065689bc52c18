"""Records of kind `sum`: reading what was said of a family, and saying the next step."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from federation.documents import dump_document
from federation.errors import Conflict, InputRefused
from federation.family import find_family
from federation.grants import ALL
from federation.roll import AGGREGATOR
from federation.rounds import ANNOUNCE, COHORT, GIVE_UP, KIND, SCHEMA, TOTAL, VERIFY, Board, Said, subject_of
from node.context import Node
from node.stream.models import Peer, StoredRecord
from node.stream.sealed import own_member
from node.stream.service import CURRENT, append_record, find_federation, get_home, read_content


def take_sum(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG001
    """Check that a step stands under its own subject (handler of kind `sum`); raise InputRefused."""
    vintage = content["vintage"]
    if record.subject != subject_of(content["family"], content["step"], content["period"], content["attempt"], vintage):
        raise InputRefused("sum-subject", "步骤与主题不符。", "The step is not the one its subject names.")


def find_second(session: Session, node: Node) -> str:
    """Return the second body, the one active member in the group `aggregator`; raise Conflict."""
    home = get_home(session, node)
    peers = session.exec(select(Peer).where(Peer.federation == home.id, Peer.groups != "")).all()
    found = {peer.id for peer in peers if peer.status == "active" and AGGREGATOR in peer.groups.split()}
    if AGGREGATOR in own_member(session, node, home).groups:
        found.add(node.node_id)
    found.discard(home.hub_id)
    if len(found) != 1:
        raise Conflict(
            "second-body-missing",
            f"名录中须恰有一个成员属于 {AGGREGATOR} 组（第二汇总方），现有 {len(found)} 个。",
            f"Exactly one member must be in the group {AGGREGATOR}, the second body; the list names {len(found)}.",
            found=len(found),
        )
    return found.pop()


def is_spoken_of(session: Session, node: Node) -> bool:
    """Tell whether anybody has said a word of totals in this node's federation."""
    home = find_federation(session, node)
    if home is None:
        return False
    words = select(StoredRecord.id).where(StoredRecord.federation == home.id, StoredRecord.kind == KIND)
    return session.exec(words.limit(1)).first() is not None


def load_board(session: Session, node: Node, family: str) -> Board:
    """Return all that was said of a family, in the order in which each origin said it."""
    find_family(family)
    return _load(session, node, family, f"{family}/")


def load_outcome(session: Session, node: Node, family: str, period: str) -> Board:
    """Return of what was said only what a period's outcome rests on: no share, no partial sum."""
    steps = [f"/{step}" for step in (COHORT, ANNOUNCE, TOTAL, VERIFY, GIVE_UP)]
    return _load(session, node, family, f"{family}/{period}/", steps)


def _load(session: Session, node: Node, family: str, under: str, endings: Sequence[str] = ("",)) -> Board:
    home, subject = get_home(session, node), col(StoredRecord.subject)
    records = session.exec(
        select(StoredRecord)
        .where(StoredRecord.federation == home.id, StoredRecord.kind == KIND, StoredRecord.state == CURRENT)
        .where(StoredRecord.stream == ALL, subject.startswith(under), or_(*(subject.endswith(e) for e in endings)))
        .order_by(col(StoredRecord.origin), col(StoredRecord.sequence))
    ).all()
    return Board(family, home.hub_id, find_second(session, node), map(_said, records))


def _said(record: StoredRecord) -> Said:
    return Said.of(record.id, record.origin, read_content(record))


def say(
    session: Session, node: Node, family: str, step: str, body: Mapping[str, Any], *, period: str = "", attempt: int = 0
) -> StoredRecord:
    """Sign a step as a record for all; raise Conflict where this node has said it."""
    subject = subject_of(family, step, period, attempt)
    own = select(StoredRecord).where(
        StoredRecord.origin == node.node_id, StoredRecord.stream == ALL, StoredRecord.subject == subject
    )
    home = get_home(session, node)
    last = session.exec(
        own.where(StoredRecord.federation == home.id).order_by(col(StoredRecord.revision).desc()).limit(1)
    ).first()
    if last is not None and period:
        raise Conflict("sum-said", "该步骤已说过。", "This step was said already.")
    content = {"family": family, "period": period, "vintage": 1, "attempt": attempt, "step": step, "body": dict(body)}
    return append_record(
        session,
        node,
        federation=home.id,
        stream=ALL,
        kind=KIND,
        subject=subject,
        revision=last.revision + 1 if last else 1,
        supersedes=last.id if last else "",
        schema=SCHEMA,
        content=dump_document(content),
    )
