"""What officers can change in the roll: each change is a function from a roll to the next one, checked by state.

    propose(held, rename("n-...", "..."), now=now)          several changes may go into one draft

Which state allows which action stands as data in `roll.MEMBER_STATES` and `roll.KEY_STATES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from federation.errors import Conflict, InputRefused
from federation.keys import public_pem, read_public_key
from federation.roll import (
    ACTIVE,
    HUB,
    INDEX,
    KEY_STATES,
    MEMBER_STATES,
    REVOKED,
    KeyEntry,
    MemberEntry,
    Officer,
    Roll,
)

Change = Callable[[Roll], Roll]


def key_entry(pem: str) -> KeyEntry:
    """Return an active key in its one spelling; raise TrustError where it cannot be read."""
    key = read_public_key(pem)
    return KeyEntry(key.keyid, public_pem(key))


def add_member(entry: MemberEntry) -> Change:
    """Add a new member."""

    def change(roll: Roll) -> Roll:
        _next_state(MEMBER_STATES, "add", roll.members[entry.id].status if entry.id in roll.members else "")
        for key in entry.keys:
            key_entry(key.pem)  # nobody adds a key that this program cannot read
        return roll.with_member(entry)

    return change


def suspend(member_id: str) -> Change:
    """Keep a member out until it is resumed."""
    return _status(member_id, "suspend")


def resume(member_id: str) -> Change:
    """Let a suspended member speak again."""
    return _status(member_id, "resume")


def leave(member_id: str) -> Change:
    """Let a member go; what it signed stays verifiable."""
    return _status(member_id, "leave")


def come_back(member_id: str) -> Change:
    """Take a member that left in again, under its old id."""
    return _status(member_id, "return")


def merge(gone: str, into: str) -> Change:
    """Let one school go into another: it leaves, and the list says where it went."""

    def change(roll: Roll) -> Roll:
        _member(roll, into)
        if gone == into:
            raise InputRefused("member-merge-self", "成员不能并入自己。", "A member cannot be merged into itself.")
        roll = _status(gone, "merge")(roll)
        return roll.with_member(replace(roll.members[gone], merged_into=into))

    return change


def rename(member_id: str, name: str) -> Change:
    """Give a member another name; its code and id stay."""
    return describe(member_id, name=name)


def describe(member_id: str, **fields: Any) -> Change:
    """Set descriptive fields: name, code, url, transport, groups, roles, sealing_key, parent."""
    unknown = set(fields) - {"name", "code", "url", "transport", "groups", "roles", "sealing_key", "parent"}
    if unknown:
        raise ValueError(f"not a field that is set this way: {sorted(unknown)}")

    def change(roll: Roll) -> Roll:
        return roll.with_member(replace(_member(roll, member_id), **fields))

    return change


def add_key(member_id: str, pem: str) -> Change:
    """Give a member one more active key: the first half of a rotation with no gap in service."""

    def change(roll: Roll) -> Roll:
        member, key = _member(roll, member_id), key_entry(pem)
        listed = {known.keyid: known.status for known in member.keys}
        _next_state(KEY_STATES, "add", listed.get(key.keyid, ""))
        return roll.with_member(replace(member, keys=(key, *member.keys)))

    return change


def retire_key(member_id: str, keyid: str) -> Change:
    """End a key's use in good order: what it signed stays valid, and it signs nothing new."""
    return _key(member_id, keyid, "retire", None)


def revoke_key(member_id: str, keyid: str, at: datetime) -> Change:
    """Revoke a key as of a time, which may lie before today: what it signed later counts no more."""
    return _key(member_id, keyid, "revoke", at)


def rotate_key(member_id: str, pem: str) -> Change:
    """Give a member a new key and retire its others; of the hub, the new key signs the list too."""

    def change(roll: Roll) -> Roll:
        old = [key.keyid for key in _member(roll, member_id).active_keys]
        roll = _take_over(add_key(member_id, pem)(roll), member_id, pem)
        for keyid in old:
            roll = retire_key(member_id, keyid)(roll)
        return roll

    return change


def replace_key(member_id: str, pem: str, revoked_at: datetime) -> Change:
    """Give a member a new key in place of a lost or stolen one, which is revoked as of a time."""

    def change(roll: Roll) -> Roll:
        old = [key.keyid for key in _member(roll, member_id).active_keys]
        roll = _take_over(add_key(member_id, pem)(roll), member_id, pem)
        for keyid in old:
            roll = revoke_key(member_id, keyid, revoked_at)(roll)
        return roll

    return change


