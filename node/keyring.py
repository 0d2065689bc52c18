"""The files in which a node's keys lie, and how they are opened: mode 0600, plain or locked under a passphrase.

    node.key     signing key, PKCS#8 PEM; absent where a security module signs ([keys] pkcs11_module)
    node.seal    X25519 key that others seal to; older ones, which open older records: node.seal.1 (the oldest), .2 …
    node.key.next  the signing key that officers are asked to list (`enrol rotate`)
    node.secret  32 bytes, from which keys for one purpose are derived

A file that others may read is refused before it is read. The passphrase comes from `[keys] passphrase_file`, from
systemd (`LoadCredential=gonghui-passphrase:…`) or from GONGHUI_PASSPHRASE; never from a command line, which everybody
on the machine can read.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from securesystemslib.signer import Signer

from federation.errors import StorageError, Text, UsageError
from federation.keys import read_sealing_key, read_signer
from federation.lockbox import Passphrase, is_locked, unlock
from node.config import KeysSection
from node.hardware import open_token_signer

KEY_FILE = "node.key"
NEXT_FILE = f"{KEY_FILE}.next"  # a signing key that was asked for and is not in use yet
SEAL_FILE = "node.seal"
SECRET_FILE = "node.secret"  # noqa: S105  a file name
SECRET_BYTES = 32


@dataclass(frozen=True)
class Keyring:
    """What the files hold, opened. Shows itself nowhere."""

    signer: Signer = field(repr=False)
    secret: bytes = field(repr=False)
    sealing_keys: tuple[X25519PrivateKey, ...] = field(repr=False)  # newest first


def open_keyring(folder: Path, keys: KeysSection, environ: Mapping[str, str] | None = None) -> Keyring:
    """Open all keys of the node in `folder`; raise StorageError, UsageError or TrustError with the mend."""
    passphrase = find_passphrase(folder, keys, environ)
    secret = open_key_file(folder / SECRET_FILE, passphrase)
    if len(secret) != SECRET_BYTES:
        raise StorageError(
            "secret-damaged",
            f"{SECRET_FILE} 已损坏，请从备份恢复。",
            f"{SECRET_FILE} is damaged; restore it from a backup.",
        )
    sealing = tuple(read_sealing_key(open_key_file(path, passphrase)) for path in sealing_files(folder))
    return Keyring(open_signer(folder, keys, passphrase, environ), secret, sealing)


def open_signer(
    folder: Path, keys: KeysSection, passphrase: Passphrase | None, environ: Mapping[str, str] | None = None
) -> Signer:
    """Open the signing key: in the security module where one is set, else in its file."""
    if keys.pkcs11_module:
        pin = _find_secret(folder, keys.pkcs11_pin_file, "gonghui-pin", "GONGHUI_PKCS11_PIN", environ)
        return open_token_signer(keys, pin)
    return read_signer(open_key_file(folder / KEY_FILE, passphrase))


def open_key_named(folder: Path, keys: KeysSection, keyid: str) -> Signer | None:
    """Return this node's key of that id: the next one, or the one that has been turned to since this process began."""
    passphrase = find_passphrase(folder, keys)
    for path in (folder / NEXT_FILE, folder / KEY_FILE):
        signer = read_signer(open_key_file(path, passphrase)) if path.exists() else None
        if signer is not None and signer.public_key.keyid == keyid:
            return signer
    return None


def sealing_files(folder: Path) -> list[Path]:
    """Return the files of this node's sealing keys, newest first."""
    older = [path for path in folder.glob(f"{SEAL_FILE}.*") if path.suffix[1:].isdecimal()]
    older.sort(key=lambda path: int(path.suffix[1:]), reverse=True)
    newest = folder / SEAL_FILE
    return [newest, *older] if newest.exists() else older


def key_files(folder: Path, keys: KeysSection) -> list[Path]:
    """Return every file that holds a key of this node, whether it is there or not."""
    signing = [] if keys.pkcs11_module else [folder / KEY_FILE]
    return [*signing, folder / SECRET_FILE, *sealing_files(folder)]


def open_key_file(path: Path, passphrase: Passphrase | None) -> bytes:
    """Return what a key file holds, unlocked; raise StorageError, UsageError without passphrase, TrustError."""
    data = read_private_file(path)
    if not is_locked(data):
        return data
    if passphrase is None:
        raise UsageError(
            "passphrase-missing",
            f"{path.name} 有口令保护：请设置 [keys] passphrase_file、systemd 凭据或环境变量 GONGHUI_PASSPHRASE。",
            f"{path.name} is locked: set [keys] passphrase_file, a systemd credential or GONGHUI_PASSPHRASE.",
        )
    return unlock(data, lock_name(path), passphrase)


def lock_name(path: Path) -> str:
    """Return the name under which a key file is locked: a key keeps it when it becomes an older or the present one."""
    kept = (name for name in (SEAL_FILE, KEY_FILE) if path.name.startswith(name))
    return next(kept, path.name)


def read_private_file(path: Path) -> bytes:
    """Return the bytes of a file that is its owner's alone; raise StorageError with the mend."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise StorageError(
                    "key-file-open",
                    f"{path.name} 的权限为 {mode:04o}，他人可读。请运行：chmod 600 {path}",
                    f"{path.name} has mode {mode:04o}: others may read it. Run: chmod 600 {path}",
                )
            return file.read()
    except OSError as error:
        without = Text("在新目录运行 gonghui init", "run `gonghui init` elsewhere")
        if path.name == KEY_FILE:
            without = Text(
                "gonghui key new，再 gonghui enrol replace", "`gonghui key new`, then `gonghui enrol replace`"
            )
        raise StorageError(
            "key-file-missing",
            f"读不到 {path.name}：{error.strerror}。请从备份恢复（gonghui key restore）；没有备份时：{without.zh}。",
            f"Cannot read {path.name}: {error.strerror}. Restore it: `gonghui key restore`; without a backup, "
            f"{without.en}.",
        ) from error


def replace_private_file(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole or not at all, and wait for the disk."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_passphrase(folder: Path, keys: KeysSection, environ: Mapping[str, str] | None = None) -> Passphrase | None:
    """Return the passphrase of the key files, None where none is given; raise StorageError for an unsafe file."""
    text = _find_secret(folder, keys.passphrase_file, "gonghui-passphrase", "GONGHUI_PASSPHRASE", environ)
    return Passphrase(text) if text else None


def _find_secret(folder: Path, file: str, credential: str, variable: str, environ: Mapping[str, str] | None) -> str:
    environ = os.environ if environ is None else environ
    if file:
        return _line(folder / file)
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    if credentials and (Path(credentials) / credential).exists():
        return _line(Path(credentials) / credential)
    return environ.get(variable, "")


def _line(path: Path) -> str:
    try:
        return read_private_file(path).decode().strip("\r\n")
    except UnicodeDecodeError:
        raise StorageError(
            "passphrase-unreadable", f"{path.name} 不是 UTF-8 文本。", f"{path.name} is no UTF-8 text."
        ) from None
