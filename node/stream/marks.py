"""The high-water file beside the key: the last sequence and id of each own stream, as they were when it was signed.

It is written when the commit is done, whole and to the disk, under a lock of its folder that the service and every
command take; so a power cut costs at most the last mark, and two processes never undo each other's. A database that is
behind it was set back. One that holds another record in the place that the file names was signed by a copy of this
machine: `check_same_machine` stops both from signing on.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import event
from sqlmodel import Session, select

from federation.errors import Conflict
from node.context import Node
from node.keyring import replace_private_file
from node.stream.models import StoredRecord

MARK_FILE = "node.mark"


@dataclass(frozen=True)
class Head:
    """The last record of an own stream."""

    sequence: int
    id: str


def note_mark(session: Session, node: Node, federation_id: str, stream: str, head: Head) -> None:
    """Write the high-water mark as soon as this transaction is committed, before anybody is told."""
    name = f"{federation_id} {stream}"

    def write(committed: Session) -> None:
        if committed.in_nested_transaction():  # a savepoint is no commit
            return
        try:
            with _locked(node.folder):
                marks = load_marks(node)
                if name not in marks or marks[name].sequence < head.sequence:
                    told = {key: [mark.sequence, mark.id] for key, mark in sorted({**marks, name: head}.items())}
                    replace_private_file(node.folder / MARK_FILE, json.dumps(told, indent=0).encode())
        except OSError:  # the record is signed and kept; `doctor` looks after disks
            return

    event.listen(session, "after_commit", write)


def find_mark(node: Node, federation_id: str, stream: str) -> Head | None:
    """Return what the file says of one stream."""
    return load_marks(node).get(f"{federation_id} {stream}")


def load_marks(node: Node) -> dict[str, Head]:
    """Return what the file says, by federation and stream; nothing where it is missing or no such file."""
    try:
        told = json.loads((node.folder / MARK_FILE).read_bytes())
        return {name: Head(int(sequence), str(identity)) for name, (sequence, identity) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def check_same_machine(session: Session, node: Node, federation_id: str, stream: str, marked: Head) -> None:
    """Raise Conflict where the database holds another record of ours in the place that the file names."""
    held = session.exec(
        select(StoredRecord.id).where(
            StoredRecord.federation == federation_id,
            StoredRecord.origin == node.node_id,
            StoredRecord.stream == stream,
            StoredRecord.sequence == marked.sequence,
        )
    ).first()
    if held not in {None, marked.id}:
        raise Conflict(
            "node-copied",
            "数据库与本机记录的已签名条目不符：本节点可能被复制并在两处运行。请停用其中一处，再运行 gonghui doctor。",
            "The database holds another record than this machine signed: a copy of this node runs elsewhere. Stop one.",
            sequence=marked.sequence,
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which also gives the lock back
