"""Drafts (变更草稿): changes of the member list on their way to t officers, each at their own machine.

A draft is the metadata and the target files as they shall be, with the signatures so far. Whoever signs looks at the
differences that their own machine computed from the list it last verified and the draft's bytes; nothing that a draft
says of itself is shown. The hub adds timestamp and snapshot, and publishes only what a reader accepts.

    "" --propose--> proposed --sign (until t)--> signed --complete--> published
                    proposed, signed --another draft is published--> outdated

What a draft can hold: targets alone (members, documents), root and targets (officers, the hub's key; with a hold that
the new officers sign, where the one who signed the present one may go), or hold alone.

A hold outdates no draft but another hold: one officer must not stop what t officers sign, least of all his own removal.
So a draft without a hold does not mind one, and a hold beside targets takes a version that one officer does not reach.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Role, Root, TargetFile

from federation.changes import Change, apply
from federation.documents import MAX_INTEGER, read_object, sha256_hex
from federation.editions import new_hold, new_root, new_targets, newest_root, resign
from federation.errors import Conflict, InputRefused, TrustError
from federation.holds import is_ended_earlier, with_hold, without_hold
from federation.holds import new_hold as make_hold
from federation.membership import MemberList, Versions, check_keys, refresh
from federation.metadata import (
    HOLD,
    ROOT,
    TARGETS,
    check_metadata,
    metadata_name,
    role_of,
    signers_of,
    target_name,
    version_in,
)
from federation.roll import (
    ACTIVE,
    HOLD_DAYS,
    HOLDS,
    RETIRED,
    SUSPENDED,
    Hold,
    Officer,
    Roll,
    read_holds,
    read_roll,
    write_holds,
    write_roll,
)
from federation.validation import check_schema

MAX_DRAFT_BYTES = 8_388_608
SIGNING_TIME = timedelta(days=14)  # as long as a request waits for the officers
HOLD_LEAP = 1_000_000  # versions of hold beside a new root: beyond all that one officer signs meanwhile
PROPOSED, SIGNED, OUTDATED, PUBLISHED = "proposed", "signed", "outdated", "published"

# action -> from which states, to which state
DRAFT_STATES: Mapping[str, tuple[frozenset[str], str]] = {
    "propose": (frozenset({""}), PROPOSED),
    "sign": (frozenset({PROPOSED, SIGNED}), SIGNED),
    "complete": (frozenset({SIGNED}), PUBLISHED),
    "overtake": (frozenset({PROPOSED, SIGNED}), OUTDATED),
}


@dataclass(frozen=True)
class Draft:
    """`base`: versions of root, targets and hold it was made from (0: none); `files`: new target bytes by path.

    The base's hold counts where the draft is nothing but a hold.
    """

    federation: str
    base: Versions
    metadata: Mapping[str, bytes]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Outcome:
    """What the list would say if the draft were published: read from its bytes, no signature counted yet."""

    roll: Roll
    holds: tuple[Hold, ...]
    expiries: Mapping[str, datetime]


@dataclass(frozen=True)
class Progress:
    """Who has signed one role's file with a valid signature, and how many of whom are asked for."""

    role: str
    signed: frozenset[str]
    keyids: frozenset[str]
    needed: int

    @property
    def missing(self) -> int:
        """Return how many signatures are still asked for."""
        return max(0, self.needed - len(self.signed))


def found(roll: Roll, *, now: datetime) -> Draft:
    """Return the draft of a federation's first list: root 1 and targets 1."""
    files = write_roll(roll)
    metadata = {ROOT: new_root(roll, 1, now), TARGETS: new_targets(roll, files, 1, now)}
    return Draft(roll.federation, {ROOT: 0, TARGETS: 0, HOLD: 0}, metadata, files)


def refound(old: Roll, federation: str, officers: tuple[Officer, ...], threshold: int) -> Roll:
    """Return the roll of a federation that is founded anew when too few officers are left: new id, members as before.

    Nothing of the old signatures counts: each member confirms the new anchor by fingerprint.
    """
    return replace(old, federation=federation, officers=officers, threshold=threshold)


