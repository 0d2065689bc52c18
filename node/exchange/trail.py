"""The audit trail as an administrator reads it: checked whole, searched, exported; how far witnesses vouch for it."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlmodel import Session, col, select

from federation.envelope import CHECKPOINT_TYPE, read_envelope, split_page
from federation.errors import InputRefused, TrustError
from federation.statements import Checkpoint, open_checkpoint
from node.access.models import Account
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.audit.chain import Trail, as_json, read_entries, read_trail, verify_trail
from node.audit.events import EVENTS
from node.audit.models import AuditEntry
from node.context import Node
from node.stream.models import Cosigned, OwnCheckpoint
from node.stream.parents import list_meant
from node.stream.service import find_member, get_federation

SHOWN = 100
NOT_READS = "-read"  # as `Wanted.group`: all but what every round of every peer adds
ROUTINE = ("read.serve", "read.page")
MAX_EXPORTED = 50_000  # entries of one download; the command exports all
VERIFIED_UNASKED = 20_000  # a longer trail takes seconds and is checked when somebody asks


@dataclass(frozen=True)
class Wanted:
    """Which entries somebody wants to see; "" and 0 leave a thing open.

    `group` is an event's word before the dot, or NOT_READS.
    """

    group: str = ""
    account: str = ""
    subject: str = ""
    before: int = 0


@dataclass(frozen=True)
class Vouched:
    """Up to which entry the trail is in a checkpoint that others cosigned, and when they first did."""

    size: int
    at: datetime
    witnesses: tuple[str, ...]


def event_groups() -> list[str]:
    """Return the first words of the events, in the order of the table."""
    return list(dict.fromkeys(event.partition(".")[0] for event in EVENTS))


def verify_audit(node: Node, actor: Actor, seen: list[Trail]) -> Trail:
    """Check the whole audit trail against itself, our checkpoints and what others have `seen`; raise TrustError."""
    check_permission(actor, "audit.read")
    with node.database.read() as session:
        own = session.exec(select(OwnCheckpoint.audit_size, OwnCheckpoint.audit_head)).all()
        return verify_trail(session, [*(Trail(size, head) for size, head in own), *seen])


def search_audit(node: Node, actor: Actor, wanted: Wanted, *, limit: int = SHOWN) -> list[dict[str, Any]]:
    """Return the newest entries that are wanted, with their hashes."""
    check_permission(actor, "audit.read")
    found = select(AuditEntry).where(col(AuditEntry.number).is_not(None))
    if wanted.group == NOT_READS:
        found = found.where(col(AuditEntry.action).not_in(ROUTINE))
    elif wanted.group:
        found = found.where(col(AuditEntry.action).startswith(f"{wanted.group}.", autoescape=True))
    if wanted.account:
        found = found.where(AuditEntry.account_id == wanted.account)
    if wanted.subject:
        found = found.where(col(AuditEntry.subject).startswith(wanted.subject, autoescape=True))
    if wanted.before:
        found = found.where(col(AuditEntry.number) < wanted.before)
    with node.database.read() as session:
        rows = session.exec(found.order_by(col(AuditEntry.number).desc()).limit(limit)).all()
    return [as_json(entry) for entry in rows]


def list_audit(node: Node, actor: Actor, *, after: int = 0) -> list[dict[str, Any]]:
    """Return the entries after number `after` with their hashes, and note that they were read."""
    check_permission(actor, "audit.read")
    with node.database.read() as session:
        rows = [as_json(entry) for entry in read_entries(session, after)]
    note_export(node, actor, len(rows))
    return rows


def note_export(node: Node, actor: Actor, count: int) -> None:
    """Write down that entries were taken out of the house."""
    with node.database.write() as session:
        write_audit(session, account_id=actor.account_id, action="audit.export", at=node.clock(), count=count)


def trail_of(node: Node) -> Trail:
    """Return size and head of the audit trail."""
    with node.database.read() as session:
        return read_trail(session)


def account_names(node: Node, actor: Actor) -> dict[str, str]:
    """Return id and name of every account, for a trail that knows ids alone."""
    check_permission(actor, "audit.read")
    with node.database.read() as session:
        return dict(session.exec(select(Account.id, Account.name).order_by(Account.name)).all())


def find_vouched(node: Node, actor: Actor) -> Vouched | None:
    """Return how far others vouch for the trail; None where nobody has cosigned a checkpoint yet."""
    check_permission(actor, "audit.read")
    with node.database.read() as session:
        row = session.exec(
            select(OwnCheckpoint)
            .join(Cosigned, col(Cosigned.checkpoint) == OwnCheckpoint.id)
            .order_by(col(OwnCheckpoint.audit_size).desc(), col(OwnCheckpoint.issued_at).desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        signed = session.exec(select(Cosigned.witness, Cosigned.cosigned_at).where(Cosigned.checkpoint == row.id)).all()
    return Vouched(row.audit_size, min(at for _, at in signed), tuple(sorted({witness for witness, _ in signed})))


def read_seen(node: Node, data: bytes) -> Trail:
    """Return how far our trail went by a checkpoint of ours that somebody kept; raise GonghuiError.

    Its signature is checked: by this node's key, or by an older one that the member list names.
    """
    first = split_page(data)[0] if data.startswith(b"[") else data
    if read_envelope(first).payload_type != CHECKPOINT_TYPE:
        raise InputRefused("type-mismatch", "这不是检查点。", "This is no checkpoint.")
    with node.database.read() as session:
        checkpoint = _open(session, node, first)
    if checkpoint.origin != node.node_id:
        raise TrustError("origin-mismatch", "这是别的节点的检查点。", "This checkpoint is another node's.")
    return Trail(checkpoint.audit_size, checkpoint.audit_head)


def _open(session: Session, node: Node, envelope: bytes) -> Checkpoint:
    """Read a checkpoint by the member list of the federation it names; raise TrustError."""
    meant = list_meant(session, node) or [get_federation(session, node)]
    for federation in meant[:-1]:
        try:
            return open_checkpoint(envelope, partial(find_member, session, node, federation))
        except TrustError:
            continue
    return open_checkpoint(envelope, partial(find_member, session, node, meant[-1]))
