"""The audit table."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from node.db import UtcDateTime


class AuditEntry(SQLModel, table=True):
    """Who did what to which thing, when. Written in the same transaction; never a personal value."""

    __tablename__ = "audit_entry"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    account_id: str
    action: str
    subject: str = ""
    detail: str = "{}"  # JSON: counts and codes
