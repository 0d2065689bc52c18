"""The roll (名录): what the officers of a federation sign about its members, as plain data and as files.

The files are TUF targets: `index.json` (who the federation is, its hub, its officers), `members-00.json` to
`members-3f.json` (members by the first six bits of their random id), and further documents that are only carried here:
`grants.json`, `catalogue.json`, `codelists.json`, `schemas/NAME.vN.json`. Members of an object that this program does
not know are kept and written again untouched, so that an officer with an older program takes nothing away.

Rules that every roll keeps, whoever signed it: an id stands once; a key has one owner, and an officer's key is no
member's; a member that is active has an active key; the hub is an active member and its list key is one of its own.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from securesystemslib.signer import Key

from federation.documents import dump_document, format_time, read_object, read_time, sha256_hex
from federation.errors import TrustError
from federation.keys import public_pem, read_public_key
from federation.validation import check_schema

INDEX, HOLDS = "index.json", "hold.json"
GRANTS, CATALOGUE, CODELISTS, SCHEMAS = "grants.json", "catalogue.json", "codelists.json", "schemas/"
ACTIVE, SUSPENDED, LEFT = "active", "suspended", "left"
RETIRED, REVOKED = "retired", "revoked"
HUB = "hub"  # a role
AGGREGATOR = "aggregator"  # the group of the one member that is the second body of exact totals, and has no figures
HOLD_DAYS = 14

# What officers may do with a member and with a key: action -> from which states, to which state.
MEMBER_STATES: Mapping[str, tuple[frozenset[str], str]] = {
    "add": (frozenset({""}), ACTIVE),
    "suspend": (frozenset({ACTIVE}), SUSPENDED),
    "resume": (frozenset({SUSPENDED}), ACTIVE),
    "leave": (frozenset({ACTIVE, SUSPENDED}), LEFT),
    "merge": (frozenset({ACTIVE, SUSPENDED}), LEFT),
    "return": (frozenset({LEFT}), ACTIVE),
}
KEY_STATES: Mapping[str, tuple[frozenset[str], str]] = {
    "add": (frozenset({""}), ACTIVE),
    "retire": (frozenset({ACTIVE}), RETIRED),
    "revoke": (frozenset({ACTIVE, RETIRED, REVOKED}), REVOKED),
}

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class KeyEntry:
    """One signing key of a member. `revoked_at`: what it signed counts only where evidence shows it older.

    `retired_at`: what it says that it signed later does not count, at any reader; lists of earlier programs name none.
    """

    keyid: str
    pem: str
    status: str = ACTIVE
    revoked_at: datetime | None = None
    retired_at: datetime | None = None


@dataclass(frozen=True)
class MemberEntry:
    """One member. `code` is the school's (901), `sealing_key` X25519 raw in base64, `merged_into` a member's id."""

    id: str
    name: str
    keys: tuple[KeyEntry, ...]
    code: str = ""
    url: str = ""
    status: str = ACTIVE
    roles: tuple[str, ...] = ()
    transport: str = "direct"
    groups: tuple[str, ...] = ()
    sealing_key: str = ""
    parent: str = ""
    merged_into: str = ""
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def active_keys(self) -> tuple[KeyEntry, ...]:
        """Return the keys with which the member may speak now."""
        return tuple(key for key in self.keys if key.status == ACTIVE)


@dataclass(frozen=True)
class Officer:
    """One list officer, who signs root and targets with this key, off line."""

    name: str
    pem: str

    @property
    def key(self) -> Key:
        """Return the public key; raise TrustError where it cannot be read."""
        return read_public_key(self.pem)

    @property
    def keyid(self) -> str:
        """Return the id of the key."""
        return self.key.keyid


@dataclass(frozen=True)
class Hold:
    """One officer's word that a member is to be kept out, at most 14 days from `since`, until t officers decide.

    `targets` is the version of targets under which it was made; 0 where an earlier program wrote it.
    """

    member: str
    since: datetime
    until: datetime
    officer: str
    reason: str = ""
    targets: int = 0

    def in_force(self, now: datetime) -> bool:
        """Tell whether the hold counts at `now`."""
        return self.since <= now < self.until


@dataclass(frozen=True)
class Roll:
    """Everything that targets and root say. `hub_keyid` signs timestamp and snapshot; `documents` by target path."""

    federation: str
    name: str
    hub: str
    hub_keyid: str
    officers: tuple[Officer, ...]
    threshold: int
    members: Mapping[str, MemberEntry]
    documents: Mapping[str, bytes] = field(default_factory=lambda: _NOTHING)
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def hub_key(self) -> Key:
        """Return the hub's key that signs timestamp and snapshot; raise TrustError where the hub does not own it."""
        for key in self.members[self.hub].active_keys:
            if key.keyid == self.hub_keyid:
                return read_public_key(key.pem)
        raise _refuse("list-hub-key", "名录签发密钥不是汇总节点的。", "The hub's list key is not one of its own keys.")

    def with_member(self, entry: MemberEntry) -> "Roll":
        """Return the roll with this member added or replaced."""
        return replace(self, members={**self.members, entry.id: entry})


