"""Care for a node's key files: lock, unlock, renew the sealing key, back up in shares, restore; and what to mend soon.

Every change leaves each file whole at every moment, and may be given again after an interruption.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509 import load_pem_x509_certificates
from securesystemslib.signer import Key
from sqlmodel import Session

from federation.errors import Conflict, StorageError, Text, TrustError, UsageError
from federation.keys import (
    ED25519,
    new_private_pem,
    new_sealing_pem,
    read_sealing_key,
    read_signer,
    sealing_public,
)
from federation.lockbox import Passphrase, is_locked, lock
from federation.shares import join_keys, split_keys
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.config import KeysSection, Settings
from node.context import Node
from node.db import Meta
from node.keyring import (
    KEY_FILE,
    SEAL_FILE,
    SECRET_FILE,
    find_passphrase,
    key_files,
    lock_name,
    open_key_file,
    read_private_file,
    replace_private_file,
    sealing_files,
)

CERTIFICATE_DAYS = 30
BACKED_UP = "keys_backed_up"  # a row of `meta`: digest of the files that the last backup held
_WRITE = "key.write"


@dataclass(frozen=True)
class Worry:
    """Something to mend soon, and the command or setting that does; `serious`: it hurts already."""

    check: str
    said: Text
    mend: str
    serious: bool = False


@dataclass(frozen=True)
class Backup:
    """A backup to be carried away: one locked file, and the shares of its key, each for another person."""

    locked: bytes
    shares: tuple[str, ...]
    files: tuple[str, ...]
    threshold: int


def protect(node: Node, actor: Actor) -> list[str]:
    """Lock every key file under the passphrase that the next start will find; return the names of those changed."""
    check_permission(actor, _WRITE)
    passphrase = find_passphrase(node.folder, node.settings.keys)
    if passphrase is None:
        raise UsageError(
            "passphrase-missing",
            "请先设置口令：[keys] passphrase_file、systemd 凭据 gonghui-passphrase 或环境变量 GONGHUI_PASSPHRASE。",
            "First set a passphrase: [keys] passphrase_file, the systemd credential or GONGHUI_PASSPHRASE.",
        )
    changed = _rewrite(node, passphrase, locked=True)
    _audit(node, actor, "key.protect", files=len(changed))
    return changed


def unprotect(node: Node, actor: Actor) -> list[str]:
    """Write every locked key file plain again; return the names of those changed."""
    check_permission(actor, _WRITE)
    changed = _rewrite(node, find_passphrase(node.folder, node.settings.keys), locked=False)
    _audit(node, actor, "key.unprotect", files=len(changed))
    return changed


def _rewrite(node: Node, passphrase: Passphrase | None, *, locked: bool) -> list[str]:
    changed = []
    for path in key_files(node.folder, node.settings.keys):
        if is_locked(read_private_file(path)) == locked:
            open_key_file(path, passphrase)  # the wrong passphrase is told before anything is changed
            continue
        content = open_key_file(path, passphrase)
        if locked and passphrase is not None:
            content = lock(content, lock_name(path), passphrase)
        replace_private_file(path, content)
        changed.append(path.name)
    return changed


def rotate_sealing_key(node: Node, actor: Actor) -> str:
    """Make a new sealing key and keep the old one; return the new public half, which the member list must come to name.

    Until it does, others seal to the old one, and that opens.
    """
    check_permission(actor, _WRITE)
    passphrase = find_passphrase(node.folder, node.settings.keys)
    pem = new_sealing_pem()
    newest = node.folder / SEAL_FILE
    if newest.exists():
        numbers = [int(path.suffix[1:]) for path in sealing_files(node.folder)[1:]]
        older = node.folder / f"{SEAL_FILE}.{max(numbers, default=0) + 1}"
        replace_private_file(older, read_private_file(newest))  # before the new one: never a moment without it
    locked = newest.exists() and is_locked(read_private_file(newest))
    replace_private_file(newest, lock(pem, SEAL_FILE, passphrase) if locked and passphrase else pem)
    public = sealing_public(read_sealing_key(pem))
    _audit(node, actor, "key.rotate-seal", key=public)
    return public


def back_up(node: Node, actor: Actor, *, shares: int, threshold: int) -> Backup:
    """Return all key files, unlocked, as one file that any `threshold` of `shares` shares open; then `note_backup`."""
    check_permission(actor, _WRITE)
    passphrase = find_passphrase(node.folder, node.settings.keys)
    files = {path.name: open_key_file(path, passphrase) for path in key_files(node.folder, node.settings.keys)}
    locked, words = split_keys(files, shares=shares, threshold=threshold)
    return Backup(locked, tuple(words), tuple(files), threshold)


def note_backup(node: Node, actor: Actor, made: Backup) -> None:
    """Note that there is a backup, once its files are on a disk: what says so before would be believed."""
    check_permission(actor, _WRITE)
    with node.database.write() as session:
        session.merge(Meta(name=BACKED_UP, value=_digest_of(node)))
        counts = {"files": len(made.files), "shares": len(made.shares), "threshold": made.threshold}
        _write(session, node, actor, "key.backup", **counts)


def digest_of_keys(keyid: str, secret: bytes, sealing_keys: Sequence[X25519PrivateKey]) -> str:
    """Return a digest (64 hex digits) by which a backup is known to hold today's keys; it tells nothing about them."""
    told = [keyid, *sorted(sealing_public(key) for key in sealing_keys)]
    return hmac.new(secret, "\n".join(told).encode(), hashlib.sha256).hexdigest()


