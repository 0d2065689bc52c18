"""The member list (名录) as TUF metadata: read through python-tuf's public `Updater`, whole or not at all.

    refresh(root, held, fetch, ...)     held + what a server says  ->  MemberList, verified, or TrustError
    open_list(root, held, ...)          held alone, also after its expiry (`expired(now)` tells)

A list is verified first and kept afterwards: nothing here stores, and on any error the caller goes on with what it
holds. Each file is looked at strictly (`metadata`) before the library sees it; then the library checks signatures,
thresholds, versions, digests and expiry; then the roll's own rules are checked, and that the keys of root and targets
are the officers that the roll names. Codes:

    list-unreachable   a file is not served              list-rolled-back  older than what is held
    list-expired       nobody has signed it anew         list-mixed        files of different editions
    root-threshold     root not signed by t old and new  list-threshold    another file without its signatures
    list-shape         misspelt, unknown envelope field  list-key-twice    one key could count as two
    list-too-large     beyond the cap of its role        list-federation   another federation's list
    hold-renewed       by one officer, or taken back     hold-edition      a hold that does not name its edition

What the hub can do alone, with the keys of timestamp and snapshot: serve an older edition to somebody who never saw a
newer one, until the targets expire. `MemberList.behind(seen)` finds that out as soon as anybody's signed word names a
higher version. A claim alone refuses nothing, else one liar could stop everybody's list: the caller alarms
(`list-frozen`) and fetches from the claimer.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from federation.documents import sha256_hex
from federation.errors import GonghuiError, StorageError, TrustError
from federation.holds import check_holds, placed_in
from federation.metadata import (
    HOLD,
    MAX_BYTES,
    MAX_TARGET_BYTES,
    ROLES,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    check_metadata,
    expires_at,
    metadata_name,
    role_of,
    signed_versions,
    target_name,
    version_in,
)
from federation.roll import (
    ACTIVE,
    CATALOGUE,
    CODELISTS,
    GRANTS,
    HOLDS,
    SCHEMAS,
    SUSPENDED,
    Hold,
    MemberEntry,
    Roll,
    read_holds,
    read_roll,
)

Files = Mapping[str, bytes]
Fetch = Callable[[str], bytes | None]
Versions = Mapping[str, int]

LIFE_DAYS: Mapping[str, int] = {ROOT: 3 * 365, TIMESTAMP: 45, SNAPSHOT: 45, TARGETS: 200, HOLD: 14}
MAX_ROOTS = 256


@dataclass(frozen=True)
class MemberList:
    """A verified list. `files` are all its files verbatim, as they are served; `expiries` by role, without `hold`.

    `holds` are none once their file has expired; `placed` are its entries even then.
    """

    roll: Roll
    holds: tuple[Hold, ...]
    placed: tuple[Hold, ...]
    versions: Versions
    expiries: Mapping[str, datetime]
    files: Files

    @property
    def federation(self) -> str:
        """Return the federation's id."""
        return self.roll.federation

    @property
    def members(self) -> Mapping[str, MemberEntry]:
        """Return the members by id, those who left too."""
        return self.roll.members

    @property
    def expires_at(self) -> datetime:
        """Return when the first of its roles expires."""
        return min(self.expiries.values())

    def expired(self, now: datetime) -> bool:
        """Tell whether a role has expired at `now`: new records wait then."""
        return now >= self.expires_at

    def ageing(self, now: datetime) -> tuple[str, ...]:
        """Return the roles that have less than half of their life before them."""
        return tuple(role for role, at in self.expiries.items() if at - now < timedelta(days=LIFE_DAYS[role]) / 2)

    def status_of(self, member_id: str, now: datetime) -> str:
        """Return a member's status at `now`, a hold counted as suspended; an empty text for a stranger."""
        entry = self.roll.members.get(member_id)
        if entry is None:
            return ""
        hold = self.hold_on(member_id)
        held = entry.status == ACTIVE and hold is not None and hold.in_force(now)
        return SUSPENDED if held else entry.status

    def hold_on(self, member_id: str) -> Hold | None:
        """Return the hold on a member, whether or not its time has come or gone.

        The hub cannot be held: one officer alone would stop everybody; t officers hand the hub over.
        """
        if member_id == self.roll.hub:
            return None
        return next((hold for hold in self.holds if hold.member == member_id), None)

    def behind(self, seen: Versions) -> tuple[str, ...]:
        """Return the officers' roles of which somebody's signed word names a higher version than this list has."""
        return tuple(role for role in (ROOT, TARGETS, HOLD) if seen.get(role, 0) > self.versions.get(role, 0))

    def document(self, path: str) -> bytes:
        """Return a further target (`grants.json`, `catalogue.json`, ...), empty where the list has none."""
        return self.roll.documents.get(path, b"")

    @property
    def grants(self) -> bytes:
        """Return `grants.json`, or nothing."""
        return self.document(GRANTS)

    @property
    def catalogue(self) -> bytes:
        """Return `catalogue.json`, or nothing."""
        return self.document(CATALOGUE)

    @property
    def codelists(self) -> bytes:
        """Return `codelists.json`, or nothing."""
        return self.document(CODELISTS)

    @property
    def schemas(self) -> Mapping[str, tuple[str, bytes]]:
        """Return the schemas by the SHA-256 of their bytes: name (such as `release.v2`) and bytes."""
        return {
            sha256_hex(data): (path.removeprefix(SCHEMAS).removesuffix(".json"), data)
            for path, data in self.roll.documents.items()
            if path.startswith(SCHEMAS)
        }


