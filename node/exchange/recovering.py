"""Getting back from readers what this node signed before it was restored; and showing others what we hold of theirs.

In each round's first exchange a provider tells its caller how far it holds the caller's streams (`yours`), and whether
it lost its own (`lost`: how far it still has them). A caller that is behind asks for its own records and takes them in
like any others; that, not the claim, is what makes it recover. A caller that holds more of the provider's pushes that.
"""

import re
from typing import Any

from sqlmodel import col, select

from federation.acceptance import Verdict
from federation.client import Link
from node.context import Node
from node.exchange.inbox import PULL, Handlers, receive
from node.stream import recovery
from node.stream.models import Federation, StoredRecord

PAGE = 50
_STREAM = re.compile(r"[a-z][a-z0-9:._-]{0,79}", re.ASCII)
MAX_PAGES = 1_000
TAKEN = frozenset({Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.SEALED})


def take_back(node: Node, link: Link, handlers: Handlers, yours: Any) -> int:
    """Take back what the provider holds of our streams beyond ours; return how many records came.

    `yours` is what it claims: stream -> sequence; None from a node of an earlier release, which is then asked.
    """
    federation_id = link.provider.federation
    with node.database.read() as session:
        heads = recovery.own_heads(session, node, federation_id)
        recovering = recovery.is_recovering(session, federation_id)
    claimed = (
        {name: value for name, value in yours.items() if _STREAM.fullmatch(name)} if isinstance(yours, dict) else {}
    )
    streams = set(claimed) | ({*heads, "all", "hub", f"node:{link.provider.id}"} if recovering else set())
    came, shown = 0, True
    for stream in sorted(streams):
        known = heads.get(stream, 0)
        if recovering or (type(claimed.get(stream)) is int and claimed[stream] > known):
            taken, whole = _take_stream(node, link, handlers, stream, known)
            came, shown = came + taken, shown and whole
    if not ((recovering or came) and shown):
        return came
    with node.database.write() as session:
        if recovery.is_recovering(session, federation_id):
            recovery.note_answer(session, node, session.get_one(Federation, federation_id), link.provider.id)
    return came


def _take_stream(node: Node, link: Link, handlers: Handlers, stream: str, known: int) -> tuple[int, bool]:
    """Return how many records came, and whether the answer was nothing but records that we signed.

    A provider that shows anything else (a refusal in a record's place) has not told what it holds.
    """
    came = 0
    for _ in range(MAX_PAGES):
        wanted = {"origin": node.node_id, "stream": stream, "first": known + 1, "last": known + PAGE}
        answer = link.ask("missing", wanted, at=node.clock())
        with node.database.write() as session:
            for envelope in answer.enclosed:
                outcome = receive(session, node, envelope.raw, handlers, via=PULL, by=link.provider.id)
                if outcome.verdict in TAKEN:
                    came += 1
                elif outcome.verdict is not Verdict.DUPLICATE:
                    return came, False
            head = recovery.own_head(session, node, link.provider.federation, stream)
        if head is None or head.sequence == known:
            break
        known = head.sequence
    return came, True


def give_back(node: Node, link: Link, lost: Any) -> int:
    """Push to a provider that was restored what we hold of its own streams, then say that this was all."""
    if not isinstance(lost, dict):
        return 0
    given = 0
    with node.database.read() as session:
        rows = session.exec(
            select(StoredRecord.id, StoredRecord.stream, StoredRecord.sequence)
            .where(StoredRecord.federation == link.provider.federation, StoredRecord.origin == link.provider.id)
            .where(col(StoredRecord.state) != "placeholder")
            .order_by(StoredRecord.stream, col(StoredRecord.sequence))
        ).all()
    ids = [identity for identity, stream, sequence in rows if sequence > lost.get(stream, 0)]
    for start in range(0, len(ids), 10):
        some = ids[start : start + 10]
        with node.database.read() as session:
            found = {row.id: row.envelope for row in session.exec(
                select(StoredRecord).where(col(StoredRecord.id).in_(some))
            ).all()}  # fmt: skip
        link.ask("push", {"records": some}, [found[identity] for identity in some], at=node.clock())
        given += len(some)
    link.ask("ping", {"shown": True}, at=node.clock())
    return given


def tell(node: Node, member_id: str, federation_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer to `ping` says of this: how far we hold the caller's streams, and what we lost of ours."""
    with node.database.read() as session:
        heads = recovery.heads_of(session, federation_id, member_id)
        told: dict[str, Any] = {"yours": heads} if heads else {}
        if not recovery.is_recovering(session, federation_id):
            return told
        lost = recovery.own_heads(session, node, federation_id)
    if body.get("shown") is True:
        with node.database.write() as session:
            recovery.note_answer(session, node, session.get_one(Federation, federation_id), member_id)
        return told
    return told | {"lost": lost}
