"""Checkpoints of our log, and cosignatures: ours on others' logs, theirs on ours.

    caller -> provider   own checkpoint, cosignatures it has made; body: whom it asks, with a proof for each
    provider -> caller   cosignatures on the caller's log; body: whose checkpoints (beside it) the caller is asked about

A member meets only the hub; so the hub carries asks and cosignatures between members, as it carries records. It can
lose them, not make them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from federation.client import Link
from federation.envelope import CHECKPOINT_TYPE, COSIGNATURE_TYPE, read_envelope
from federation.errors import NetworkError, TrustError
from federation.request import Request
from federation.statements import Checkpoint, open_checkpoint
from federation.validation import check_schema
from federation.witness import NO_LONGER_COUNTING
from node.context import Node
from node.exchange.cosigning import (
    GIVE_UP,
    active_members,
    cosign_or_say,
    current_checkpoint,
    last_checkpoint,
    missing_witnesses,
    take_cosignature,
)
from node.exchange.restarts import is_further, restart_where_broken
from node.exchange.serving import Page
from node.stream.log import log_generation, log_size, prove_growth
from node.stream.models import (
    Cosigned,
    Federation,
    OwnCheckpoint,
    PeerKey,
    PeerStatements,
    WitnessAsk,
    WitnessedLog,
)
from node.stream.service import find_member, get_federation
from node.stream.standing import ACTIVE

OP = "witness"
SPARE_WITNESSES = 2  # other members that a member asks
MAX_CARRIED = 20
_TURNS = 3


def exchange_cosignatures(node: Node, link: Link) -> int:
    """Ask the provider, and through it others, to cosign our log; cosign what it shows. Return how many we got.

    A provider of an earlier version that knows no witnesses is left alone.
    """
    got = 0
    shown: list[bytes] = []  # the provider's own checkpoint, where its log does not go on from it
    for turn in range(_TURNS):
        if not turn and not _is_due(node, link.provider.id):
            return 0
        with node.database.write() as session:
            federation = get_federation(session, node)
            checkpoint = current_checkpoint(session, node, federation)
            asks = asks_of(session, node, federation, checkpoint, link.provider.id)
            ours = _drop_outdated(session, federation, session.exec(_to_send(federation, link.provider.id)).all())
            held = session.get(WitnessedLog, (federation.id, link.provider.id))
            body = {"asks": asks, "held": held.size if held else 0}
            body |= {"held_generation": held.generation} if held and held.generation else {}
            enclosed = [checkpoint.envelope, *(item.envelope for item in ours), *shown]
            sent = [item.id for item in ours]
        try:
            answer = link.ask(OP, body, enclosed, at=node.clock())
        except NetworkError as error:
            if error.params.get("status") in {404, 405}:
                return got
            raise
        check_schema("witness-answer.v1", answer.body)
        with node.database.write() as session:
            for identity in sent:
                session.get_one(Cosigned, identity).to_send = False
            took = _take_answer(session, node, federation, [e.raw for e in answer.enclosed], answer.body)
            got += took.new
            shown = took.refused.get(link.provider.id, [])
            told = session.get(PeerStatements, (federation.id, link.provider.id)) or PeerStatements(
                federation=federation.id, peer_id=link.provider.id
            )
            same = answer.body.get("generation", 0) == log_generation(session, federation.id)
            told.witnessed, told.witnessed_at = answer.body["size"] if same else 0, node.clock()
            session.add(told)
        if not (answer.body["code"] == "witness-size" or took.restarted or shown):
            return got  # what we cosigned now goes with the next visit
    return got


def _is_due(node: Node, provider: str) -> bool:
    """Tell whether there is something to be cosigned, or we have not asked this provider for an hour."""
    with node.database.read() as session:
        federation = get_federation(session, node)
        told = session.get(PeerStatements, (federation.id, provider))
        quiet = told is not None and told.witnessed_at is not None and node.clock() - told.witnessed_at < GIVE_UP
        last = last_checkpoint(session, federation)
        return (
            not quiet
            or last is None
            or session.exec(_to_send(federation, provider)).first() is not None
            or log_size(session) > last.size
            or last.generation != log_generation(session, federation.id)
            or missing_witnesses(session, node, federation, last) > 0
        )


def _to_send(federation: Federation, provider: str) -> Any:
    """Select the cosignatures of ours that this provider should get: on its log; at the hub, on anybody's."""
    found = select(Cosigned).where(Cosigned.to_send, Cosigned.federation == federation.id).limit(MAX_CARRIED)
    return found if provider == federation.hub_id else found.where(Cosigned.origin == provider)


