"""Editions of the member list: its metadata written, and the hub's daily signature on timestamp and snapshot.

Officers sign root (3 years) and targets (200 days), one officer a hold (14 days), the hub timestamp and snapshot (45
days, signed anew every day). The hub's key is one key of its own node, named by root.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from federation.documents import MAX_INTEGER, sha256_hex
from federation.errors import Conflict, TrustError
from federation.membership import LIFE_DAYS, Files
from federation.metadata import (
    HOLD,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    check_metadata,
    metadata_name,
    role_of,
    signers_of,
    version_in,
)
from federation.roll import HOLDS, Roll


def resign(files: Files, hub_signer: Signer, *, now: datetime) -> dict[str, bytes]:
    """Return the files with snapshot and timestamp signed anew for 45 days; raise TrustError for a key not the hub's.

    Under a new key both start at 1: readers forget the versions of a key that root no longer names.
    """
    root = newest_root(files)
    key = hub_signer.public_key
    if any(root.roles[role].keyids != [key.keyid] for role in (SNAPSHOT, TIMESTAMP)):
        raise TrustError("hub-key-not-listed", "名录未列出本节点的密钥。", "The list names another key for the hub.")
    kept = {path: data for path, data in files.items() if role_of(path) not in {SNAPSHOT, TIMESTAMP}}
    signed = [(f"{role}.json", data) for path, data in kept.items() if (role := role_of(path)) in {TARGETS, HOLD}]
    meta = {name: _meta_file(data) for name, data in signed}
    snapshot = Snapshot(_next_version(files, SNAPSHOT, key), expires=_expiry(SNAPSHOT, now), meta=meta)
    snapshot_bytes = _sign(Metadata(snapshot), hub_signer)
    timestamp = Timestamp(
        _next_version(files, TIMESTAMP, key), expires=_expiry(TIMESTAMP, now), snapshot_meta=_meta_file(snapshot_bytes)
    )
    kept[metadata_name(SNAPSHOT, snapshot.version)] = snapshot_bytes
    kept[metadata_name(TIMESTAMP, timestamp.version)] = _sign(Metadata(timestamp), hub_signer)
    return kept


def newest_root(files: Files) -> Root:
    """Return the newest root of these files."""
    newest = max((path for path in files if role_of(path) == ROOT), key=version_in)
    root: Root = check_metadata(files[newest], ROOT).signed
    return root


def new_root(roll: Roll, version: int, now: datetime) -> bytes:
    """Return root: officers sign root and targets, t of them; the hub's list key signs the rest."""
    officers = {officer.keyid: officer.key for officer in roll.officers}
    hub = roll.hub_key
    by_officers, by_hub = Role(sorted(officers), roll.threshold), Role([hub.keyid], 1)
    roles = {ROOT: by_officers, TARGETS: by_officers, SNAPSHOT: by_hub, TIMESTAMP: by_hub}
    root = Root(version, expires=_expiry(ROOT, now), keys={**officers, hub.keyid: hub}, roles=roles)
    return Metadata(root).to_bytes()


def new_targets(roll: Roll, files: Mapping[str, bytes], version: int, now: datetime) -> bytes:
    """Return targets for these files by path, with `hold` delegated to any one officer."""
    officers: dict[str, Key] = {officer.keyid: officer.key for officer in roll.officers}
    hold = DelegatedRole(HOLD, sorted(officers), 1, terminating=True, paths=[HOLDS])
    targets = Targets(
        version,
        expires=_expiry(TARGETS, now),
        targets={path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()},
        delegations=Delegations(officers, {HOLD: hold}),
    )
    return Metadata(targets).to_bytes()


def new_hold(data: bytes, version: int, now: datetime) -> bytes:
    """Return the hold role's metadata for the bytes of `hold.json`."""
    target = TargetFile.from_data(HOLDS, data, ["sha256"])
    return Metadata(Targets(version, expires=_expiry(HOLD, now), targets={HOLDS: target})).to_bytes()


def _expiry(role: str, now: datetime) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0) + timedelta(days=LIFE_DAYS[role])


def _meta_file(data: bytes) -> MetaFile:
    return MetaFile(Metadata.from_bytes(data).signed.version, len(data), {"sha256": sha256_hex(data)})


def _sign(metadata: Metadata[Any], signer: Signer) -> bytes:
    metadata.sign(signer)
    return metadata.to_bytes()


def _next_version(files: Files, role: str, key: Key) -> int:
    for path, data in files.items():
        if role_of(path) == role:
            metadata = check_metadata(data, role)
            if not signers_of(metadata, [key]):
                return 1
            version: int = metadata.signed.version
            if version >= MAX_INTEGER:
                raise Conflict(
                    "list-versions-used-up",
                    "版本号已用尽，须由签署人更换汇总节点密钥。",
                    "No version is left; the officers must replace the hub's key.",
                )
            return version + 1
    return 1