def bucket_of(member_id: str) -> str:
    """Return the file in which a member stands: the first six bits of its random id, as two hex digits."""
    first = base64.b32decode(member_id[2:10].upper())[0]
    return f"members-{first >> 2:02x}.json"


def write_roll(roll: Roll) -> dict[str, bytes]:
    """Return the target files of the roll by path; raise TrustError where it breaks a rule of the module."""
    check_roll(roll)
    buckets: dict[str, list[dict[str, Any]]] = {}
    for identity in sorted(roll.members):
        buckets.setdefault(bucket_of(identity), []).append(_member_json(roll.members[identity]))
    files = {path: dump_document({"version": 1, "members": entries}) for path, entries in sorted(buckets.items())}
    files |= roll.documents
    index = {
        **roll.extra,
        "version": 1,
        "federation": roll.federation,
        "name": roll.name,
        "hub": {"id": roll.hub, "keyid": roll.hub_keyid},
        "officers": [{"name": o.name, "keyid": o.keyid, "public": o.pem} for o in roll.officers],
        "threshold": roll.threshold,
        "files": {path: sha256_hex(data) for path, data in sorted(files.items())},
    }
    check_schema("membership-index.v1", index)
    return {INDEX: dump_document(index), **files}


def read_roll(files: Mapping[str, bytes]) -> Roll:
    """Read target files by path into a roll; raise TrustError where one is misshapen, missing or breaks a rule."""
    index = read_object(files[INDEX]) if INDEX in files else {}
    check_schema("membership-index.v1", index)
    others = {path: data for path, data in files.items() if path not in {INDEX, HOLDS}}
    if {path: sha256_hex(data) for path, data in others.items()} != index["files"]:
        raise _refuse("list-mixed", "名录各文件不属于同一版。", "The files of the list are not of one edition.")
    members: dict[str, MemberEntry] = {}
    for path in sorted(path for path in others if path.startswith("members-")):
        for entry in _read_members(others.pop(path), path):
            if entry.id in members:
                raise _refuse("list-member-twice", "成员在名录中出现两次。", "A member stands twice in the list.")
            members[entry.id] = entry
    known = {"version", "federation", "name", "hub", "officers", "threshold", "files"}
    roll = Roll(
        federation=index["federation"],
        name=index["name"],
        hub=index["hub"]["id"],
        hub_keyid=index["hub"]["keyid"],
        officers=tuple(_read_officer(entry) for entry in index["officers"]),
        threshold=index["threshold"],
        members=members,
        documents=others,
        extra={name: value for name, value in index.items() if name not in known},
    )
    check_roll(roll)
    return roll


def write_holds(holds: Iterable[Hold]) -> bytes:
    """Return `hold.json`."""
    entries = [
        {
            "member": hold.member,
            "since": format_time(hold.since),
            "until": format_time(hold.until),
            "officer": hold.officer,
            "reason": hold.reason,
            **({"targets": hold.targets} if hold.targets else {}),
        }
        for hold in sorted(holds, key=lambda hold: hold.member)
    ]
    document = {"version": 1, "holds": entries}
    check_schema("membership-hold.v1", document)
    return dump_document(document)


def read_holds(data: bytes) -> tuple[Hold, ...]:
    """Read `hold.json`; raise TrustError where a member is held twice or for more than 14 days."""
    document = read_object(data)
    check_schema("membership-hold.v1", document)
    holds = tuple(
        Hold(
            entry["member"],
            read_time(entry["since"]),
            read_time(entry["until"]),
            entry["officer"],
            entry["reason"],
            entry.get("targets", 0),
        )
        for entry in document["holds"]
    )
    for hold in holds:
        if not 0 < (hold.until - hold.since).total_seconds() <= HOLD_DAYS * 86_400:
            raise _refuse("hold-too-long", "暂停不得超过 14 天。", "One officer may hold a member for at most 14 days.")
    if len({hold.member for hold in holds}) != len(holds):
        raise _refuse("list-member-twice", "成员被暂停两次。", "A member is held twice.")
    return holds


