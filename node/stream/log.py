"""This node's Merkle log: one salted leaf for each record it signed or took in, added in the transaction that keeps it.

What a leaf commits to is the record's id; its salt stays here and goes only to those who may read the record. A refusal
that stands in a record's place has a leaf of its own. Leaves are never changed or taken away, whatever becomes of the
record's state.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, insert, select
from sqlmodel import Session, col

from federation.log import extend, prove_consistency, prove_inclusion, root_of
from federation.witness import SALT_BYTES, Inclusion, leaf_entry
from node.db import Meta, last_number, next_number
from node.prepared import Prepared
from node.stream.models import LogLeaf, LogNode

COUNTER = "leaf"
GENERATION = "log generation"  # by federation: 0 until a restore; then the second at which the log began anew

# statements of every record
_READ = Prepared(select(col(LogNode.hash)).where(col(LogNode.place) == bindparam("at")))
_APPEND = Prepared(insert(LogNode).values(place=bindparam("at"), hash=bindparam("value")))
_LEAF = Prepared(insert(LogLeaf).values(index=bindparam("at"), record_id=bindparam("record"), salt=bindparam("salted")))


class StoredNodes:
    """The hashes of the log in the database (`federation.log.Nodes`), within the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._connection = session.connection()

    def read(self, places: Sequence[int]) -> list[bytes]:
        """Return the hashes at these places, in this order."""
        return [_READ.all(self._connection, {"at": place})[0][0] for place in places]

    def append(self, first: int, hashes: Sequence[bytes]) -> None:
        """Put these hashes at the places from `first` on."""
        for place, value in enumerate(hashes, first):
            _APPEND.run(self._connection, {"at": place, "value": value})


def append_leaf(session: Session, record_id: str) -> int:
    """Add the leaf of a record and return its index; the log is locked until this transaction ends."""
    index = next_number(session, COUNTER) - 1
    salt = secrets.token_bytes(SALT_BYTES)
    _LEAF.run(session.connection(), {"at": index, "record": record_id, "salted": salt})
    extend(StoredNodes(session), index, [leaf_entry(record_id, salt)])
    return index


def log_size(session: Session) -> int:
    """Return how many leaves the log has."""
    return last_number(session, COUNTER)


def log_generation(session: Session, federation_id: str) -> int:
    """Return the generation of the log as a federation's witnesses know it: they follow each from its beginning.

    One parent's word (it may list any key as ours) makes our log begin anew for that parent alone.
    """
    row = session.get(Meta, f"{GENERATION} {federation_id}")
    return int(row.value) if row else 0


def restart_log(session: Session, federation_id: str, at: datetime, seen: int) -> int:
    """Begin a generation later than `seen`, which somebody has witnessed; the leaves stay. Return it."""
    generation = max(int(at.timestamp()), log_generation(session, federation_id) + 1, seen + 1)
    session.merge(Meta(name=f"{GENERATION} {federation_id}", value=str(generation)))
    session.flush()
    return generation


def log_root(session: Session, size: int) -> bytes:
    """Return the root of the first `size` leaves."""
    return root_of(StoredNodes(session), size)


def find_index(session: Session, record_id: str) -> int | None:
    """Return the index of the first leaf of a record."""
    found = select(col(LogLeaf.index)).where(col(LogLeaf.record_id) == record_id).order_by(col(LogLeaf.index)).limit(1)
    return session.connection().execute(found).scalar_one_or_none()


def prove_record(session: Session, index: int, size: int) -> Inclusion:
    """Return the proof that leaf `index` is in the log of `size` leaves; its salt is for the record's readers only."""
    salt = session.get_one(LogLeaf, index).salt
    return Inclusion(index, salt, tuple(prove_inclusion(StoredNodes(session), index, size)))


def prove_growth(session: Session, old: int, new: int) -> list[bytes]:
    """Return the proof that the log of `new` leaves begins with that of `old`."""
    return prove_consistency(StoredNodes(session), old, new)
