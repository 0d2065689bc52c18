"""Tables of event notices: what is known of each, own and others', and who subscribed to the calendar."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from node.db import UtcDateTime


class Notice(SQLModel, table=True):
    """The newest accepted revision of one notice; the records themselves lie in `stored_record`.

    `state`: published, cancelled, or disputed (its origin contradicted itself). Expiry is not stored: time brings it.
    """

    __tablename__ = "event_notice"
    origin: str = Field(primary_key=True)
    id: str = Field(primary_key=True)  # the records' subject, e-...; `<subject>@<federation>` beside another one's
    federation: str
    record_id: str
    revision: int
    state: str
    title: str
    kind: str  # a key of `notices.KINDS`
    place: str
    starts_at: datetime = Field(sa_type=UtcDateTime, index=True)
    ends_at: datetime = Field(sa_type=UtcDateTime)
    zone: str  # IANA name in which the two times were written
    who: str
    seats: int  # 0: not limited
    contact: str  # of the office
    details: str
    note: str  # what changed, or why it was cancelled
    issued_at: datetime = Field(sa_type=UtcDateTime)  # of this revision


class CalendarFeed(SQLModel, table=True):
    """One account's secret calendar address; calendar programs cannot sign in."""

    __tablename__ = "calendar_feed"
    account_id: str = Field(primary_key=True, foreign_key="account.id")
    digest: str = Field(unique=True)  # SHA-256 of the secret
    created_at: datetime = Field(sa_type=UtcDateTime)
