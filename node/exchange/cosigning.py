"""Checkpoints of our log and cosignatures, as they are made and kept: ours on others' logs, theirs on ours.

A witness keeps what it cosigns, under a lock, before it answers: `federation.witness` decides.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from federation.envelope import read_envelope
from federation.errors import TrustError
from federation.keys import Member
from federation.statements import (
    Checkpoint,
    Cosignature,
    build_checkpoint,
    build_cosignature,
    open_checkpoint,
    open_cosignature,
)
from federation.witness import NOTHING_HELD, check_audit, check_next, count_missing
from node.audit import write_audit
from node.audit.chain import read_trail
from node.audit.events import SYSTEM
from node.context import Node
from node.db import lock_number, next_number
from node.exchange.restarts import note_restart
from node.exchange.thinning import thin_out
from node.stream.log import log_generation, log_root, log_size
from node.stream.memberlist import list_version
from node.stream.models import Cosigned, Federation, OwnCheckpoint, Peer, WitnessAsk, WitnessedLog
from node.stream.service import find_member
from node.stream.standing import active_at

SIGN_AGAIN = timedelta(days=1)  # also where nothing was added: the audit trail goes on
GIVE_UP = timedelta(hours=1)  # of waiting for the witnesses of one checkpoint before another is signed
AUDIT_CUT = "audit-cut"  # no restore explains it: whoever cuts a trail could say that it was restored
ALARMS = frozenset({AUDIT_CUT, "proof-consistency"})  # a log that was forked or cut, or its audit trail
HUB_WITNESSES = 3
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
    last, at = last_checkpoint(session, federation), node.clock()
    if last is None or last.generation != log_generation(session, federation.id):
        return None
    due = log_size(session) > last.size or at - last.issued_at >= SIGN_AGAIN
    complete = at - last.issued_at >= GIVE_UP or not missing_witnesses(session, node, federation, last)
    return None if due and complete else last


def last_checkpoint(session: Session, federation: Federation) -> OwnCheckpoint | None:
    """Return the checkpoint that this node signed last in a federation."""
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
    stands = row if row and (not anew or row.alarm == AUDIT_CUT) else None  # what has grown again was cut all the same
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
            alarm=stands.alarm if stands else "",
            alarm_at=stands.alarm_at if stands else None,
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
