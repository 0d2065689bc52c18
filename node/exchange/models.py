"""Table of what the nodes of a federation have told each other in figures."""

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


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
    dataflow: str
    record_id: str
    revision: int = Field(sa_type=BigInteger)
