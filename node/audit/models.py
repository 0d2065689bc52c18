"""The audit table."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from node.db import UtcDateTime


class AuditEntry(SQLModel, table=True):
    """Who did what to whom, when, and how it ended. Written in the transaction that did it; never a personal value.

    `number` and `hash` are given at the end of that transaction: the hash covers the entry and the hash before.
    """

    __tablename__ = "audit_entry"
    id: int | None = Field(default=None, primary_key=True)
    number: int | None = Field(default=None, unique=True, sa_type=BigInteger)  # gapless, in the order of commits
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    account_id: str
    action: str  # one of `events.EVENTS`
    subject: str = ""
    result: str = "ok"  # or a stable code
    detail: str = "{}"  # JSON: counts and codes
    hash: str = ""  # SHA-256, hex
