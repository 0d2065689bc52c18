"""Everything one running node is made of, opened once and handed on."""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from securesystemslib.signer import Signer

from federation.errors import StorageError
from federation.keys import read_sealing_key, read_signer, sealing_public
from node.clock import Clock, now
from node.config import Settings, load_settings
from node.db import Database, Meta, sqlite_url

KEY_FILE = "node.key"
SEAL_FILE = "node.seal"  # the newest; the older are node.seal.1 (the oldest), node.seal.2 ...
SECRET_FILE = "node.secret"  # noqa: S105  a file name
NODE_ID = "node_id"


@dataclass(frozen=True)
class Node:
    """Settings, database, signing key and secret of this node. `folder` holds all its files."""

    folder: Path
    settings: Settings
    database: Database
    node_id: str
    signer: Signer
    secret: bytes
    clock: Clock = now
    sealing_keys: tuple[X25519PrivateKey, ...] = ()  # newest first; the older ones open what was sealed to them

    @property
    def sealing_key(self) -> str:
        """Return what others seal to (X25519, raw, base64); "" where this node has no sealing key."""
        return sealing_public(self.sealing_keys[0]) if self.sealing_keys else ""

    def derived_key(self, purpose: str) -> bytes:
        """Return a 32-byte key for one purpose (`link` for ID numbers, `ties` for suppression)."""
        return hmac.new(self.secret, purpose.encode(), hashlib.sha256).digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            "key-file-missing",
            f"读不到 {path.name}：{error.strerror}。请从备份恢复，或在新目录运行 gonghui init。",
            f"Cannot read {path.name}: {error.strerror}. Restore it from a backup, or run `gonghui init` elsewhere.",
        ) from error


def sealing_files(folder: Path) -> list[Path]:
    """Return the files of this node's sealing keys, newest first."""
    older = [path for path in folder.glob(f"{SEAL_FILE}.*") if path.suffix[1:].isdecimal()]
    older.sort(key=lambda path: int(path.suffix[1:]), reverse=True)
    newest = folder / SEAL_FILE
    return [newest, *older] if newest.exists() else older


def open_node(config: Path, clock: Clock = now) -> Node:
    """Open the node whose configuration is `config`; raise UsageError or StorageError with the mend."""
    settings = load_settings(config)
    folder = config.resolve().parent
    database = Database(sqlite_url(folder, settings.database.url))
    signer = read_signer(_read(folder / KEY_FILE))
    secret = _read(folder / SECRET_FILE)
    sealing_keys = tuple(read_sealing_key(_read(path)) for path in sealing_files(folder))
    database.create_tables()
    with database.read() as session:
        meta = session.get(Meta, NODE_ID)
    if meta is None:
        raise StorageError(
            "node-not-initialised",
            "数据库里没有节点身份，请运行 gonghui init。",
            "No identity; run `gonghui init`.",
        )
    return Node(folder, settings, database, meta.value, signer, secret, clock, sealing_keys)
