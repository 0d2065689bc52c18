"""Passwords: Argon2id, what is accepted as one, and the one-time link with which it is set.

Hashing takes memory on purpose; few at once may run, so that a flood of sign-ins cannot exhaust the machine.
"""

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlmodel import Session, delete, select

from federation.errors import InputRefused, NotPermitted
from node.access.accounts import end_sessions
from node.access.models import Account, SetupLink
from node.access.service import digest_of
from node.audit import write_audit
from node.context import Node

MIN_CHARACTERS, MAX_CHARACTERS = 10, 200
_RUNS = ("0123456789" * 2, "9876543210" * 2)
_HASHER = PasswordHasher()  # the library's defaults: RFC 9106, low memory
_AT_ONCE = threading.BoundedSemaphore(2)


def hash_password(password: str) -> str:
    """Return the Argon2id hash that is stored."""
    with _AT_ONCE:
        return _HASHER.hash(password)


def verify_password(stored: str, password: str) -> bool:
    """Tell whether the password is the stored one. Without a stored one this takes as long and is always False."""
    with _AT_ONCE:
        try:
            _HASHER.verify(stored or _nobodys_hash(), password[: MAX_CHARACTERS + 1])
        except (VerificationError, InvalidHashError):
            return False
    return bool(stored)


def is_outdated(stored: str) -> bool:
    """Tell whether the hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash("nobody's password")


def check_password(password: str, name: str) -> None:
    """Raise InputRefused for a password that is too short, too long, the account's name, or one character again."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise InputRefused(
            "password-length",
            f"密码需 {MIN_CHARACTERS} 到 {MAX_CHARACTERS} 个字符。",
            f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters.",
        )
    if len(password.lower().replace(name.lower(), "")) < MIN_CHARACTERS // 2:
        raise InputRefused("password-is-name", "密码不能就是账号名。", "The password must not be the account's name.")
    if len(set(password)) < 4 or any(password in run for run in _RUNS):
        raise InputRefused("password-simple", "密码过于简单。", "The password is too simple.")


def find_setup_name(node: Node, secret: str) -> str:
    """Return the name of the account a set-up link belongs to; raise NotPermitted where it no longer counts."""
    with node.database.read() as session:
        return _account_of_link(session, node, secret).name


def redeem_setup_link(node: Node, secret: str, password: str) -> str:
    """Set the account's password, once; return its name. Its sessions end. Raise NotPermitted, InputRefused."""
    check_password(password, find_setup_name(node, secret))
    stored = hash_password(password)
    with node.database.write() as session:
        account = _account_of_link(session, node, secret)
        used = session.execute(delete(SetupLink).where(SetupLink.digest == digest_of(secret)))  # type: ignore[arg-type]
        if used.rowcount != 1:  # type: ignore[attr-defined]  # somebody used it between our look and our write
            raise _link_void()
        account.password_hash = stored
        session.add(account)
        end_sessions(session, account.id)
        write_audit(session, account_id=account.id, action="user.password", subject=account.id, at=node.clock())
    return account.name


def _account_of_link(session: Session, node: Node, secret: str) -> Account:
    link = session.exec(select(SetupLink).where(SetupLink.digest == digest_of(secret))).first()
    if link is None or link.expires_at <= node.clock():
        raise _link_void()
    account = session.get(Account, link.account_id)
    if account is None or not account.active:
        raise _link_void()
    return account


def _link_void() -> NotPermitted:
    return NotPermitted(
        "setup-link-void",
        "这个链接已用过、已过期或已作废，请向管理员要一个新的。",
        "This link was used, has expired or was replaced; ask the administrator for a new one.",
    )