def _drop_outdated(session: Session, federation: Federation, items: Sequence[Cosigned]) -> list[Cosigned]:
    """Give up what a key of ours signed that rests by now: nobody takes it any more, and it would end every visit."""
    fresh = []
    for item in items:
        keys = (session.get(PeerKey, (federation.id, keyid)) for keyid in read_envelope(item.envelope).keyids)
        item.to_send = all(key is None or key.status == ACTIVE for key in keys)
        fresh += [item] if item.to_send else []
    return fresh


def serve_witness(node: Node, opened: Request, enclosed: Sequence[bytes]) -> tuple[Page, dict[str, Any]]:
    """Cosign, carry and ask, in one transaction; return what the answer encloses and its body. Raise TrustError."""
    check_schema("witness.v1", opened.body)
    if not enclosed:
        raise TrustError("enclosed-mismatch", "缺少检查点。", "A checkpoint must be enclosed.")
    caller = opened.member.id
    with node.database.write() as session:
        federation = get_federation(session, node)
        offered = open_checkpoint(enclosed[0], lambda keyid: find_member(session, node, federation, keyid))
        if offered.origin != caller:
            raise TrustError("origin-mismatch", "检查点属于别的节点。", "The checkpoint is another node's.")
        for data in enclosed[1:]:
            if read_envelope(data).payload_type == CHECKPOINT_TYPE:
                restart_where_broken(session, node, federation, data)
            else:
                take_cosignature(session, node, federation, data)
        code = take_asks(session, node, federation, offered, opened.body["asks"])
        signed = session.exec(
            select(Cosigned)
            .where(Cosigned.federation == federation.id, Cosigned.origin == caller)
            .order_by(col(Cosigned.cosigned_at).desc())
            .limit(MAX_CARRIED)
        ).all()
        for item in signed:
            if item.witness == node.node_id:
                item.to_send = False
        shown = [(item.id, item.envelope) for item in signed]
        theirs = opened.body.get("held_generation", 0), opened.body["held"]
        asks, checkpoints = asks_to(session, node, federation, caller, theirs)
        held = session.get(WitnessedLog, (federation.id, caller))
        body = {"size": held.size if held else 0, "code": code, "asks": asks}
        body |= {"generation": held.generation} if held and held.generation else {}
        if held is not None and (code or is_further(held, offered)):  # what it signed says: you were restored
            shown.append((read_envelope(held.checkpoint).id, held.checkpoint))
    known = {identity for identity, _ in shown}
    return Page([*shown, *(item for item in checkpoints if item[0] not in known)], 0, more=False), body


def asks_of(
    session: Session, node: Node, federation: Federation, checkpoint: OwnCheckpoint, provider: str
) -> list[dict[str, Any]]:
    """Return whom we ask over this provider: itself; over the hub, also the members whose turn it is."""
    wanted = [provider]
    if provider == federation.hub_id:
        others = sorted(active_members(session, node, federation) - {node.node_id, provider})
        after = [one for one in others if one > node.node_id] + [one for one in others if one < node.node_id]
        wanted += after[:SPARE_WITNESSES]
    of_this_log = select(OwnCheckpoint.id).where(OwnCheckpoint.generation == checkpoint.generation)
    rows = session.exec(
        select(Cosigned)
        .where(Cosigned.federation == federation.id, Cosigned.origin == node.node_id)
        .where(col(Cosigned.checkpoint).in_(of_this_log))
    ).all()
    done = {row.witness for row in rows if row.checkpoint == checkpoint.id}
    known: dict[str, int] = {}
    for row in rows:
        known[row.witness] = max(known.get(row.witness, 0), row.size)
    asks = []
    for witness in wanted:
        told = session.get(PeerStatements, (federation.id, witness))
        size = max(known.get(witness, 0), told.witnessed if told else 0)
        if witness not in done and size <= checkpoint.size:
            path = [step.hex() for step in prove_growth(session, size, checkpoint.size)]
            asks.append({"witness": witness, "old_size": size, "path": path})
    return asks