def check_roll(roll: Roll) -> None:
    """Raise TrustError unless the roll keeps the rules at the head of this module."""
    owners = {officer.keyid: officer.name for officer in roll.officers}
    if len(owners) != len(roll.officers):
        raise _refuse("list-key-twice", "两位签署人使用同一密钥。", "Two officers have one key.")
    if not 1 <= roll.threshold <= len(owners):
        raise _refuse("officers-too-few", "签署人人数少于所需签名数。", "Fewer officers than signatures asked for.")
    for entry in roll.members.values():
        for key in entry.keys:
            if not _own_id(key):
                raise _refuse("key-id-mismatch", "公钥与其编号不符。", "A public key does not belong to its id.")
            if key.keyid in owners:
                raise _refuse("list-key-twice", "同一密钥在名录中有两个主人。", "One key has two owners in the list.")
            owners[key.keyid] = entry.id
        if entry.status == ACTIVE and not entry.active_keys:
            raise _refuse("member-without-key", "有效成员没有有效密钥。", "A member is active and has no active key.")
        if entry.merged_into and entry.merged_into not in roll.members:
            raise _refuse("member-unknown", "并入的成员不在名录中。", "A member is merged into one who is not listed.")
    hubs = [entry.id for entry in roll.members.values() if HUB in entry.roles and entry.status == ACTIVE]
    if hubs != [roll.hub]:
        raise _refuse("list-hub", "名录中的汇总节点不唯一。", "The list has no hub, or another than it says.")
    _ = roll.hub_key


def _own_id(key: KeyEntry) -> bool:
    """Tell whether a key id is its key's own; a key of an algorithm that only a later program knows is let pass.

    One member's new key must not take the whole list from an older program, which can verify nothing with it anyway.
    """
    try:
        return read_public_key(key.pem).keyid == key.keyid
    except TrustError:
        return True


def _member_json(entry: MemberEntry) -> dict[str, Any]:
    document: dict[str, Any] = {
        **entry.extra,
        "id": entry.id,
        "name": entry.name,
        "code": entry.code,
        "url": entry.url,
        "status": entry.status,
        "roles": sorted(entry.roles),
        "transport": entry.transport,
        "groups": sorted(entry.groups),
        "keys": [_key_json(key) for key in entry.keys],
    }
    optional = {"sealing_key": entry.sealing_key, "parent": entry.parent, "merged_into": entry.merged_into}
    return document | {name: value for name, value in optional.items() if value}


def _key_json(key: KeyEntry) -> dict[str, Any]:
    times = {"revoked_at": key.revoked_at, "retired_at": key.retired_at}
    entry = {"keyid": key.keyid, "pem": key.pem, "status": key.status}
    return entry | {name: format_time(at) for name, at in times.items() if at is not None}


@lru_cache(maxsize=256)  # a change touches one file of 64: the others are not read again
def _read_members(data: bytes, path: str) -> tuple[MemberEntry, ...]:
    document = read_object(data)
    check_schema("membership-members.v1", document)
    entries = tuple(_read_member(entry) for entry in document["members"])
    if any(bucket_of(entry.id) != path for entry in entries):
        raise _refuse("list-mixed", "成员不在其应在的文件中。", "A member stands in another file than its own.")
    return entries


_MEMBER_FIELDS = frozenset(MemberEntry.__dataclass_fields__) - {"extra"}


def _read_member(entry: Mapping[str, Any]) -> MemberEntry:
    return MemberEntry(
        id=entry["id"],
        name=entry["name"],
        keys=tuple(_read_key(key) for key in entry["keys"]),
        code=entry["code"],
        url=entry["url"],
        status=entry["status"],
        roles=tuple(entry["roles"]),
        transport=entry["transport"],
        groups=tuple(entry["groups"]),
        sealing_key=entry.get("sealing_key", ""),
        parent=entry.get("parent", ""),
        merged_into=entry.get("merged_into", ""),
        extra={name: value for name, value in entry.items() if name not in _MEMBER_FIELDS},
    )


def _read_key(key: Mapping[str, Any]) -> KeyEntry:
    revoked, retired = (read_time(key[name]) if name in key else None for name in ("revoked_at", "retired_at"))
    if (revoked is not None) != (key["status"] == REVOKED):
        raise _refuse("list-shape", "作废的密钥须有时间。", "A key that is revoked names a time, and no other does.")
    if retired is not None and key["status"] != RETIRED:
        raise _refuse("list-shape", "只有停用的密钥有停用时间。", "Only a key that is retired says since when.")
    return KeyEntry(key["keyid"], key["pem"], key["status"], revoked, retired)


def _read_officer(entry: Mapping[str, Any]) -> Officer:
    officer = Officer(entry["name"], entry["public"])
    if officer.keyid != entry["keyid"] or public_pem(officer.key) != entry["public"]:
        raise _refuse("key-id-mismatch", "公钥与其编号不符。", "A public key does not belong to its id.")
    return officer


def _refuse(code: str, zh: str, en: str) -> TrustError:
    return TrustError(code, zh, en)