def refresh(root: bytes, held: Files, fetch: Fetch, *, federation: str, now: datetime) -> MemberList:
    """Return the newest list that `fetch` serves, verified from the pinned `root` and against what is `held`.

    `held` are the files of the last list, empty at first; `fetch(path)` returns bytes, or None where there is no such
    file, and may raise NetworkError. Raise TrustError (codes at the head of this module), StorageError
    where no temporary folder can be written; nothing partial is returned.
    """
    port = _Port(fetch)
    check_metadata(root, ROOT)
    versions = _held_versions(held)
    try:
        with tempfile.TemporaryDirectory(prefix="gonghui-list-") as folder:
            _seed(Path(folder), held)
            files, targets = _update(Path(folder), root, held, port, now)
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise _explain(error, port, versions) from error
    except OSError as error:
        raise StorageError(
            "list-folder",
            "无法写入临时目录，请检查磁盘空间和权限。",
            "The temporary folder cannot be written; look at disk space and permissions.",
        ) from error
    found = _read(files, targets, federation)
    _check_not_older(found, versions)
    check_holds(found.placed, found.versions[TARGETS], placed_in(held), versions.get(TARGETS, 0))
    return found


def open_list(root: bytes, held: Files, *, federation: str, now: datetime) -> MemberList:
    """Return the list that is held, verified anew: as of `now`, or the last moment at which it had not expired."""
    metadata = [check_metadata(data, role_of(path)) for path, data in held.items() if role_of(path) not in {"", HOLD}]
    newest = {m.signed.type: m for m in sorted(metadata, key=lambda m: m.signed.version)}
    if set(newest) != {ROOT, TIMESTAMP, SNAPSHOT, TARGETS}:
        raise TrustError("list-unreachable", "没有名录。", "There is no member list.")
    last = min(expires_at(m) for m in newest.values()) - timedelta(seconds=1)
    return refresh(root, held, held.get, federation=federation, now=min(now, last))


def check_keys(roll: Roll, root: Metadata[Any], targets: Metadata[Any]) -> None:
    """Raise TrustError unless root and targets are the named officers' to sign, timestamp and snapshot the hub's."""
    officers = {officer.keyid for officer in roll.officers}
    roles, hold = root.signed.roles, targets.signed.delegations.roles[HOLD]
    officer_roles = (roles[ROOT], roles[TARGETS])
    if any(set(role.keyids) != officers or role.threshold != roll.threshold for role in officer_roles):
        raise _refuse("list-officers", "名录中的签署人与签名密钥不符。", "The officers named are not those who sign.")
    if set(hold.keyids) != officers:
        raise _refuse("list-officers", "名录中的签署人与签名密钥不符。", "The officers named are not those who sign.")
    if any(set(roles[role].keyids) != {roll.hub_keyid} for role in (TIMESTAMP, SNAPSHOT)):
        raise _refuse("list-hub-key", "名录签发密钥不是汇总节点的。", "The hub's list key is not one of its own keys.")


