"""Tables of the exchange's memory: records of our own and of others, where they lie in the log, what must go where."""

from datetime import datetime

from sqlmodel import Field, SQLModel, UniqueConstraint

from node.db import UtcDateTime


class Federation(SQLModel, table=True):
    """A federation this node belongs to; the hub's own is made by `init --hub`."""

    id: str = Field(primary_key=True)  # f-...
    name: str
    hub_id: str
    joined_at: datetime = Field(sa_type=UtcDateTime)


class StoredRecord(SQLModel, table=True):
    """One signed record, verbatim. `position` is gapless over this node's log, assigned in the committing transaction.

    `state`: `current` (accepted or own), `quarantined` (took its place in the chain, content refused, `code` says why).
    """

    __tablename__ = "stored_record"
    __table_args__ = (UniqueConstraint("federation", "origin", "stream", "sequence"),)
    id: str = Field(primary_key=True)  # SHA-256 (hex) of the pre-authentication encoding
    position: int = Field(unique=True, index=True)
    federation: str
    origin: str = Field(index=True)
    stream: str  # the audience: `all`, `hub` or `node:<id>`
    sequence: int
    previous: str  # id of the record before, "" for the first
    kind: str = Field(index=True)
    subject: str = Field(index=True)
    revision: int
    issued_at: datetime = Field(sa_type=UtcDateTime)
    stored_at: datetime = Field(sa_type=UtcDateTime)
    state: str = "current"
    code: str = ""
    envelope: bytes  # exactly as signed or received


class OutboxItem(SQLModel, table=True):
    """One record that one peer must get; written with the record. `state`: waiting, delivered, refused."""

    __tablename__ = "outbox_item"
    __table_args__ = (UniqueConstraint("record_id", "peer_id"),)
    id: int | None = Field(default=None, primary_key=True)
    record_id: str = Field(foreign_key="stored_record.id")
    peer_id: str = Field(index=True)
    state: str = Field(default="waiting", index=True)
    receipt: bytes = b""  # the receiver's signed receipt, verbatim
    updated_at: datetime = Field(sa_type=UtcDateTime)
