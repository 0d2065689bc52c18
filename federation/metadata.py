"""One TUF metadata file, looked at strictly before python-tuf sees it, and written the way python-tuf writes it.

python-tuf and securesystemslib take a key id at its word: one public key under two ids counts as two signers. They also
pass unknown members of the envelope on, and read JSON leniently. So each file is checked here first: strict JSON, an
envelope of `signatures` and `signed` and nothing else, no signature twice, every key id computed anew from the key in
its one spelling, targets named by SHA-256 alone and by paths that stay where they are. Signatures, thresholds, versions
and expiry remain the library's business.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, SSlibKey
from tuf.api.metadata import Metadata, Snapshot, Timestamp
from tuf.api.serialization import DeserializationError

from federation.documents import MAX_INTEGER, read_object
from federation.errors import TrustError
from federation.keys import public_pem, read_public_key

ROOT, TIMESTAMP, SNAPSHOT, TARGETS, HOLD = "root", "timestamp", "snapshot", "targets", "hold"
ROLES = (ROOT, TIMESTAMP, SNAPSHOT, TARGETS, HOLD)
MAX_BYTES = {ROOT: 524_288, TIMESTAMP: 16_384, SNAPSHOT: 32_768, TARGETS: 524_288, HOLD: 131_072}
MAX_TARGETS = 320
MAX_TARGET_BYTES = 2_097_152
MAX_SIGNERS = 64

_KEYID = re.compile(r"[0-9a-f]{64}")
_SIG = re.compile(r"(?:[0-9a-f]{2}){1,4800}")  # an ML-DSA-87 signature has 4,627 bytes
_TARGET_PATH = re.compile(r"(?:schemas/)?[a-z0-9](?:[a-z0-9-]|\.(?!\.)){0,79}\.json")
_FILE = re.compile(r"(?:([1-9][0-9]{0,15})\.)?(root|timestamp|snapshot|targets|hold)\.json")


def metadata_name(role: str, version: int) -> str:
    """Return the path at which a metadata file is served: `3.targets.json`, the timestamp without a version."""
    return f"{role}.json" if role == TIMESTAMP else f"{version}.{role}.json"


def target_name(path: str, sha256: str) -> str:
    """Return the path at which a target is served: its digest stands before its last part."""
    folder, slash, name = path.rpartition("/")
    return f"targets/{folder}{slash}{sha256}.{name}"


def role_of(path: str) -> str:
    """Return the role whose metadata is served at `path`, or an empty text where it is no metadata."""
    match = _FILE.fullmatch(path)
    return match[2] if match and (match[1] is None) == (match[2] == TIMESTAMP) else ""


def version_in(path: str) -> int:
    """Return the version in the name of a metadata file; 0 where there is none. Sorts files oldest first."""
    number = path.partition(".")[0]
    return int(number) if number.isdecimal() else 0


def check_metadata(data: bytes, role: str) -> Metadata[Any]:
    """Return one metadata file, strictly looked at and read; raise TrustError. No signature is verified here."""
    outer = read_object(data, max_bytes=MAX_BYTES[role])
    if set(outer) != {"signatures", "signed"} or not isinstance(outer["signed"], dict):
        _refuse_shape("its envelope has other members than signatures and signed")
    _check_signatures(outer["signatures"])
    signed = outer["signed"]
    if signed.get("_type") != (TARGETS if role == HOLD else role):
        _refuse_shape("it is of another type than its name says")
    if type(signed.get("version")) is not int or not 1 <= signed["version"] <= MAX_INTEGER:
        _refuse_shape("its version is no number")
    if role == ROOT:
        _check_root(signed)
    elif role in {TARGETS, HOLD}:
        _check_targets(signed, role)
    else:
        _check_meta(signed.get("meta"), role)
    try:
        return Metadata.from_bytes(data)
    except DeserializationError as error:
        raise _shape("python-tuf cannot read it") from error


def signed_versions(metadata: Metadata[Any]) -> dict[str, int]:
    """Return the versions that a timestamp or a snapshot names, by role."""
    signed = metadata.signed
    if isinstance(signed, Timestamp):
        return {SNAPSHOT: signed.snapshot_meta.version}
    if isinstance(signed, Snapshot):
        return {name.removesuffix(".json"): file.version for name, file in signed.meta.items()}
    return {}


def signers_of(metadata: Metadata[Any], keys: Iterable[Key]) -> frozenset[str]:
    """Return which of `keys` have signed this metadata, each verified."""
    found = set()
    for key in keys:
        signature = metadata.signatures.get(key.keyid)
        if signature is not None and _verifies(key, signature, metadata.signed_bytes):
            found.add(key.keyid)
    return frozenset(found)


def expires_at(metadata: Metadata[Any]) -> datetime:
    """Return when this metadata expires (UTC)."""
    at: datetime = metadata.signed.expires
    return at


def _verifies(key: Key, signature: Any, data: bytes) -> bool:
    try:
        key.verify_signature(signature, data)
    except UnverifiedSignatureError:
        return False
    return True


def _check_signatures(signatures: Any) -> None:
    if not isinstance(signatures, list) or len(signatures) > MAX_SIGNERS:
        _refuse_shape("its signatures are no list, or too many")
    for entry in signatures:
        if not isinstance(entry, dict) or set(entry) != {"keyid", "sig"}:
            _refuse_shape("a signature has other members than keyid and sig")
        if not _is(entry["keyid"], _KEYID) or not _is(entry["sig"], _SIG):
            _refuse_shape("a signature is not spelt in lower-case hex")
    if len({entry["keyid"] for entry in signatures}) != len(signatures):
        raise TrustError("list-key-twice", "名录文件中同一密钥签名两次。", "One key has signed a list file twice.")


def _check_root(signed: Mapping[str, Any]) -> None:
    if signed.get("consistent_snapshot") is not True:
        _refuse_shape("it does not promise consistent snapshots")
    _check_keys(signed.get("keys"))
    _check_roles(signed.get("roles"), signed["keys"])


def _check_targets(signed: Mapping[str, Any], role: str) -> None:
    targets = signed.get("targets")
    if not isinstance(targets, dict) or len(targets) > MAX_TARGETS:
        _refuse_shape("its targets are no object, or too many")
    for path, target in targets.items():
        if not _TARGET_PATH.fullmatch(path) or not isinstance(target, dict):
            _refuse_shape("a target has a path that is not used here")
        hashes, length = target.get("hashes"), target.get("length")
        if not isinstance(hashes, dict) or set(hashes) != {"sha256"} or not _is(hashes["sha256"], _KEYID):
            _refuse_shape("a target is not named by its SHA-256 alone")
        if type(length) is not int or not 0 <= length <= MAX_TARGET_BYTES:
            _refuse_shape("a target is too large")
    delegations = signed.get("delegations")
    if role == HOLD:
        if delegations is not None or set(targets) != {"hold.json"}:
            _refuse_shape("a hold says nothing but hold.json")
        return
    if "hold.json" in targets or not isinstance(delegations, dict) or set(delegations) != {"keys", "roles"}:
        _refuse_shape("the targets delegate hold.json and nothing else")
    _check_keys(delegations["keys"])
    _check_hold_role(delegations["roles"], delegations["keys"])


def _check_meta(meta: Any, role: str) -> None:
    """Refuse other files than ours: what a snapshot has named once, every later one would have to name."""
    names = {"snapshot.json"} if role == TIMESTAMP else {"targets.json", "hold.json"}
    if not isinstance(meta, dict) or not meta or not set(meta) <= names:
        _refuse_shape("it names other files than those of a member list")


def _check_hold_role(roles: Any, keys: Mapping[str, Any]) -> None:
    if not isinstance(roles, list) or len(roles) != 1 or not isinstance(roles[0], dict):
        _refuse_shape("the targets delegate one role, hold")
    role = roles[0]
    if role.get("name") != HOLD or role.get("paths") != ["hold.json"] or role.get("threshold") != 1:
        _refuse_shape("the targets delegate hold.json to one officer, and nothing else")
    _check_roles({HOLD: role}, keys)


def _check_keys(keys: Any) -> None:
    """Refuse a key whose id is not computed from its one spelling: else one key could count as two."""
    if not isinstance(keys, dict) or not 1 <= len(keys) <= MAX_SIGNERS:
        _refuse_shape("its keys are no object, or too many")
    for keyid, value in keys.items():
        try:
            key = SSlibKey.from_dict(keyid, dict(value))
            spelling = read_public_key(public_pem(key))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _shape("a key cannot be read") from error
        if spelling.keyid != keyid or spelling.to_dict() != value:
            raise TrustError(
                "list-key-twice",
                "名录文件中的密钥编号与密钥不符（同一密钥可能被当作两把）。",
                "A key id in a list file is not its key's own; one key could count as two.",
            )


def _check_roles(roles: Any, keys: Mapping[str, Any]) -> None:
    if not isinstance(roles, dict):
        _refuse_shape("its roles are no object")
    for role in roles.values():
        keyids = role.get("keyids") if isinstance(role, dict) else None
        if not isinstance(keyids, list) or not all(_is(keyid, _KEYID) and keyid in keys for keyid in keyids):
            _refuse_shape("a role names a key that does not stand there")
        if len(set(keyids)) != len(keyids):
            raise TrustError("list-key-twice", "一个角色两次列出同一密钥。", "A role names one key twice.")
        threshold = role.get("threshold")
        if type(threshold) is not int or not 1 <= threshold <= len(keyids):
            _refuse_shape("a role asks for more signatures than it has keys, or for none")


def _is(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _shape(reason: str) -> TrustError:
    return TrustError("list-shape", "名录文件格式不对。", f"A file of the member list is not acceptable: {reason}.")


def _refuse_shape(reason: str) -> NoReturn:
    raise _shape(reason)
