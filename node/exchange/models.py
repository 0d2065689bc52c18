"""Tables of what the nodes of a federation have told each other in figures, and of what travels in parcels."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from node.db import UtcDateTime


class SharedFigure(SQLModel, table=True):
    """One observation of the newest accepted revision of a release, own or another's; the records are in the log.

    The key is the only index: a release is replaced, and a period of named nodes read, by its first columns.
    """

    __tablename__ = "shared_figure"
    federation: str = Field(primary_key=True)
    origin: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    indicator: str = Field(primary_key=True)
    dims: str = Field(primary_key=True)  # `G=2;T=NONE` in the catalogue's order, "" for the total
    status: str  # SDMX CL_OBS_STATUS: A value, O missing, M not applicable, Q withheld
    value: str = ""  # integer or decimal string; empty for a rate and for anything without a value
    numerator: int | None = Field(default=None, sa_type=BigInteger)  # of a rate
    denominator: int | None = Field(default=None, sa_type=BigInteger)
    method: str | None = None  # by which the figure was moved by chance
    variance: str | None = None  # of each count in it then, a decimal
    dataflow: str
    record_id: str
    revision: int = Field(sa_type=BigInteger)


class PeerParcels(SQLModel, table=True):
    """Parcels to and from one peer: numbers given and seen, and what its newest manifest said of itself."""

    __tablename__ = "peer_parcels"
    federation: str = Field(primary_key=True)
    peer_id: str = Field(primary_key=True)
    number_out: int = Field(default=0, sa_type=BigInteger)
    number_in: int = Field(default=0, sa_type=BigInteger)
    receipted: str = "{}"  # JSON: stream -> sequence up to which the peer has our receipts
    receipts_sent: str = "{}"  # JSON: the same, of what lies in the mailbox or was taken out of it
    misses: str = "[]"  # JSON: ranges the peer lacks
    membership: str = "{}"  # JSON: role -> version the peer holds
    refused: str = "{}"  # JSON: record id -> code, of what we refused of the peer's own and told in no receipt
    held: str = "{}"  # JSON: stream of ours -> the last sequence that the peer holds
    lost: str = ""  # JSON: stream of its own -> the last sequence it still has, while it recovers from a restore
    lost_told: int = Field(default=0, sa_type=BigInteger)  # number of its parcel that we answered over the mailbox
    exported_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    imported_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class MailboxParcel(SQLModel, table=True):
    """At the hub: a parcel from one college to another, as bytes. Its content is for the recipient."""

    __tablename__ = "mailbox_parcel"
    id: str = Field(primary_key=True)
    federation: str
    sender: str = Field(index=True)
    recipient: str = Field(index=True)
    size_bytes: int
    put_at: datetime = Field(sa_type=UtcDateTime)
    state: str = "kept"  # or expired: then nothing but this row is left, until its sender has seen it
    data: bytes
