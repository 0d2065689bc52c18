"""Founding a node: its folder, key, secret, database, identity and first administrator.

Never overwrites. Until `config.toml` is written, last of all, the folder holds a marker; founding that was
interrupted is taken up again where it stopped, with the same key, when the same command is given again.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, select

from federation.errors import Conflict, StorageError
from federation.keys import ED25519, fingerprint, new_identifier, new_private_pem, new_sealing_pem
from federation.lockbox import Passphrase, lock
from node.access.models import Account
from node.access.permissions import ADMIN
from node.access.setup import issue_setup_link, issue_token
from node.audit import write_audit
from node.clock import Clock, now
from node.config import Settings, read_settings, write_settings_text
from node.context import NODE_ID
from node.db import Database, Meta, sqlite_url
from node.keyring import (
    KEY_FILE,
    SEAL_FILE,
    SECRET_BYTES,
    SECRET_FILE,
    find_passphrase,
    open_signer,
    replace_private_file,
)
from node.stream.models import Federation

CONFIG_FILE = "config.toml"
TOKEN_FILE = "admin.token"  # noqa: S105  a file name
MARKER_FILE = "init.unfinished"
_OURS = (KEY_FILE, SEAL_FILE, SECRET_FILE, TOKEN_FILE, "gonghui.db")


@dataclass(frozen=True)
class Founding:
    """What the new node's keeper needs: shown once, the link is kept nowhere. `federation` is "" but at a hub."""

    config: Path
    node_id: str
    fingerprint: str
    setup_link: str
    token_file: Path
    federation: str


def found_node(
    folder: Path,
    values: Mapping[str, object],
    *,
    admin: str,
    federation_name: str = "",
    key_algorithm: str = ED25519,
    clock: Clock = now,
) -> Founding:
    """Make a node in `folder` with settings `values` (`section.key`); raise Conflict or StorageError with the mend.

    Keys are written locked where `[keys]` or the environment names a passphrase; a security module keeps its own.
    `key_algorithm` is one of `federation.keys.SCHEMES`; a key that an interrupted founding has left keeps its own.
    """
    text = write_settings_text(values)
    settings = read_settings(text)
    with _storage_errors(folder), _private_files(), _unfinished(folder):
        passphrase = find_passphrase(folder, settings.keys)
        if not settings.keys.pkcs11_module:
            _keep(folder / KEY_FILE, new_private_pem(key_algorithm), passphrase)
        signer = open_signer(folder, settings.keys, passphrase)
        _keep(folder / SEAL_FILE, new_sealing_pem(), passphrase)
        _keep(folder / SECRET_FILE, secrets.token_bytes(SECRET_BYTES), passphrase)
        database = Database(sqlite_url(folder, settings.database.url))
        try:
            database.create_tables()
            with database.write() as session:
                node_id, federation = _identity(session, settings, federation_name, signer.public_key.keyid, clock)
                account = _administrator(session, admin, node_id, clock)
                link = issue_setup_link(session, account, clock())
                token = issue_token(session, account)
        finally:
            database.close()
        replace_private_file(folder / TOKEN_FILE, token.encode() + b"\n")
        replace_private_file(folder / CONFIG_FILE, text.encode())
    return Founding(
        (folder / CONFIG_FILE).resolve(),
        node_id,
        fingerprint(signer.public_key),
        local_url(settings) + link,
        (folder / TOKEN_FILE).resolve(),
        federation,
    )


def local_url(settings: Settings) -> str:
    """Return the address a browser uses: the public one, else that of the listener."""
    server = settings.server
    if server.public_url:
        return server.public_url.rstrip("/")
    host = "127.0.0.1" if server.host in {"", "0.0.0.0", "::"} else server.host  # noqa: S104  compared, not bound
    scheme = "https" if server.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{server.port}"


@contextmanager
def _unfinished(folder: Path) -> Iterator[None]:
    """Hold the marker: its presence says that nobody has used this folder yet, its lock that somebody is at it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_free(folder)
    marker = folder / MARKER_FILE
    present = [name for name in _OURS if (folder / name).exists()]
    if present and not marker.exists():
        raise Conflict(
            "node-files-present",
            f"{folder} 里有 {present[0]} 却没有 config.toml，没有改动任何内容。请恢复 config.toml，或换一个目录。",
            f"{folder} holds {present[0]} but no config.toml; nothing changed. Restore it or choose another folder.",
        )
    with marker.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "init-running",
                "另一个 gonghui init 正在此目录运行。",
                "Another `gonghui init` is at work in this folder.",
            ) from error
        _check_free(folder)  # somebody may have finished between the first look and the lock
        yield
        marker.unlink()


def _check_free(folder: Path) -> None:
    if (folder / CONFIG_FILE).exists():
        raise Conflict(
            "node-exists",
            f"{folder} 里已有节点，没有改动任何内容。请换一个目录。",
            f"{folder} already holds a node; nothing was changed. Choose another folder.",
        )


def _keep(path: Path, content: bytes, passphrase: Passphrase | None) -> None:
    """Write `content` where there is no file yet, locked where a passphrase is set."""
    if not path.exists():
        replace_private_file(path, lock(content, path.name, passphrase) if passphrase else content)


def _identity(session: Session, settings: Settings, name: str, keyid: str, clock: Clock) -> tuple[str, str]:
    """Give the database its identity, bound to this key, and the hub its federation."""
    owner = session.get(Meta, "founding_key")
    known = session.get(Meta, NODE_ID)
    if known is not None and (owner is None or owner.value != keyid):
        raise Conflict(
            "database-taken",
            "这个数据库已属于另一个节点，没有改动任何内容。请给一个空数据库。",
            "This database belongs to another node; nothing was changed. Name an empty one.",
        )
    if known is None:
        known = Meta(name=NODE_ID, value=new_identifier("n"))
        session.add(known)
        session.add(Meta(name="founding_key", value=keyid))
    federation = session.exec(select(Federation)).first()
    if federation is None and settings.hub.enabled:
        federation = Federation(
            id=new_identifier("f"), name=name or settings.node.name, hub_id=known.value, joined_at=clock()
        )
        session.add(federation)
    return known.value, federation.id if federation else ""


def _administrator(session: Session, name: str, node_id: str, clock: Clock) -> Account:
    account = session.exec(select(Account)).first()
    if account is None:
        account = Account(id=new_identifier("a"), name=name, role=ADMIN, created_at=clock())
        session.add(account)
        session.flush()
        write_audit(session, account_id=account.id, action="node.init", subject=node_id, at=clock())
    return account


@contextmanager
def _private_files() -> Iterator[None]:
    """Let what is made here, the database included, be its owner's alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            "folder-unwritable",
            f"无法在 {folder} 写入：{error.strerror}。修复后重新运行同一命令即可继续。",
            f"Cannot write in {folder}: {error.strerror}. Mend it and give the same command again to continue.",
        ) from error
