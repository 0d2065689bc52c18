"""Everything one running node is made of, opened once and handed on."""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from federation.errors import StorageError
from federation.keys import read_signer
from node.clock import Clock, now
from node.config import Settings, load_settings
from node.db import Database, Meta, sqlite_url

KEY_FILE = "node.key"
SECRET_FILE = "node.secret"  # noqa: S105  a file name
NODE_ID = "node_id"


@dataclass(frozen=True)
class Node:
    """Settings, database, signing key and secret of this node. `folder` holds all its files."""

    folder: Path
    settings: Settings
    database: Database
    node_id: str
    signer: CryptoSigner
    secret: bytes
    clock: Clock = now

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


def open_node(config: Path, clock: Clock = now) -> Node:
    """Open the node whose configuration is `config`; raise UsageError or StorageError with the mend."""
    settings = load_settings(config)
    folder = config.resolve().parent
    database = Database(sqlite_url(folder, settings.database.url))
    signer = read_signer(_read(folder / KEY_FILE))
    secret = _read(folder / SECRET_FILE)
    database.create_tables()
    with database.read() as session:
        meta = session.get(Meta, NODE_ID)
    if meta is None:
        raise StorageError(
            "node-not-initialised",
            "数据库里没有节点身份，请运行 gonghui init。",
            "No identity; run `gonghui init`.",
        )
    return Node(folder, settings, database, meta.value, signer, secret, clock)
