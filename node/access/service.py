"""Accounts, tokens, sign-in."""

import hashlib
from pathlib import Path

from sqlmodel import Session, select

from federation.errors import NotPermitted
from node.access.models import Account
from node.access.permissions import Actor


def digest_of(secret: str) -> str:
    """Return what is stored of a token or cookie: its SHA-256 in hex (the secrets are random and long)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def actor_of_token(session: Session, token_file: Path | None) -> Actor:
    """Return the account whose token stands in `token_file`; raise NotPermitted."""
    if token_file is None:
        raise NotPermitted(
            "token-missing",
            "请用 --token-file 或环境变量 GONGHUI_TOKEN_FILE 指明账号令牌文件（gonghui user token 可生成）。",
            "Name the token file of your account with --token-file or GONGHUI_TOKEN_FILE (see `gonghui user token`).",
        )
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotPermitted("token-unreadable", "读不到令牌文件。", "The token file cannot be read.") from error
    return actor_of_secret(session, token)


def actor_of_secret(session: Session, token: str) -> Actor:
    """Return the account that a token belongs to; raise NotPermitted."""
    account = session.exec(select(Account).where(Account.token_digest == digest_of(token))).first()
    if not token or account is None or not account.active:
        raise NotPermitted("token-unknown", "令牌无效或账号已停用。", "The token is unknown or its account is closed.")
    return actor_of(account)


def actor_of(account: Account) -> Actor:
    """Return the account as somebody who acts."""
    return Actor(account.id, account.name, account.role)
