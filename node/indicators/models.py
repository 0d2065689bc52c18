"""Tables of figures and releases."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel, UniqueConstraint

from node.db import UtcDateTime


class FigureSet(SQLModel, table=True):
    """All figures of one (catalogue version, period, known_at), computed once: the same key always gives the same."""

    __tablename__ = "figure_set"
    __table_args__ = (UniqueConstraint("catalogue", "period", "known_at"),)
    id: int | None = Field(default=None, primary_key=True)
    catalogue: str
    period: str
    known_at: int
    computed_at: datetime = Field(sa_type=UtcDateTime)


class Figure(SQLModel, table=True):
    """One cell inside this node, before the gate. `dims` is `G=2;T=NONE` in the catalogue's order, "" for the total."""

    set_id: int = Field(foreign_key="figure_set.id", primary_key=True)
    indicator: str = Field(primary_key=True)
    dims: str = Field(primary_key=True)
    status: str  # SDMX CL_OBS_STATUS: A value, O missing, M not applicable
    value: str = ""  # integer or decimal string; empty for a rate and for anything without a value
    numerator: int | None = None  # of a rate
    denominator: int | None = None
    reason: str = ""  # code why there is no value, e.g. `no-source:member`


class Release(SQLModel, table=True):
    """All dataflows of one period, approved together. `state`: draft, approved, withdrawn, superseded."""

    id: str = Field(primary_key=True)
    period: str = Field(index=True)
    revision: int
    known_at: int
    past: str = ""  # digest of all that was published before: what it was protected together with
    state: str = "draft"
    reason: str = ""  # of a correction
    lost: int = 0  # cells of earlier releases that these, from before there was a history gate, give away by themselves
    approval: str = "two-person"
    prepared_by: str = ""
    prepared_at: datetime = Field(sa_type=UtcDateTime)
    approved_by: str = ""
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ReleaseRecord(SQLModel, table=True):
    """The record as which one dataflow of a release was signed in one federation, where there are several."""

    __tablename__ = "release_record"
    release_id: str = Field(foreign_key="release.id", primary_key=True)
    dataflow: str = Field(primary_key=True)
    federation: str = Field(primary_key=True)
    record_id: str


class ReleaseItem(SQLModel, table=True):
    """One dataflow of a release: exactly the bytes that were shown to the approver and stand in the record."""

    __tablename__ = "release_item"
    release_id: str = Field(foreign_key="release.id", primary_key=True)
    dataflow: str = Field(primary_key=True)  # `MEM.all`, `LAW.hub`: family and audience
    content: bytes
    digest: str  # SHA-256 (hex) of content
    explanation: str = "{}"  # JSON, for the approver alone: what is withheld and why
    record_id: str = ""  # the first, where it went to several federations (`ReleaseRecord` has all)


class LedgerEntry(SQLModel, table=True):
    """One signed record that made something public: which, for whom, how much. Figures stand in the record."""

    __tablename__ = "ledger_entry"
    record_id: str = Field(foreign_key="stored_record.id", primary_key=True)
    position: int = Field(unique=True, sa_type=BigInteger)  # of the record in this node's log
    audience: str  # `all` or `hub`
    dataflow: str
    period: str
    revision: int
    published: int  # cells with a value
    withheld: int
    content_sha256: str


class NoiseDraw(SQLModel, table=True):
    """Noise that was drawn for a release, and what it takes of each person's budget. Never sent."""

    __tablename__ = "noise_draw"
    dataflow: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    year: str = Field(index=True)  # union year in which the period ends
    epsilon: str  # a decimal
    noise: str  # JSON: `indicator|dims` -> what is added
    at: datetime = Field(sa_type=UtcDateTime)
