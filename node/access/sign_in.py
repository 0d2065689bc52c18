"""Sign-in with a password: the throttle, the session behind a cookie, and its end.

    throttle   every attempt is counted before the password is looked at, so that attempts at once cannot slip through;
               after `web.login_attempts` the name waits `web.login_lock_seconds`; trying meanwhile does not prolong it
    session    256 random bits in a cookie, its digest in the database; ends when idle, after twelve hours, on sign-out,
               and with whatever takes a right from the account
Names that exist and names that do not are answered alike and in like time.
"""

import hmac
import secrets
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, text
from sqlmodel import col, delete, select

from federation.errors import NotPermitted, StorageError
from node.access.models import Account, LoginFailure, WebSession
from node.access.passwords import hash_password, is_outdated, verify_password
from node.access.permissions import Actor
from node.access.service import actor_of, digest_of
from node.audit import write_audit
from node.context import Node
from node.db import UtcDateTime

SESSION_HOURS = 12
_NOTE_SECONDS = 60  # how exactly `seen_at` is kept: not every request of a page need write
_ENSURE = text(
    "INSERT INTO login_failure (name_digest, count, last_at) VALUES (:name, 0, :at) ON CONFLICT DO NOTHING"
).bindparams(bindparam("at", type_=UtcDateTime()))


@dataclass(frozen=True)
class SignedIn:
    """A browser that is signed in: who, and the token its forms must carry."""

    actor: Actor
    csrf: str


def sign_in(node: Node, name: str, password: str) -> str:
    """Return the secret of a new session; raise NotPermitted (`sign-in-failed`, `sign-in-locked`)."""
    name = unicodedata.normalize("NFKC", name).strip()
    digest = hmac.new(node.derived_key("sign-in"), name.encode(errors="replace"), "sha256").hexdigest()
    _count_attempt(node, digest)
    with node.database.read() as session:
        account = session.exec(select(Account).where(Account.name == name)).first()
    stored = account.password_hash if account is not None and account.active else ""
    if not verify_password(stored, password) or account is None:
        raise NotPermitted("sign-in-failed", "账号或密码不对。", "Name or password is wrong.")
    again = hash_password(password) if is_outdated(stored) else stored
    secret = secrets.token_urlsafe(32)
    at = node.clock()
    with node.database.write() as session:
        account = session.get_one(Account, account.id, populate_existing=True, with_for_update=True)
        if account.password_hash != stored or not account.active:
            raise NotPermitted("sign-in-failed", "账号或密码不对。", "Name or password is wrong.")
        account.password_hash = again
        session.add(account)
        session.execute(delete(LoginFailure).where(col(LoginFailure.name_digest) == digest))
        session.execute(delete(WebSession).where(col(WebSession.seen_at) < at - timedelta(hours=SESSION_HOURS)))
        session.add(
            WebSession(
                digest=digest_of(secret),
                account_id=account.id,
                csrf=secrets.token_urlsafe(32),
                created_at=at,
                seen_at=at,
            )
        )
        write_audit(session, account_id=account.id, action="session.start", at=at)
    return secret


def _count_attempt(node: Node, digest: str) -> None:
    """Count an attempt; raise NotPermitted, without counting, while the name is locked."""
    web, at = node.settings.web, node.clock()
    since = at - timedelta(seconds=web.login_lock_seconds)
    with node.database.write() as session:
        session.execute(delete(LoginFailure).where(col(LoginFailure.last_at) <= since))
        session.execute(_ENSURE, {"name": digest, "at": at})
        row = session.exec(select(LoginFailure).where(LoginFailure.name_digest == digest).with_for_update()).one()
        if row.count >= web.login_attempts:
            raise _locked(row.last_at, at, web.login_lock_seconds)
        row.count, row.last_at = row.count + 1, at
        session.add(row)


def _locked(last_at: datetime, at: datetime, lock_seconds: int) -> NotPermitted:
    wait = max(1, round(lock_seconds - (at - last_at).total_seconds()))
    minutes = -(-wait // 60)
    return NotPermitted(
        "sign-in-locked",
        f"尝试次数过多，请 {minutes} 分钟后再试。",
        f"Too many attempts; try again in {minutes} minutes.",
        retry_after_seconds=wait,
    )


def find_session(node: Node, secret: str) -> SignedIn | None:
    """Return who is signed in with this cookie; None where the session has ended. Notes that it is in use."""
    at = node.clock()
    with node.database.read() as session:
        row = session.get(WebSession, digest_of(secret))
        account = session.get(Account, row.account_id) if row else None
    if row is None or account is None or not account.active:
        return None
    idle = timedelta(seconds=node.settings.web.session_idle_seconds)
    if row.seen_at + idle <= at or row.created_at + timedelta(hours=SESSION_HOURS) <= at:
        return None
    if row.seen_at + timedelta(seconds=_NOTE_SECONDS) <= at or row.seen_at + idle / 4 <= at:
        with suppress(StorageError), node.database.write(durable=False) as session:  # busy: the next page notes it
            held = session.get(WebSession, row.digest)
            if held is not None:
                held.seen_at = at
                session.add(held)
    return SignedIn(actor_of(account), row.csrf)


def sign_out(node: Node, secret: str) -> None:
    """End the session of this cookie, if there is one."""
    with node.database.write() as session:
        row = session.get(WebSession, digest_of(secret))
        if row is not None:
            session.delete(row)
            write_audit(session, account_id=row.account_id, action="session.end", at=node.clock())
