"""A log that begins anew: how a node finds out that it was restored, and what its witnesses keep of the break.

A witness that holds more than it is offered shows the checkpoint which that node signed itself. Where its log does not
go on from there, and it does not remember having signed it, the node was restored from a backup: it signs its next
checkpoints as another generation, and begins to get back what it signed. Witnesses take that as a break that they show.
"""

from datetime import datetime

from sqlmodel import Session, select

from federation.errors import TrustError
from federation.keys import Member
from federation.statements import Checkpoint, open_checkpoint
from node.audit import write_audit
from node.audit.chain import head_at
from node.audit.events import SYSTEM
from node.context import Node
from node.stream.log import log_generation, log_root, log_size, restart_log
from node.stream.models import Federation, OriginBreak, OwnCheckpoint, PeerStatements, WitnessedLog
from node.stream.recovery import PEER, begin, has_answered_since, may_tell
from node.stream.service import find_member


def note_restart(
    session: Session, federation: Federation, row: WitnessedLog, offered: Checkpoint, at: datetime
) -> None:
    """Keep both checkpoints of a log that begins anew: its node was restored, or wants to hide what it said."""
    session.add(
        OriginBreak(
            id=offered.id,
            federation=federation.id,
            origin=offered.origin,
            before=row.size,
            after=offered.size,
            first_envelope=row.checkpoint,
            envelope=offered.envelope,
            found_at=at,
        )
    )
    write_audit(
        session,
        account_id=SYSTEM,
        action="witness.restored",
        subject=offered.origin,
        at=at,
        before=row.size,
        size=offered.size,
    )


def restart_where_broken(session: Session, node: Node, federation: Federation, data: bytes) -> bool:
    """Begin a new generation where somebody shows a checkpoint that we signed and our log does not go on from.

    Then we were restored from a backup, and look for what else was lost; a mere claim counts for nothing, nor does one
    that a list alone calls ours. Raise TrustError where it is another's.
    """

    def look_up(keyid: str) -> Member | None:
        member = find_member(session, node, federation, keyid)
        ours = member is not None and member.id == node.node_id
        return None if member is not None and ours and not may_tell(session, node, member) else member

    try:
        seen = open_checkpoint(data, look_up)
    except TrustError as error:
        if error.code == "key-unknown":
            return False
        raise
    if seen.origin != node.node_id:
        raise TrustError("origin-mismatch", "检查点属于别的节点。", "The checkpoint is another node's.")
    present = log_generation(session, federation.id)
    if session.get(OwnCheckpoint, seen.id) is not None:  # not lost: a log that differs from it was changed here
        return False
    if seen.generation < present or (seen.generation == present and _goes_on_from(session, seen)):
        return False
    at = node.clock()
    restart_log(session, federation.id, at, seen.generation)
    for told in session.exec(select(PeerStatements).where(PeerStatements.federation == federation.id)).all():
        told.witnessed, told.witnessed_at = 0, None
        session.add(told)
    if not has_answered_since(session, federation.id, seen.issued_at):  # else it was found out before
        begin(session, node, federation.id, PEER)
    write_audit(session, account_id=SYSTEM, action="log.restart", subject=node.node_id, at=at, before=seen.size)
    return True


def _goes_on_from(session: Session, seen: Checkpoint) -> bool:
    if seen.size > log_size(session) or log_root(session, seen.size) != seen.root:
        return False
    return head_at(session, seen.audit_size) == seen.audit_head


def is_further(held: WitnessedLog, offered: Checkpoint) -> bool:
    """Tell whether a witness holds more of a log than its node offers."""
    return (held.generation, held.size) > (offered.generation, offered.size)
