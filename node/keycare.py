"""Care for a node's key files: lock, unlock, renew the sealing key, back up in shares, restore; and what to mend soon.

Every change leaves each file whole at every moment, and may be given again after an interruption.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from federation.errors import Conflict, StorageError, TrustError, UsageError
from federation.keys import fingerprint, new_sealing_pem, read_sealing_key, read_signer, sealing_public
from federation.lockbox import Passphrase, is_locked, lock
from federation.shares import join_keys, split_keys
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.config import KeysSection
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

BACKED_UP = "keys_backed_up"  # a row of `meta`: digest of the files that the last backup held
_WRITE = "key.write"


@dataclass(frozen=True)
class Backup:
    """A backup to be carried away: one locked file, and the shares of its key, each for another person."""

    locked: bytes
    shares: tuple[str, ...]
    files: tuple[str, ...]


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
    """Return all key files, unlocked, as one file that any `threshold` of `shares` shares open."""
    check_permission(actor, _WRITE)
    passphrase = find_passphrase(node.folder, node.settings.keys)
    files = {path.name: open_key_file(path, passphrase) for path in key_files(node.folder, node.settings.keys)}
    locked, words = split_keys(files, shares=shares, threshold=threshold)
    with node.database.write() as session:
        session.merge(Meta(name=BACKED_UP, value=digest_of_files(files)))
        _write(session, node, actor, "key.backup", files=len(files), shares=shares, threshold=threshold)
    return Backup(locked, tuple(words), tuple(files))


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """Return a digest (64 hex digits) of what key files hold, whatever the sealing keys are numbered."""
    digests = sorted(hashlib.sha256(lock_name(Path(name)).encode() + data).hexdigest() for name, data in files.items())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def restore(folder: Path, keys: KeysSection, locked: bytes, shares: Sequence[str]) -> list[str]:
    """Write the key files of a backup into `folder`; return the names written. Nothing that differs is overwritten.

    Raise InputRefused or TrustError where the shares do not open it, Conflict where another key is there already.
    """
    files = join_keys(locked, shares)
    for name in files:
        if (name not in {KEY_FILE, SECRET_FILE} and lock_name(Path(name)) != SEAL_FILE) or Path(name).name != name:
            raise TrustError("lock-unknown", "备份中有不认识的文件。", "The backup holds an unknown file.")
    passphrase = find_passphrase(folder, keys)
    missing = []
    for name, content in files.items():
        if not (folder / name).exists():
            missing.append(name)
        elif open_key_file(folder / name, passphrase) != content:
            raise Conflict(
                "key-differs",
                f"{folder / name} 是另一把密钥，没有改动任何内容。",
                f"{folder / name} is another key; nothing was changed.",
            )
    for name in missing:
        content = files[name]
        try:
            replace_private_file(
                folder / name, lock(content, lock_name(Path(name)), passphrase) if passphrase else content
            )
        except OSError as error:
            raise StorageError(
                "folder-unwritable",
                f"无法在 {folder} 写入：{error.strerror}。修复后重新运行同一命令即可继续。",
                f"Cannot write in {folder}: {error.strerror}. Mend it and give the same command again.",
            ) from error
    return missing


def describe_backup(files: Mapping[str, bytes]) -> str:
    """Return the fingerprint of the signing key among `files`, "" where a security module holds it."""
    return fingerprint(read_signer(files[KEY_FILE]).public_key) if KEY_FILE in files else ""


def backup_is_current(session: Session, folder: Path, keys: KeysSection) -> bool | None:
    """Tell whether the last backup holds today's keys; None where there is no backup at all."""
    known = session.get(Meta, BACKED_UP)
    if known is None:
        return None
    passphrase = find_passphrase(folder, keys)
    files = {path.name: open_key_file(path, passphrase) for path in key_files(folder, keys)}
    return known.value == digest_of_files(files)


def _audit(node: Node, actor: Actor, action: str, **detail: object) -> None:
    with node.database.write() as session:
        _write(session, node, actor, action, **detail)


def _write(session: Session, node: Node, actor: Actor, action: str, **detail: object) -> None:
    write_audit(session, account_id=actor.account_id, action=action, subject=node.node_id, at=node.clock(), **detail)