def set_document(path: str, data: bytes) -> Change:
    """Put a further document into the list (grants, catalogue, code lists, a schema); empty `data` takes it out."""

    def change(roll: Roll) -> Roll:
        if path == INDEX or path.startswith(("members-", "hold")):
            raise InputRefused("document-path", "该文件名由名录占用。", "This name belongs to the list itself.")
        documents = {name: known for name, known in roll.documents.items() if name != path}
        return replace(roll, documents=documents | ({path: data} if data else {}))

    return change


def add_officer(officer: Officer) -> Change:
    """Let one more officer sign."""

    def change(roll: Roll) -> Roll:
        return replace(roll, officers=(*roll.officers, officer))

    return change


def remove_officer(keyid: str) -> Change:
    """Take an officer's key out of root and targets; the threshold stays unless it is set too."""

    def change(roll: Roll) -> Roll:
        left = tuple(officer for officer in roll.officers if officer.keyid != keyid)
        if len(left) == len(roll.officers):
            raise InputRefused("officer-unknown", "没有这位签署人。", "There is no officer with this key.")
        return replace(roll, officers=left)

    return change


def set_threshold(threshold: int) -> Change:
    """Ask for this many officers' signatures from now on."""

    def change(roll: Roll) -> Roll:
        return replace(roll, threshold=threshold)

    return change


def hand_over(hub_id: str, keyid: str) -> Change:
    """Make another member the hub, whose key `keyid` signs timestamp and snapshot; the old one stays a member."""

    def change(roll: Roll) -> Roll:
        new, old = _member(roll, hub_id), roll.members[roll.hub]
        roll = roll.with_member(replace(old, roles=tuple(role for role in old.roles if role != HUB)))
        new = roll.members[hub_id] if new.id == old.id else new
        return replace(roll.with_member(replace(new, roles=(*new.roles, HUB))), hub=hub_id, hub_keyid=keyid)

    return change


def rename_federation(name: str) -> Change:
    """Give the federation another name; its id stays."""

    def change(roll: Roll) -> Roll:
        return replace(roll, name=name)

    return change


def apply(roll: Roll, changes: tuple[Change, ...]) -> Roll:
    """Return the roll after all changes, in their order."""
    for change in changes:
        roll = change(roll)
    return roll


def _member(roll: Roll, member_id: str) -> MemberEntry:
    if member_id not in roll.members:
        raise InputRefused("member-unknown", "名录中没有这个成员。", "There is no such member in the list.")
    return roll.members[member_id]


def _status(member_id: str, action: str) -> Change:
    def change(roll: Roll) -> Roll:
        member = _member(roll, member_id)
        status = _next_state(MEMBER_STATES, action, member.status)
        if member_id == roll.hub and status != ACTIVE:
            raise Conflict("member-is-hub", "请先移交汇总节点。", "This member is the hub; hand the hub over first.")
        return roll.with_member(replace(member, status=status, merged_into=""))

    return change


def _key(member_id: str, keyid: str, action: str, at: datetime | None) -> Change:
    def change(roll: Roll) -> Roll:
        member = _member(roll, member_id)
        states = {key.keyid: key.status for key in member.keys}
        if keyid not in states:
            raise InputRefused("member-key-unknown", "该成员没有这把密钥。", "The member has no such key.")
        state = _next_state(KEY_STATES, action, states[keyid])
        revoked_at = at if state == REVOKED else None
        keys = (
            replace(k, status=state, revoked_at=revoked_at, retired_at=None) if k.keyid == keyid else k
            for k in member.keys
        )
        return roll.with_member(replace(member, keys=tuple(keys)))

    return change


def _take_over(roll: Roll, member_id: str, pem: str) -> Roll:
    return replace(roll, hub_keyid=key_entry(pem).keyid) if member_id == roll.hub else roll


def _next_state(table: Mapping[str, tuple[frozenset[str], str]], action: str, state: str) -> str:
    allowed, following = table[action]
    if state not in allowed:
        raise Conflict(
            "state-forbids",
            f"当前状态（{state or '未登记'}）不允许此操作（{action}）。",
            f"The state {state or 'unlisted'} does not allow {action}.",
            state=state,
            action=action,
        )
    return following
