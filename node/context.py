"""Everything one running node is made of, opened once and handed on."""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from securesystemslib.signer import Signer

from federation.errors import StorageError
from federation.keys import sealing_public
from node.clock import Clock, now
from node.config import Settings, load_settings
from node.db import Database, Meta, sqlite_url
from node.keyring import KEY_FILE, SEAL_FILE, SECRET_FILE, open_keyring, sealing_files  # noqa: F401  known here too

NODE_ID = "node_id"


@dataclass(frozen=True)
class Node:
    """Settings, database, signing key and secret of this node. `folder` holds all its files.

    A node may be in several federations. `federation` is the one in which this value speaks: whoever knows it (the
    audience of a request, a command's option, the loop of the scheduler) says so once, with `within`, and all below
    looks members, grants and streams up in that one alone. "" is a node in at most one federation.
    """

    folder: Path
    settings: Settings
    database: Database
    node_id: str
    signer: Signer = field(repr=False)
    secret: bytes = field(repr=False)
    clock: Clock = now
    sealing_keys: tuple[X25519PrivateKey, ...] = field(default=(), repr=False)  # newest first
    federation: str = ""

    @property
    def sealing_key(self) -> str:
        """Return what others seal to (X25519, raw, base64); "" where this node has no sealing key."""
        return sealing_public(self.sealing_keys[0]) if self.sealing_keys else ""

    def within(self, federation_id: str) -> "Node":
        """Return this node as it speaks in one of its federations."""
        return self if self.federation == federation_id else replace(self, federation=federation_id)

    def derived_key(self, purpose: str) -> bytes:
        """Return a 32-byte key for one purpose (`link` for ID numbers, `ties` for suppression)."""
        return hmac.new(self.secret, purpose.encode(), hashlib.sha256).digest()


def open_node(config: Path, clock: Clock = now) -> Node:
    """Open the node whose configuration is `config`; raise UsageError or StorageError with the mend."""
    settings = load_settings(config)
    folder = config.resolve().parent
    database = Database(sqlite_url(folder, settings.database.url))
    keyring = open_keyring(folder, settings.keys)
    database.create_tables()
    with database.read() as session:
        meta = session.get(Meta, NODE_ID)
    if meta is None:
        raise StorageError(
            "node-not-initialised",
            "数据库里没有节点身份，请运行 gonghui init。",
            "No identity; run `gonghui init`.",
        )
    return Node(folder, settings, database, meta.value, keyring.signer, keyring.secret, clock, keyring.sealing_keys)