def propose(held: MemberList, *changes: Change, now: datetime, renew_root: bool = False) -> Draft:
    """Return the draft that makes these changes; without any it renews the officers' signatures.

    Root goes with it where the officers, their threshold or the hub's list key change, or where it is to be renewed.
    """
    old = held.roll
    roll = _say_until_when(old, apply(old, changes), now + SIGNING_TIME)
    files = write_roll(roll)
    metadata = {TARGETS: new_targets(roll, files, held.versions[TARGETS] + 1, now)}
    new_keys = _signing(roll) != _signing(old)
    if new_keys or renew_root:
        metadata[ROOT] = new_root(roll, held.versions[ROOT] + 1, now)
    known = write_roll(old)
    changed = {path: data for path, data in files.items() if known.get(path) != data}
    restart = roll.hub_keyid != old.hub_keyid
    removed = {officer.keyid for officer in old.officers} - {officer.keyid for officer in roll.officers}
    holds = tuple(hold for hold in held.placed if not _resumed(old, roll, hold.member))
    # who signed the present hold, or signs one now, may be gone then
    if removed or (restart and held.versions[HOLD]) or holds != held.placed:
        changed[HOLDS] = write_holds(holds)
        metadata[HOLD] = new_hold(changed[HOLDS], _next_hold(held, restart=restart, leap=HOLD_LEAP), now)
    return Draft(roll.federation, _base(held), metadata, changed)


def _say_until_when(old: Roll, new: Roll, at: datetime) -> Roll:
    """Let each key that these changes retire say since when, so that all readers judge alike.

    The time lies ahead: until the officers have signed, and each reader has the list, the key goes on in good order.
    """
    before = {key.keyid for member in old.members.values() for key in member.keys if key.status == RETIRED}
    for member in new.members.values():
        keys = tuple(
            replace(key, retired_at=at.replace(microsecond=0))
            if key.status == RETIRED and key.retired_at is None and key.keyid not in before
            else key
            for key in member.keys
        )
        if keys != member.keys:
            new = new.with_member(replace(member, keys=keys))
    return new


def _resumed(old: Roll, new: Roll, member_id: str) -> bool:
    """Tell whether t officers let a member speak again: nobody's hold from before outlives that."""
    states = [roll.members[member_id].status for roll in (old, new) if member_id in roll.members]
    return states == [SUSPENDED, ACTIVE]


def place_hold(
    held: MemberList, member_id: str, officer: str, *, now: datetime, reason: str = "", days: int = HOLD_DAYS
) -> Draft:
    """Return the draft by which one officer (key id) keeps a member out for at most 14 days.

    Raise Conflict for the hub, and for a member that was held under this edition of the targets already.
    """
    if member_id not in held.roll.members:
        raise InputRefused("member-unknown", "名录中没有这个成员。", "There is no such member in the list.")
    if member_id == held.roll.hub:
        raise Conflict("member-is-hub", "请先移交汇总节点。", "This member is the hub; hand the hub over first.")
    edition = held.versions[TARGETS]
    hold = make_hold(member_id, officer, edition, now=now, reason=reason, days=days)
    return _hold_draft(held, with_hold(held.placed, hold, now), now)


def lift_hold(held: MemberList, member_id: str, *, now: datetime) -> Draft:
    """Return the draft by which one officer lets a held member speak again; raise Conflict where it is not held."""
    hold = held.hold_on(member_id)
    if hold is None or hold.until <= now:
        raise Conflict("hold-missing", "该成员没有被临时暂停。", "This member is not held.")
    return _hold_draft(held, without_hold(held.placed, member_id, held.versions[TARGETS], now), now)


def read_outcome(held: MemberList | None, draft: Draft) -> Outcome:
    """Return what the list would say; raise Conflict where the draft was made from another list, TrustError for faults.

    Everything is read from bytes that the list's or the draft's own metadata name by digest.
    """
    _check_base(held, draft)
    metadata = _metadata(held, draft)
    known = {sha256_hex(data): data for data in (*(held.files.values() if held else ()), *draft.files.values())}
    targets = _pick(metadata[TARGETS].signed.targets, known)
    roll = read_roll(targets)
    if roll.federation != draft.federation:
        raise TrustError("list-federation", "这是另一联合体的名录。", "This is the list of another federation.")
    check_keys(roll, metadata[ROOT], metadata[TARGETS])
    holds = held.placed if held else ()
    if HOLD in draft.metadata:
        holds = read_holds(_pick(metadata[HOLD].signed.targets, known)[HOLDS])
    expiries = {role: m.signed.expires for role, m in metadata.items()}
    return Outcome(roll, holds, expiries)


