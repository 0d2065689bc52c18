"""Checkpoints of our log, and cosignatures: ours on others' logs, theirs on ours.

    caller -> provider   own checkpoint, cosignatures it has made; body: whom it asks, with a proof for each
    provider -> caller   cosignatures on the caller's log; body: whose checkpoints (beside it) the caller is asked about

A witness keeps what it cosigns, under a lock, before it answers: `federation.witness` decides. A member meets only the
hub; so the hub carries asks and cosignatures between members, as it carries records. It can lose them, not make them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from federation.client import Link
from federation.envelope import CHECKPOINT_TYPE, COSIGNATURE_TYPE, read_envelope
from federation.errors import NetworkError, TrustError
from federation.keys import Member
from federation.request import Request
from federation.statements import (
    Checkpoint,
    Cosignature,
    build_checkpoint,
    build_cosignature,
    open_checkpoint,
    open_cosignature,
)
from federation.validation import check_schema
from federation.witness import NO_LONGER_COUNTING, NOTHING_HELD, check_audit, check_next, count_missing
from node.audit import write_audit
from node.audit.chain import read_trail
from node.audit.events import SYSTEM
from node.context import Node
from node.db import lock_number, next_number
from node.exchange.restarts import is_further, note_restart, restart_where_broken
from node.exchange.serving import Page
from node.exchange.thinning import thin_out
from node.stream.log import log_generation, log_root, log_size, prove_growth
from node.stream.memberlist import list_version
from node.stream.models import (
    Cosigned,
    Federation,
    OwnCheckpoint,
    Peer,
    PeerKey,
    PeerStatements,
    WitnessAsk,
    WitnessedLog,
)
from node.stream.service import find_member, get_federation
from node.stream.standing import ACTIVE, active_at

OP = "witness"
SIGN_AGAIN = timedelta(days=1)  # also where nothing was added: the audit trail goes on
GIVE_UP = timedelta(hours=1)  # of waiting for the witnesses of one checkpoint before another is signed
SPARE_WITNESSES = 2  # other members that a member asks
HUB_WITNESSES = 3
MAX_CARRIED = 20
AUDIT_CUT = "audit-cut"  # no restore explains it: whoever cuts a trail could say that it was restored
ALARMS = frozenset({AUDIT_CUT, "proof-consistency"})  # a log that was forked or cut, or its audit trail
_TURNS = 3
_COUNTER = "witness"


def current_checkpoint(session: Session, node: Node, federation: Federation) -> OwnCheckpoint:
    """Return the checkpoint to be cosigned now; sign another where the log grew and the last one is witnessed."""
    if (current := _still_current(session, node, federation)) is not None:
        return current
    lock_number(session, _COUNTER)  # a hub visits many members at once: one signs, the others find it signed
    if (current := _still_current(session, node, federation)) is not None:
        return current
    size, at = log_size(session), node.clock()
    generation = log_generation(session, federation.id)
    trail = read_trail(session)
    envelope = build_checkpoint(
        node.signer,
        origin=node.node_id,
        federation=federation.id,
        size=size,
        root=log_root(session, size),
        audit=(trail.size, trail.head),
        list_version=list_version(session, federation.id),
        at=at,
        generation=generation,
    )
    row = OwnCheckpoint(
        id=read_envelope(envelope).id,
        federation=federation.id,
        generation=generation,
        size=size,
        audit_size=trail.size,
        audit_head=trail.head,
        envelope=envelope,
        issued_at=at,
    )
    session.add(row)
    session.flush()
    write_audit(session, account_id=SYSTEM, action="checkpoint.sign", subject=row.id, at=at, size=size)
    thin_out(session, node.node_id, federation.id, at)
    return row


def _still_current(session: Session, node: Node, federation: Federation) -> OwnCheckpoint | None:
    """Return the last checkpoint while no other is to be signed: nothing was added, or its witnesses are awaited."""
    last, at = _last(session, federation), node.clock()
    if last is None or last.generation != log_generation(session, federation.id):
        return None
    due = log_size(session) > last.size or at - last.issued_at >= SIGN_AGAIN
    complete = at - last.issued_at >= GIVE_UP or not missing_witnesses(session, node, federation, last)
    return None if due and complete else last


def _last(session: Session, federation: Federation) -> OwnCheckpoint | None:
    found = select(OwnCheckpoint).where(OwnCheckpoint.federation == federation.id)
    return session.exec(
        found.order_by(col(OwnCheckpoint.issued_at).desc(), col(OwnCheckpoint.size).desc()).limit(1)
    ).first()


def missing_witnesses(session: Session, node: Node, federation: Federation, checkpoint: OwnCheckpoint) -> int:
    """Return how many witnesses we still want under this checkpoint of ours: those required, and at the hub a spare.

    Of the members under the hub's log one may be the very node whose key is in question; then it does not count.
    """
    signed = session.exec(
        select(Cosigned.witness).where(Cosigned.origin == node.node_id, Cosigned.checkpoint == checkpoint.id)
    ).all()
    members = active_members(session, node, federation)
    missing = count_missing(signed, log=node.node_id, hub=federation.hub_id, members=members)
    if federation.hub_id != node.node_id:
        return missing
    return max(missing, min(HUB_WITNESSES, len(members) - 1) - len(set(signed) & members))


def active_members(session: Session, node: Node, federation: Federation) -> set[str]:
    """Return the ids of the active members, ourselves and the hub among them."""
    peers = session.exec(select(Peer.id).where(Peer.federation == federation.id, active_at(node.clock()))).all()
    return {*peers, node.node_id, federation.hub_id}


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
        last = _last(session, federation)
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


def cosign(
    session: Session, node: Node, federation: Federation, offered: Checkpoint, old_size: int, path: Sequence[bytes]
) -> Cosigned:
    """Check a checkpoint against the one we hold of that log, keep it, and return our cosignature; raise TrustError.

    The caller commits before anybody sees the cosignature.
    """
    next_number(session, _COUNTER)  # the lock: of two branches offered at once, one comes second
    row = session.get(WitnessedLog, (federation.id, offered.origin), populate_existing=True)
    existing = session.exec(
        select(Cosigned).where(Cosigned.witness == node.node_id, Cosigned.checkpoint == offered.id)
    ).first()
    if existing is not None:
        existing.to_send = True
        return existing
    held = (row.size, row.root) if row else NOTHING_HELD
    check_next(held, offered, old_size, path, generation=row.generation if row else 0)
    anew = row is not None and row.generation < offered.generation
    if row is not None and not anew:
        _check_audit(session, node, federation, row, offered)
    at = node.clock()
    stands = row is not None and (not anew or row.alarm == AUDIT_CUT)  # what has grown again was cut all the same
    if row is not None and anew:
        note_restart(session, federation, row, offered, at)
    session.merge(
        WitnessedLog(
            federation=federation.id,
            origin=offered.origin,
            generation=offered.generation,
            size=offered.size,
            root=offered.root,
            checkpoint=offered.envelope,
            audit_size=offered.audit_size,
            audit_head=offered.audit_head,
            seen_at=at,
            alarm=row.alarm if row and stands else "",
            alarm_at=row.alarm_at if row and stands else None,
        )
    )
    # A clock that is behind must not make it look older than what it cosigns; later is never more than it saw.
    envelope = build_cosignature(node.signer, node.node_id, offered, max(at, offered.issued_at))
    own = Member(node.node_id, federation.id, node.signer.public_key)
    write_audit(session, account_id=SYSTEM, action="witness.cosign", subject=offered.origin, at=at, size=offered.size)
    return _keep(session, open_cosignature(envelope, lambda _: own), to_send=True)


def _check_audit(session: Session, node: Node, federation: Federation, row: WitnessedLog, offered: Checkpoint) -> None:
    """Raise TrustError where the audit trail was cut; `witness-size` for a checkpoint that only comes late."""
    try:
        check_audit(row.audit_size, row.audit_head, offered)
    except TrustError as error:
        held = open_checkpoint(row.checkpoint, lambda keyid: find_member(session, node, federation, keyid))
        if offered.issued_at < held.issued_at:
            raise TrustError(
                "witness-size", "检查点已过时。", "A newer checkpoint was witnessed.", have=row.size
            ) from error
        raise


def take_cosignature(session: Session, node: Node, federation: Federation, data: bytes) -> Cosigned | None:
    """Keep a cosignature on our log, or one that we carry for a member; None for what is neither. Raise TrustError.

    Of our own checkpoints one is kept of each witness, the first: more, or one dated before what it cosigns, are None.
    """
    item = open_cosignature(data, lambda keyid: find_member(session, node, federation, keyid))
    held = session.get(Cosigned, item.id)
    if held is not None:
        return held
    if item.origin == node.node_id:
        own = session.get(OwnCheckpoint, item.checkpoint)
        if (
            own is None or own.federation != federation.id
        ):  # of a checkpoint that was lost with a restore; it says nothing of the log we hold now
            return None
        if (own.size, log_root(session, own.size)) != (item.size, item.root):
            raise TrustError("witness-mismatch", "见证签名属于别的检查点。", "A cosignature is of another checkpoint.")
        known = {row.witness for row in standing_cosignatures(session, node, federation, own)}
        if item.witness in known or item.cosigned_at < own.issued_at.replace(microsecond=0):
            return None
    elif federation.hub_id != node.node_id:
        return None
    else:
        asked = session.get(WitnessAsk, (federation.id, item.origin, item.witness))
        if asked is None:
            return None
        if read_envelope(asked.checkpoint).id == item.checkpoint:
            session.delete(asked)
        carried = (col(Cosigned.origin) == item.origin) & (col(Cosigned.witness) == item.witness)
        session.execute(
            delete(Cosigned).where(carried, col(Cosigned.federation) == federation.id)
        )  # of what we only carry, the last is enough
    return _keep(session, item)


def standing_cosignatures(session: Session, node: Node, federation: Federation, own: OwnCheckpoint) -> list[Cosigned]:
    """Return the cosignatures under a checkpoint of ours that still hold, earliest first, one of each witness."""
    rows = session.exec(
        select(Cosigned)
        .where(Cosigned.origin == node.node_id, Cosigned.checkpoint == own.id)
        .order_by(col(Cosigned.cosigned_at), col(Cosigned.id))
    ).all()
    found: dict[str, Cosigned] = {}
    for row in rows:
        try:
            open_cosignature(row.envelope, lambda keyid: find_member(session, node, federation, keyid), kept=True)
        except TrustError:  # its key was revoked, or its witness removed
            continue
        found.setdefault(row.witness, row)
    return list(found.values())


def _keep(session: Session, item: Cosignature, *, to_send: bool = False) -> Cosigned:
    row = Cosigned(
        id=item.id,
        federation=item.federation,
        origin=item.origin,
        witness=item.witness,
        checkpoint=item.checkpoint,
        size=item.size,
        cosigned_at=item.cosigned_at,
        to_send=to_send,
        envelope=item.envelope,
    )
    session.add(row)
    session.flush()
    return row


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


def cosign_or_say(
    session: Session, node: Node, federation: Federation, offered: Checkpoint, ask: dict[str, Any]
) -> str:
    """Cosign, or return the code why not; a fork or a cut becomes an alarm."""
    try:
        cosign(session, node, federation, offered, ask["old_size"], [bytes.fromhex(step) for step in ask["path"]])
    except TrustError as error:
        if error.code in ALARMS:  # somebody should look
            _raise_alarm(session, node, federation, offered, error.code)
        return error.code
    return ""


def _raise_alarm(session: Session, node: Node, federation: Federation, offered: Checkpoint, code: str) -> None:
    """Write down once a day that a log or its audit trail does not go on from what we cosigned; it stays an alarm."""
    row, at = session.get(WitnessedLog, (federation.id, offered.origin)), node.clock()
    if row is not None:
        if row.alarm == code and row.alarm_at is not None and at - row.alarm_at < SIGN_AGAIN:
            return
        row.alarm, row.alarm_at = AUDIT_CUT if row.alarm == AUDIT_CUT else code, at
        session.add(row)
    write_audit(
        session,
        account_id=SYSTEM,
        action="witness.refuse",
        subject=offered.origin,
        at=at,
        result=code,
        size=offered.size,
    )


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