def _digest_of(node: Node) -> str:
    return digest_of_keys(node.signer.public_key.keyid, node.secret, node.sealing_keys)


def make_signing_key(folder: Path, keys: KeysSection, scheme: str = ED25519) -> Key:
    """Make a signing key where the one before is lost for good; return its public half. Overwrites nothing.

    It is locked where a passphrase is set. Officers must list it (`enrol replace`) before anybody believes it.
    """
    path, passphrase = folder / KEY_FILE, find_passphrase(folder, keys)
    if keys.pkcs11_module:
        raise Conflict(
            "key-in-token", "签名密钥在密码设备中，请在设备中生成。", "The key lives in a token: make it there."
        )
    if path.exists():
        raise Conflict(
            "key-exists",
            f"{path} 还在，没有改动任何内容。若已被盗，请先把它移到别处。",
            f"{path} is there; nothing was changed. Where it was stolen, move it away first.",
        )
    open_key_file(folder / SECRET_FILE, passphrase)  # the wrong passphrase is told before anything is written
    pem = new_private_pem(scheme)
    _write_missing({KEY_FILE: pem}, folder, passphrase)
    return read_signer(pem).public_key


def restore(folder: Path, keys: KeysSection, locked: bytes, shares: Sequence[str]) -> list[str]:
    """Write the key files of a backup into `folder`; return the names written. Nothing that differs is overwritten.

    Raise InputRefused or TrustError where the shares do not open it, Conflict where another key is there already.
    """
    files = join_keys(locked, shares)
    for name in files:
        if (name not in {KEY_FILE, SECRET_FILE} and lock_name(Path(name)) != SEAL_FILE) or Path(name).name != name:
            raise TrustError("lock-unknown", "备份中有不认识的文件。", "The backup holds an unknown file.")
    passphrase = find_passphrase(folder, keys)
    missing = {}
    for name, content in files.items():
        if not (folder / name).exists():
            missing[name] = content
        elif open_key_file(folder / name, passphrase) != content:
            raise Conflict(
                "key-differs",
                f"{folder / name} 是另一把密钥，没有改动任何内容。",
                f"{folder / name} is another key; nothing was changed.",
            )
    _write_missing(missing, folder, passphrase)
    return list(missing)


def _write_missing(files: Mapping[str, bytes], folder: Path, passphrase: Passphrase | None) -> None:
    for name, content in files.items():
        locked = lock(content, lock_name(Path(name)), passphrase) if passphrase else content
        try:
            replace_private_file(folder / name, locked)
        except OSError as error:
            raise StorageError(
                "folder-unwritable",
                f"无法在 {folder} 写入：{error.strerror}。修复后重新运行同一命令即可继续。",
                f"Cannot write in {folder}: {error.strerror}. Mend it and give the same command again.",
            ) from error


def worries_of(node: Node) -> list[Worry]:
    """Return what should be mended before it hurts, for pages."""
    with node.database.read() as session:
        return list_worries(session, _digest_of(node), node.folder, node.settings, node.clock())


def list_worries(session: Session, digest: str, folder: Path, settings: Settings, at: datetime) -> list[Worry]:
    """Return what should be mended before it hurts: keys that lie nowhere else, a certificate that runs out.

    `digest` is that of today's keys, from `digest_of_keys`.
    """
    found = []
    backup = session.get(Meta, BACKED_UP)
    if backup is None or backup.value != digest:
        said = Text("密钥还没有备份", "the keys are not backed up")
        if backup is not None:
            said = Text("上次备份之后密钥变了", "the keys have changed since they were backed up")
        found.append(Worry("backup", said, "gonghui key backup --shares 5 --threshold 3 --out keys-backup"))
    ends = certificate_ends_at(folder, settings)
    if ends is not None and ends - at < timedelta(days=CERTIFICATE_DAYS):
        day = ends.date().isoformat()
        said = Text(f"HTTPS 证书于 {day} 到期", f"the HTTPS certificate ends on {day}")
        found.append(Worry("certificate", said, "[server] tls_certificate", serious=ends <= at))
    return found


def certificate_ends_at(folder: Path, settings: Settings) -> datetime | None:
    """Return when the listener's certificate ends; None without one, or where it cannot be read."""
    if not settings.server.tls_certificate:
        return None
    try:
        data = (folder / settings.server.tls_certificate).read_bytes()
        return min(certificate.not_valid_after_utc for certificate in load_pem_x509_certificates(data))
    except (OSError, ValueError):
        return None


def _audit(node: Node, actor: Actor, action: str, **detail: object) -> None:
    with node.database.write() as session:
        _write(session, node, actor, action, **detail)


def _write(session: Session, node: Node, actor: Actor, action: str, **detail: object) -> None:
    write_audit(session, account_id=actor.account_id, action=action, subject=node.node_id, at=node.clock(), **detail)
