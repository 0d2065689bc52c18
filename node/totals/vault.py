"""What an aggregator keeps of an attempt until it is over: its round key, its nonce and its salt, in a file.

Never in the database, so in no backup of it: whoever restores one has lost them and gives the attempt up.
"""

import contextlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federation.errors import StorageError
from node.context import Node
from node.keyring import read_private_file, replace_private_file

FOLDER = "totals"


@dataclass(frozen=True)
class Held:
    """The secrets of one aggregator in one attempt, in hex."""

    key: str = field(repr=False)
    nonce: str = field(repr=False)
    salt: str = field(repr=False)

    @property
    def private(self) -> X25519PrivateKey:
        """Return the key to which contributors seal their shares."""
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(self.key))


def make(node: Node, federation: str, attempt: str) -> Held:
    """Return fresh secrets of an attempt, kept before anybody is told of them; those that are there already stay."""
    path = _path(node, federation, attempt)
    if (held := find(node, federation, attempt)) is not None:
        return held
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    made = Held(*(secrets.token_hex(32) for _ in range(3)))
    replace_private_file(path, json.dumps(asdict(made)).encode())
    return made


def find(node: Node, federation: str, attempt: str) -> Held | None:
    """Return the secrets of an attempt, None where they were destroyed or lost."""
    path = _path(node, federation, attempt)
    if not path.exists():
        return None
    try:
        return Held(**json.loads(read_private_file(path)))
    except (ValueError, TypeError) as error:
        raise StorageError(
            "round-key-broken", f"{path.name} 已损坏，请删除它；本轮将放弃。", f"{path.name} is broken: delete it."
        ) from error


def destroy(node: Node, federation: str, attempt: str) -> None:
    """Delete the secrets of an attempt."""
    _path(node, federation, attempt).unlink(missing_ok=True)


def _path(node: Node, federation: str, attempt: str) -> Path:
    return node.folder / FOLDER / f"{federation}-{attempt.replace('/', '-')}.json"
