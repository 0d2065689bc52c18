"""Accounts, sessions and tokens. Secrets are stored as digests only."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from node.db import UtcDateTime


class Account(SQLModel, table=True):
    """Somebody who may sign in. `role` is one of `permissions.ROLES`."""

    id: str = Field(primary_key=True)
    name: str = Field(unique=True, index=True)
    role: str
    password_hash: str = ""  # Argon2id; empty until the set-up link was used
    token_digest: str = Field(default="", index=True)  # SHA-256 of the API token
    active: bool = True
    created_at: datetime = Field(sa_type=UtcDateTime)


class SetupLink(SQLModel, table=True):
    """A one-time link with which an account sets its password."""

    __tablename__ = "setup_link"
    digest: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="account.id")
    expires_at: datetime = Field(sa_type=UtcDateTime)


class WebSession(SQLModel, table=True):
    """A signed-in browser. `digest` is the SHA-256 of the cookie."""

    __tablename__ = "web_session"
    digest: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="account.id", index=True)
    csrf: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)


class LoginFailure(SQLModel, table=True):
    """Sign-ins of one name that were tried and have not succeeded, for the throttle. The name is keyed and digested."""

    __tablename__ = "login_failure"
    name_digest: str = Field(primary_key=True)
    count: int = 0
    last_at: datetime = Field(sa_type=UtcDateTime)