class _Port(FetcherInterface):
    """The library's way out: every file is capped and looked at before it is handed over, and what was seen is kept."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch_file = fetch
        self.versions: dict[str, int] = {}  # the lowest version of each role that a served file was or named
        self.files: dict[str, bytes] = {}  # what was served, verified or not

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix("/")
        role = role_of(path)
        data = self._fetch_file(path)
        if data is None:
            raise exceptions.DownloadHTTPError(f"{path} is not served", 404)
        if len(data) > MAX_BYTES.get(role, MAX_TARGET_BYTES):
            raise exceptions.DownloadLengthMismatchError(f"{path} is too large")
        if role:
            metadata = check_metadata(data, role)
            for name, version in {role: metadata.signed.version, **signed_versions(metadata)}.items():
                self.versions[name] = min(version, self.versions.get(name, version))
            self.files[path] = data
        return iter((data,))


def _seed(folder: Path, held: Files) -> None:
    """Lay what is held where the library looks for what it has verified before."""
    (folder / "metadata" / "root_history").mkdir(parents=True)
    (folder / "targets").mkdir()
    for path, data in held.items():
        role = role_of(path)
        if role == ROOT:
            (folder / "metadata" / "root_history" / path).write_bytes(data)
        elif role:
            (folder / "metadata" / f"{role}.json").write_bytes(data)


def _update(
    folder: Path, root: bytes, held: Files, port: _Port, now: datetime
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Run the library; return all files verbatim as they are served, and the targets by their own path."""
    updater = Updater(
        str(folder / "metadata"),
        "/",
        str(folder / "targets"),
        "/targets/",
        fetcher=port,
        config=UpdaterConfig(
            max_root_rotations=MAX_ROOTS,
            root_max_length=MAX_BYTES[ROOT],
            timestamp_max_length=MAX_BYTES[TIMESTAMP],
            snapshot_max_length=MAX_BYTES[SNAPSHOT],
            targets_max_length=MAX_BYTES[TARGETS],
        ),
        bootstrap=root,
    )
    # The library asks the machine's clock; ours may be another (tests, simulations). It offers no other way in.
    updater._trusted_set.reference_time = now  # noqa: SLF001
    updater.refresh()
    metadata = {role: folder / "metadata" / f"{role}.json" for role in ROLES}
    files = {file.name: file.read_bytes() for file in (folder / "metadata" / "root_history").iterdir()}
    for role in (TIMESTAMP, SNAPSHOT, TARGETS):
        files[_served(role, metadata[role].read_bytes())] = metadata[role].read_bytes()
    targets = {}
    for path in Metadata[Targets].from_bytes(metadata[TARGETS].read_bytes()).signed.targets:
        name, targets[path] = _target(updater, path, held, folder)
        files[name] = targets[path]
    hold = signed_versions(Metadata.from_bytes(metadata[SNAPSHOT].read_bytes())).get(HOLD)
    if hold is not None:
        _add_hold(updater, metadata_name(HOLD, hold), {**held, **port.files}, folder, files, targets)
    return files, targets


def _served(role: str, data: bytes) -> str:
    return metadata_name(role, Metadata.from_bytes(data).signed.version)


def _add_hold(
    updater: Updater, path: str, known: Files, folder: Path, files: dict[str, bytes], targets: dict[str, bytes]
) -> None:
    """Add the holds. Where their file has expired they have ended; it is still served, for the snapshot names it."""
    try:
        name, targets[HOLDS] = _target(updater, HOLDS, known, folder)
    except exceptions.ExpiredMetadataError:  # the last of the library's checks: all else about it holds
        target = check_metadata(known[path], HOLD).signed.targets[HOLDS]
        name = target_name(HOLDS, target.hashes["sha256"])
        files |= {each: known[each] for each in (path, name) if each in known}
        return
    files |= {name: targets[HOLDS], path: (folder / "metadata" / f"{HOLD}.json").read_bytes()}


def _target(updater: Updater, path: str, held: Files, folder: Path) -> tuple[str, bytes]:
    """Return the served name and the bytes of a target, from what is held where it is the same."""
    info = updater.get_targetinfo(path)
    if info is None:
        raise exceptions.RepositoryError(f"{path} is not among the targets")
    name = target_name(path, info.hashes["sha256"])
    if name in held:
        try:
            info.verify_length_and_hashes(held[name])
        except exceptions.LengthOrHashMismatchError:
            pass
        else:
            return name, held[name]
    return name, Path(updater.download_target(info, str(folder / "targets" / "one"))).read_bytes()