def progress(held: MemberList | None, draft: Draft) -> tuple[Progress, ...]:
    """Return how far the draft is in each count of signatures; root is counted by old and by new officers."""
    metadata = _metadata(held, draft)
    root: Root = metadata[ROOT].signed
    counts = []
    if ROOT in draft.metadata:
        delegators = [root, *([newest_root(held.files)] if held else [])]
        counts += [_count(ROOT, each.keys, each.roles[ROOT], metadata[ROOT]) for each in delegators]
    if TARGETS in draft.metadata:
        counts.append(_count(TARGETS, root.keys, root.roles[TARGETS], metadata[TARGETS]))
    if HOLD in draft.metadata:
        delegations = metadata[TARGETS].signed.delegations
        counts.append(_count(HOLD, delegations.keys, delegations.roles[HOLD], metadata[HOLD]))
    return tuple(counts)


def state_of(held: MemberList | None, draft: Draft) -> str:
    """Return the draft's state as against the list that is held: proposed, signed or outdated."""
    if not _follows(held, draft):
        return OUTDATED
    return PROPOSED if any(count.missing for count in progress(held, draft)) else SIGNED


def sign_draft(held: MemberList | None, draft: Draft, signer: Signer, *, seen: Outcome) -> Draft:
    """Return the draft with one officer's signature on every file that is theirs to sign.

    `seen` is the outcome whose differences the officer was shown: it is computed again here, and another one refused.
    Raise TrustError where the key is no officer's, neither of the old list nor of the new one.
    """
    if read_outcome(held, draft) != seen:
        raise Conflict("draft-changed", "草稿已变，请重新核对。", "The draft is not the one that was shown.")
    keyid = signer.public_key.keyid
    roles = {count.role for count in progress(held, draft) if keyid in count.keyids}
    if not roles:
        raise TrustError("officer-unknown", "该密钥不是签署人的。", "This key is not one of the officers'.")
    signed = dict(draft.metadata)
    for role in roles:
        metadata = check_metadata(draft.metadata[role], role)
        metadata.sign(signer, append=True)
        signed[role] = metadata.to_bytes()
    return replace(draft, metadata=signed)


def merge_signatures(held: MemberList | None, draft: Draft, other: Draft) -> Draft:
    """Return the draft with the valid signatures of both; raise Conflict where they are not the same draft."""
    if _unsigned(draft) != _unsigned(other) or dict(draft.files) != dict(other.files):
        raise Conflict("draft-differs", "这是另一份草稿。", "This is another draft.")
    merged = {}
    for role, data in draft.metadata.items():
        metadata = check_metadata(data, role)
        theirs = check_metadata(other.metadata[role], role)
        keys = _keys(held, draft, role)
        valid = {keyid: theirs.signatures[keyid] for keyid in signers_of(theirs, keys)}
        valid |= {keyid: metadata.signatures[keyid] for keyid in signers_of(metadata, keys)}
        metadata.signatures = dict(sorted(valid.items()))
        merged[role] = metadata.to_bytes()
    return replace(draft, metadata=merged)


def complete(held: MemberList | None, draft: Draft, hub_signer: Signer, *, now: datetime) -> MemberList:
    """Return the list that the draft makes, signed by the hub, and accepted by a reader who holds the present one.

    Raise TrustError `signatures-missing` where fewer than t officers have signed, Conflict where it is outdated.
    """
    roll = read_outcome(held, draft).roll
    for count in progress(held, draft):
        if count.missing:
            raise TrustError(
                "signatures-missing",
                f"还缺 {count.missing} 个签名。",
                f"{count.missing} more signatures are needed ({count.role}).",
                role=count.role,
                missing=count.missing,
            )
    _check_holders(held, draft)
    files = _assemble(held, draft)
    _check_in_time(held, roll, now)
    files = resign(files, hub_signer, now=now)
    first = min((path for path in files if role_of(path) == ROOT), key=version_in)
    return refresh(files[first], held.files if held else {}, files.get, federation=draft.federation, now=now)


