"""How an account gets its first secret: a one-time link for a person, a token for a command.

Both are random, 256 bits, shown once; the database keeps only their digests.
"""

import secrets
from datetime import datetime, timedelta

from sqlmodel import Session, delete

from node.access.models import Account, SetupLink
from node.access.service import digest_of

SETUP_PATH = "/setup/"
SETUP_HOURS = 72


def issue_setup_link(session: Session, account: Account, at: datetime) -> str:
    """Return the path of a new one-time link (`/setup/<secret>`); links given to this account before die."""
    session.execute(delete(SetupLink).where(SetupLink.account_id == account.id))  # type: ignore[arg-type]
    secret = secrets.token_urlsafe(32)
    expires_at = at + timedelta(hours=SETUP_HOURS)
    session.add(SetupLink(digest=digest_of(secret), account_id=account.id, expires_at=expires_at))
    return SETUP_PATH + secret


def issue_token(session: Session, account: Account) -> str:
    """Return a new API token of the account; the one before dies."""
    token = secrets.token_urlsafe(32)
    account.token_digest = digest_of(token)
    session.add(account)
    return token
