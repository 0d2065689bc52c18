"""Witnesses: what a node cosigns, and when enough cosignatures make a record older than a time.

A witness keeps one checkpoint a log. It cosigns another only where a consistency proof leads from the one it keeps, and
keeps the new one before it answers; so it never puts its name under two branches of a log. A log of a later
generation is another log (its node was restored from a backup): the witness begins anew with it, and says so aloud;
none goes back to an earlier one. Required are the hub and,
where there are three members, one other; for the hub's own log two members. The log's own node and the node whose key
is in question never count: so a thief who wants to back-date needs every required witness.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from federation.errors import TrustError
from federation.keys import Member
from federation.log import EMPTY_ROOT, check_consistency, check_inclusion, hash_leaf, no_consistency
from federation.statements import Checkpoint, Cosignature, open_checkpoint, open_cosignature

FindMember = Callable[[str], Member | None]
SALT_BYTES = 32
NOTHING_HELD: tuple[int, bytes] = (0, EMPTY_ROOT)  # of a log that a witness has never seen
NO_LONGER_COUNTING = frozenset({"key-retired", "key-revoked", "key-unknown", "member-suspended"})
_DOMAIN = b"gonghui leaf v1\n"


@dataclass(frozen=True)
class Inclusion:
    """Where a record is in a log, and how to get from it to the root."""

    index: int
    salt: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Witnessed:
    """A record was in the log `log` when all required witnesses had cosigned it, at the latest at `at`."""

    record_id: str
    log: str
    size: int
    at: datetime
    witnesses: tuple[str, ...]


def leaf_entry(record_id: str, salt: bytes) -> bytes:
    """Return the entry of a record in a log. Salted: whoever sees a root or a path cannot try ids."""
    return _DOMAIN + salt + bytes.fromhex(record_id)


def check_next(
    held: tuple[int, bytes], offered: Checkpoint, old_size: int, path: Sequence[bytes], *, generation: int = 0
) -> None:
    """Let a witness check an offered checkpoint against the size and root it holds (`NOTHING_HELD` at first).

    `generation` is that of the log it holds. Raise TrustError: `witness-size` where the proof starts elsewhere (its
    `have` says where to start), or `proof-consistency` where the log was forked or cut, or an earlier one is shown.
    """
    if offered.generation < generation:
        raise no_consistency()
    size, root = held if offered.generation == generation else NOTHING_HELD
    if offered.size < size or old_size != size:
        raise TrustError(
            "witness-size",
            "见证节点所知的日志长度不同。",
            "The witness holds another size of this log.",
            have=size,
        )
    check_consistency(size, root, offered.size, offered.root, path)


def count_missing(
    witnesses: Iterable[str], *, log: str, hub: str, members: Collection[str], not_counting: str = ""
) -> int:
    """Return how many required witnesses are missing under a checkpoint of the log of node `log`; one is the least.

    `members` are the active ones with the hub among them; a node that left is no longer required.
    """
    not_allowed = {log, not_counting}
    able = set(members) - not_allowed
    counting = set(witnesses) & able
    if log == hub:
        return max(0, max(1, min(2, len(able))) - len(counting))
    missing = int(hub in able and hub not in counting)
    if len(members) > 2 and able - {hub}:
        missing += int(not counting - {hub})
    return missing or int(not counting)


def check_audit(held_size: int, held_head: str, offered: Checkpoint) -> None:
    """Let a witness check that the audit trail whose end it has cosigned goes on; raise TrustError `audit-cut`.

    The trail has no consistency proof: what was cut and has grown beyond the held size again is not found here.
    """
    same = offered.audit_size == held_size and offered.audit_head == held_head
    if offered.audit_size <= held_size and not same:
        raise TrustError(
            "audit-cut",
            "该节点的审计日志比见证过的短，或末尾不同。",
            "The node's audit trail is shorter than the one that was witnessed, or ends otherwise.",
            have=held_size,
        )


def choose_required(
    witnesses: Iterable[str], *, log: str, hub: str, members: Collection[str], not_counting: str = ""
) -> list[str]:
    """Return the first of `witnesses` that together are all that are required; nothing where one is missing."""
    chosen: list[str] = []
    missing = count_missing(chosen, log=log, hub=hub, members=members, not_counting=not_counting)
    for witness in witnesses:
        left = count_missing([*chosen, witness], log=log, hub=hub, members=members, not_counting=not_counting)
        if left < missing:
            chosen.append(witness)
            missing = left
        if not missing:
            return chosen
    return []


def check_witnessed(
    record_id: str,
    record_origin: str,
    inclusion: Inclusion,
    documents: Sequence[bytes],
    find_member: FindMember,
    *,
    hub: str,
    members: Collection[str],
) -> Witnessed:
    """Verify that a record is in a log whose checkpoint (the first document) the required witnesses cosigned.

    The time is that of the last required cosignature: before it, the whole set did not vouch; and never before the
    checkpoint's own. Raise TrustError.
    """
    checkpoint = open_checkpoint(documents[0], find_member)
    leaf = hash_leaf(leaf_entry(record_id, inclusion.salt))
    check_inclusion(leaf, inclusion.index, checkpoint.size, inclusion.path, checkpoint.root)
    cosigned = sorted(_open_matching(documents[1:], checkpoint, find_member), key=lambda item: item.cosigned_at)
    for count in range(1, len(cosigned) + 1):
        enough = cosigned[:count]
        who = tuple(sorted({item.witness for item in enough}))
        if not count_missing(who, log=checkpoint.origin, hub=hub, members=members, not_counting=record_origin):
            at = max(enough[-1].cosigned_at, checkpoint.issued_at)
            return Witnessed(record_id, checkpoint.origin, checkpoint.size, at, who)
    raise TrustError("witness-missing", "缺少必需的见证签名。", "A required witness has not cosigned.")


def _open_matching(documents: Sequence[bytes], checkpoint: Checkpoint, find_member: FindMember) -> list[Cosignature]:
    """Return the cosignatures under this very size and root; one of a key that no longer counts is passed over."""
    found = []
    for data in documents:
        try:
            item = open_cosignature(data, find_member, kept=True)
        except TrustError as error:
            if error.code in NO_LONGER_COUNTING:
                continue
            raise
        state = (item.federation, item.origin, item.size, item.root)
        if state != (checkpoint.federation, checkpoint.origin, checkpoint.size, checkpoint.root):
            raise TrustError("witness-mismatch", "见证签名属于别的检查点。", "A cosignature is of another checkpoint.")
        found.append(item)
    return found