def digest_of(draft: Draft) -> str:
    """Return the SHA-256 (hex) that names a draft: of all that is signed and carried, without the signatures."""
    parts = {f"{role}.json": sha256_hex(data) for role, data in _unsigned(draft).items()}
    parts |= {f"files/{path}": sha256_hex(data) for path, data in draft.files.items()}
    return sha256_hex(json.dumps(parts, sort_keys=True).encode())


def write_draft(draft: Draft) -> bytes:
    """Return the draft as one JSON file."""
    document = {
        "version": 1,
        "federation": draft.federation,
        "base": dict(draft.base),
        "metadata": {role: data.decode() for role, data in draft.metadata.items()},
        "files": {path: data.decode() for path, data in draft.files.items()},
    }
    check_schema("draft.v1", document)
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def read_draft(data: bytes) -> Draft:
    """Read a draft file; raise TrustError or InputRefused where it is none. Its signatures are not counted here."""
    try:
        document = read_object(data, max_bytes=MAX_DRAFT_BYTES)
        check_schema("draft.v1", document)
    except TrustError as error:
        raise InputRefused(
            "draft-unreadable", "这不是名录变更草稿。", "This is no draft of a member list.", reason=error.code
        ) from error
    metadata = {role: text.encode() for role, text in document["metadata"].items()}
    for role, content in metadata.items():
        check_metadata(content, role)
    if not metadata:
        raise InputRefused("draft-empty", "草稿没有内容。", "The draft holds nothing to sign.")
    files = {path: text.encode() for path, text in document["files"].items()}
    return Draft(document["federation"], document["base"], metadata, files)


def _check_in_time(held: MemberList | None, roll: Roll, now: datetime) -> None:
    """Refuse a draft that was signed so late that a key it retires may have signed after its day, in good order."""
    listed = _retired_in(held.roll) if held else {}
    if any(at < now for keyid, at in _retired_in(roll).items() if keyid not in listed):
        raise Conflict(
            "draft-too-late",
            "该草案签得太晚：其中停用的密钥已过停用时间。请重新提出。",
            "This draft was signed too late: a key that it retires is past its day. Propose it anew.",
        )


def _retired_in(roll: Roll) -> dict[str, datetime]:
    return {key.keyid: key.retired_at for member in roll.members.values() for key in member.keys if key.retired_at}


def _check_holders(held: MemberList | None, draft: Draft) -> None:
    """Raise TrustError where a new hold names another officer than the one who signed it; t officers may keep any."""
    if held is None or set(draft.metadata) != {HOLD}:
        return
    signed = {keyid for count in progress(held, draft) if count.role == HOLD for keyid in count.signed}
    for hold in read_outcome(held, draft).holds:
        known = any(hold == one or is_ended_earlier(one, hold) for one in held.placed)
        if not known and hold.officer not in signed:
            raise TrustError("hold-officer", "临时暂停的签署人不符。", "A hold names an officer who has not signed it.")


def _assemble(held: MemberList | None, draft: Draft) -> dict[str, bytes]:
    """Return all files but snapshot and timestamp: the present ones that are still named, and the draft's."""
    files = {path: data for path, data in (held.files if held else {}).items() if not path.startswith("targets/")}
    for role, data in draft.metadata.items():
        if role != ROOT:
            files = {path: content for path, content in files.items() if role_of(path) != role}
        files[metadata_name(role, check_metadata(data, role).signed.version)] = data
    known = {sha256_hex(data): data for data in (*(held.files.values() if held else ()), *draft.files.values())}
    for path, data in list(files.items()):
        if role_of(path) in {TARGETS, HOLD}:
            for name, content in _pick(check_metadata(data, role_of(path)).signed.targets, known).items():
                files[target_name(name, sha256_hex(content))] = content
    return files