def take_asks(
    session: Session, node: Node, federation: Federation, offered: Checkpoint, asks: list[dict[str, Any]]
) -> str:
    """Cosign where we are asked, keep what is for others where we are the hub; return the code of our refusal or ""."""
    code = ""
    members = active_members(session, node, federation)
    for ask in asks:
        if ask["witness"] == node.node_id:
            code = cosign_or_say(session, node, federation, offered, ask)
        elif federation.hub_id == node.node_id and ask["witness"] in members - {offered.origin}:
            session.merge(
                WitnessAsk(
                    federation=federation.id,
                    origin=offered.origin,
                    witness=ask["witness"],
                    old_size=ask["old_size"],
                    path=" ".join(ask["path"]),
                    checkpoint=offered.envelope,
                )
            )
    return code


def asks_to(
    session: Session, node: Node, federation: Federation, caller: str, held: tuple[int, int]
) -> tuple[list[dict[str, Any]], list[tuple[str, bytes]]]:
    """Return what we ask the caller to cosign: our own log, and as hub what members left for it.

    `held` is generation and size of our log as the caller holds it. Where it claims more than we have, it is asked all
    the same: what it then shows of our own signing tells whether we were restored.
    """
    asks: list[dict[str, Any]] = []
    checkpoints: list[tuple[str, bytes]] = []
    own = current_checkpoint(session, node, federation)
    done = session.exec(select(Cosigned.id).where(Cosigned.checkpoint == own.id, Cosigned.witness == caller)).first()
    generation, size = held
    if held > (own.generation, own.size) or (done is None and missing_witnesses(session, node, federation, own)):
        start = size if generation == own.generation and size <= own.size else 0
        path = [step.hex() for step in prove_growth(session, start, own.size)]
        asks.append({"origin": node.node_id, "old_size": start, "path": path})
        checkpoints.append((own.id, own.envelope))
    left = session.exec(
        select(WitnessAsk)
        .where(WitnessAsk.federation == federation.id, WitnessAsk.witness == caller)
        .limit(MAX_CARRIED)
    ).all()
    for row in left:
        asks.append({"origin": row.origin, "old_size": row.old_size, "path": row.path.split()})
        checkpoints.append((read_envelope(row.checkpoint).id, row.checkpoint))
    return asks, checkpoints


@dataclass
class Took:
    """What an answer brought: new cosignatures on our log; a new generation of it; whose log we refused, with proof."""

    new: int = 0
    restarted: bool = False
    refused: dict[str, list[bytes]] = field(default_factory=dict)


def _take_answer(
    session: Session, node: Node, federation: Federation, enclosed: Sequence[bytes], body: dict[str, Any]
) -> Took:
    """Keep cosignatures on our log and cosign what we are asked to."""
    took = Took()
    shown: dict[str, Checkpoint] = {}
    for data in enclosed:
        try:
            checkpoint = _take_shown(session, node, federation, data, took)
        except TrustError as error:
            if error.code not in NO_LONGER_COUNTING:  # what one who was removed left with the hub stops nobody
                raise
            continue
        if checkpoint is not None:
            shown[checkpoint.origin] = checkpoint
    for ask in body["asks"]:
        offered = shown.get(ask["origin"])
        if offered is None or offered.origin == node.node_id:
            continue
        code = cosign_or_say(session, node, federation, offered, ask)
        if code == "witness-size":
            _show_last(session, node, federation, offered.origin)
        held = session.get(WitnessedLog, (federation.id, offered.origin))
        if held is not None and (code or is_further(held, offered)):
            took.refused[offered.origin] = [held.checkpoint]
    return took


def _take_shown(session: Session, node: Node, federation: Federation, data: bytes, took: Took) -> Checkpoint | None:
    """Keep a cosignature, or look at a checkpoint: one of ours may say that we were restored, another's is returned."""
    if read_envelope(data).payload_type == COSIGNATURE_TYPE:
        known = session.get(Cosigned, read_envelope(data).id) is not None
        took.new += take_cosignature(session, node, federation, data) is not None and not known
        return None
    checkpoint = open_checkpoint(data, lambda keyid: find_member(session, node, federation, keyid))
    if checkpoint.origin == node.node_id:
        took.restarted |= restart_where_broken(session, node, federation, data)
    return checkpoint


def _show_last(session: Session, node: Node, federation: Federation, origin: str) -> None:
    """Send our last cosignature on a log again: its node has not heard how far we had followed it."""
    last = session.exec(
        select(Cosigned)
        .where(Cosigned.federation == federation.id, Cosigned.origin == origin, Cosigned.witness == node.node_id)
        .order_by(col(Cosigned.size).desc(), col(Cosigned.cosigned_at).desc())
        .limit(1)
    ).first()
    if last is not None:
        last.to_send = True