def _read(files: dict[str, bytes], targets: dict[str, bytes], federation: str) -> MemberList:
    holds = targets.pop(HOLDS, b"")
    roll = read_roll(targets)
    if roll.federation != federation:
        raise _refuse("list-federation", "这是另一联合体的名录。", "This is the list of another federation.")
    metadata = {}
    for path in sorted(files, key=version_in):
        if role := role_of(path):
            metadata[role] = check_metadata(files[path], role)
    check_keys(roll, metadata[ROOT], metadata[TARGETS])
    return MemberList(
        roll=roll,
        holds=read_holds(holds) if holds else (),
        placed=placed_in(files),
        versions={HOLD: signed_versions(metadata[SNAPSHOT]).get(HOLD, 0)}
        | {role: m.signed.version for role, m in metadata.items()},
        expiries={role: expires_at(m) for role, m in metadata.items() if role != HOLD},
        files=files,
    )


def _held_versions(held: Files) -> dict[str, int]:
    versions: dict[str, int] = {}
    for path, data in held.items():
        if role := role_of(path):
            versions[role] = max(versions.get(role, 0), check_metadata(data, role).signed.version)
    return versions


def _check_not_older(found: MemberList, held: Versions) -> None:
    """Hold the officers' versions against what is held: a new hub key makes the library forget them."""
    anew = found.versions[ROOT] > held.get(ROOT, 0)  # the officers may have let hold begin anew, with the hub's key
    for role in (ROOT, TARGETS) if anew else (ROOT, TARGETS, HOLD):
        if found.versions.get(role, 0) < held.get(role, 0):
            raise _rolled_back(role)


def _rolled_back(role: str) -> TrustError:
    return TrustError(
        "list-rolled-back",
        "对方提供的名录比本节点已有的旧，已拒绝。",
        f"The list served is older than the one held ({role}); refused.",
        role=role,
    )


def _mixed(why: Exception) -> TrustError:
    return _refuse("list-mixed", "名录各文件不属于同一版。", f"The files are not of one edition: {why}.")


# The library's error, narrower ones first, and what is said for it.
_ANSWERS: tuple[tuple[type[Exception], Callable[[Exception], TrustError]], ...] = (
    (
        exceptions.DownloadHTTPError,
        lambda why: _refuse("list-unreachable", "名录不完整或无法取得。", f"A file of the list is not served: {why}."),
    ),
    (
        exceptions.DownloadError,
        lambda why: _refuse("list-too-large", "名录文件过大。", f"A file of the list is larger than it may be: {why}."),
    ),
    (
        exceptions.ExpiredMetadataError,
        lambda why: _refuse("list-expired", "名录已过期，须重新签发。", f"The list has expired: {why}."),
    ),
    (
        exceptions.UnsignedMetadataError,
        lambda why: _refuse("list-threshold", "名录文件签名不足。", f"A file of the list lacks signatures: {why}."),
    ),
    (exceptions.BadVersionNumberError, _mixed),
    (exceptions.LengthOrHashMismatchError, _mixed),
    (Exception, lambda why: _refuse("list-shape", "名录文件格式不对。", f"A file of the list is misshapen: {why}.")),
)


def _explain(error: Exception, port: _Port, held: Versions) -> GonghuiError:
    """Return our error for the library's; our own, raised inside the port, comes back as it was."""
    if isinstance(error.__cause__, GonghuiError):
        return error.__cause__
    if isinstance(error, exceptions.UnsignedMetadataError) and str(error).startswith(ROOT):
        return _refuse("root-threshold", "根文件签名不足。", f"Too few officers have signed the root: {error}.")
    said = next(answer for kind, answer in _ANSWERS if isinstance(error, kind))(error)
    older = [role for role, version in port.versions.items() if version < held.get(role, 0)]
    return _rolled_back(older[0]) if older and said.code in {"list-mixed", "list-shape"} else said


def _refuse(code: str, zh: str, en: str) -> TrustError:
    return TrustError(code, zh, en)