def _pick(targets: Mapping[str, TargetFile], known: Mapping[str, bytes]) -> dict[str, bytes]:
    missing = [path for path, target in targets.items() if target.hashes["sha256"] not in known]
    if missing:
        raise TrustError("list-mixed", "草稿缺少文件。", f"The draft names files that it does not hold: {missing[:3]}.")
    return {path: known[target.hashes["sha256"]] for path, target in targets.items()}


def _check_base(held: MemberList | None, draft: Draft) -> None:
    if held is not None and draft.federation != held.federation:
        raise TrustError("list-federation", "这是另一联合体的名录。", "This is the list of another federation.")
    if not _follows(held, draft):
        raise Conflict(
            "draft-outdated",
            "名录已变，草稿不再适用，请重新提出。",
            "The draft was made from another edition of the list; propose the change again.",
        )


def _follows(held: MemberList | None, draft: Draft) -> bool:
    """Tell whether the draft was made from the edition that is held: of hold alone, also from its hold."""
    base = _base(held)
    following = {role: check_metadata(data, role).signed.version for role, data in draft.metadata.items()}
    hold = following.pop(HOLD, None)
    beside = TARGETS in following  # t officers sign it with the rest: no single one's hold outdates it
    fixed = (ROOT, TARGETS) if hold is None or beside else (ROOT, TARGETS, HOLD)
    if any(draft.base[role] != base[role] for role in fixed):
        return False
    if hold is not None and beside:  # under a new hub key it may begin anew; else a reader refuses that
        fits = hold > base[HOLD] or (hold == 1 and ROOT in following)
    else:
        fits = hold is None or hold == base[HOLD] + 1
    return fits and all(version == base[role] + 1 for role, version in following.items())


def _base(held: MemberList | None) -> dict[str, int]:
    return {role: held.versions.get(role, 0) if held else 0 for role in (ROOT, TARGETS, HOLD)}


def _metadata(held: MemberList | None, draft: Draft) -> dict[str, Metadata[Any]]:
    """Return root, targets and hold as they would be."""
    present = {role_of(path): data for path, data in sorted((held.files if held else {}).items(), key=_by_number)}
    data = {role: present[role] for role in (ROOT, TARGETS, HOLD) if role in present} | dict(draft.metadata)
    if ROOT not in data or TARGETS not in data:
        raise TrustError("list-mixed", "草稿缺少文件。", "The draft lacks a root or targets file.")
    return {role: check_metadata(content, role) for role, content in data.items()}


def _keys(held: MemberList | None, draft: Draft, role: str) -> list[Key]:
    metadata = _metadata(held, draft)
    if role == HOLD:
        return list(metadata[TARGETS].signed.delegations.keys.values())
    old = newest_root(held.files).keys if held else {}
    return list({**old, **metadata[ROOT].signed.keys}.values())


def _count(role: str, keys: Mapping[str, Key], rule: Role, metadata: Metadata[Any]) -> Progress:
    signed = signers_of(metadata, (keys[keyid] for keyid in rule.keyids))
    return Progress(role, signed, frozenset(rule.keyids), rule.threshold)


def _signing(roll: Roll) -> tuple[Any, ...]:
    return {officer.keyid for officer in roll.officers}, roll.threshold, roll.hub_keyid


def _unsigned(draft: Draft) -> dict[str, bytes]:
    return {role: check_metadata(data, role).signed_bytes for role, data in draft.metadata.items()}


def _hold_draft(held: MemberList, holds: tuple[Hold, ...], now: datetime) -> Draft:
    data = write_holds(holds)
    metadata = {HOLD: new_hold(data, _next_hold(held), now)}
    return Draft(held.federation, _base(held), metadata, {HOLDS: data})


def _next_hold(held: MemberList, *, restart: bool = False, leap: int = 1) -> int:
    """Return the next version of hold; under a new hub key it begins anew, so no officer can use them all up."""
    if restart:
        return 1
    if held.versions[HOLD] >= MAX_INTEGER:
        raise Conflict(
            "list-versions-used-up",
            "版本号已用尽，须由签署人更换汇总节点密钥。",
            "No version is left; the officers must replace the hub's key.",
        )
    return min(held.versions[HOLD] + leap, MAX_INTEGER)


def _by_number(item: tuple[str, bytes]) -> int:
    return version_in(item[0])
