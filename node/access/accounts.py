"""Accounts as the administrator keeps them: add, list, close, open again, role, new token, new set-up link.

Whatever takes a right away (closing, another role, a new password) ends the account's sessions in the same transaction.
The last administrator who could let others in cannot be closed or made something else.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from federation.errors import Conflict, InputRefused, Text
from federation.keys import new_identifier
from node.access.models import Account, WebSession
from node.access.permissions import ADMIN, ANALYST, APPROVER, OFFICER, ROLES, VIEWER, Actor, check_permission
from node.access.setup import issue_setup_link, issue_token
from node.audit import write_audit
from node.context import Node

ROLE_NAMES: Mapping[str, Text] = {
    VIEWER: Text("查看者", "Viewer"),
    OFFICER: Text("干部", "Officer"),
    APPROVER: Text("审批人", "Approver"),
    ANALYST: Text("分析员", "Analyst"),
    ADMIN: Text("管理员", "Administrator"),
}
_NAME = re.compile(r"[\w][\w.@\-]{0,39}")


@dataclass(frozen=True)
class AccountFacts:
    """An account without its secrets."""

    id: str
    name: str
    role: str
    active: bool
    has_password: bool
    has_token: bool
    created_at: datetime


def add_account(node: Node, actor: Actor, name: str, role: str) -> tuple[AccountFacts, str]:
    """Add an account; return it and the path of its set-up link. Raise InputRefused, or Conflict for a name in use."""
    check_permission(actor, "user.write")
    name = unicodedata.normalize("NFKC", name).strip()
    if not _NAME.fullmatch(name):
        raise InputRefused(
            "account-name",
            "账号名为 1 到 40 个字母、汉字、数字或 . @ - _，以字母、汉字或数字开头。",
            "An account's name has 1 to 40 letters, digits or . @ - _ and begins with a letter or digit.",
        )
    _check_role(role)
    with node.database.write() as session:
        if session.exec(select(Account).where(func.lower(Account.name) == name.lower())).first() is not None:
            raise Conflict("account-exists", "已有同名账号。", "There is an account of this name already.")
        account = Account(id=new_identifier("a"), name=name, role=role, created_at=node.clock())
        session.add(account)
        session.flush()
        link = issue_setup_link(session, account, node.clock())
        _audit(session, node, actor, account, "user.add", role=role)
    return _facts(account), link


def list_accounts(node: Node, actor: Actor) -> list[AccountFacts]:
    """Return all accounts by name."""
    check_permission(actor, "user.write")
    with node.database.read() as session:
        return [_facts(account) for account in session.exec(select(Account).order_by(Account.name)).all()]


def find_account_id(node: Node, actor: Actor, name: str) -> str:
    """Return the id of the account called `name`; raise InputRefused where there is none."""
    check_permission(actor, "user.write")
    with node.database.read() as session:
        account = session.exec(select(Account).where(Account.name == unicodedata.normalize("NFKC", name))).first()
    if account is None:
        raise _unknown()
    return account.id


def get_account(node: Node, actor: Actor, account_id: str) -> AccountFacts:
    """Return one account; raise InputRefused where there is none."""
    check_permission(actor, "user.write")
    with node.database.read() as session:
        return _facts(_get(session, account_id))


def set_role(node: Node, actor: Actor, account_id: str, role: str) -> AccountFacts:
    """Give the account another role; its sessions end."""
    check_permission(actor, "user.write")
    _check_role(role)
    with node.database.write() as session:
        account = _get(session, account_id)
        if account.role != role:
            _check_not_last(session, account)
            account.role = role
            session.add(account)
            end_sessions(session, account.id)
            _audit(session, node, actor, account, "user.role", role=role)
    return _facts(account)


def set_active(node: Node, actor: Actor, account_id: str, *, active: bool) -> AccountFacts:
    """Close an account (sessions end, token and links no longer count) or open it again."""
    check_permission(actor, "user.write")
    with node.database.write() as session:
        account = _get(session, account_id)
        if account.active != active:
            if not active:
                _check_not_last(session, account)
            account.active = active
            session.add(account)
            end_sessions(session, account.id)
            _audit(session, node, actor, account, "user.enable" if active else "user.disable")
    return _facts(account)


def new_token(node: Node, actor: Actor, account_id: str) -> str:
    """Return a new API token of the account, shown this once; the one before dies."""
    check_permission(actor, "user.write")
    with node.database.write() as session:
        account = _get(session, account_id)
        token = issue_token(session, account)
        _audit(session, node, actor, account, "user.token")
    return token


def new_setup_link(node: Node, actor: Actor, account_id: str) -> str:
    """Return the path of a new one-time link with which the account sets its password; links before die."""
    check_permission(actor, "user.write")
    with node.database.write() as session:
        account = _get(session, account_id)
        link = issue_setup_link(session, account, node.clock())
        _audit(session, node, actor, account, "user.link")
    return link


def end_sessions(session: Session, account_id: str) -> None:
    """Sign the account out everywhere."""
    session.execute(delete(WebSession).where(col(WebSession.account_id) == account_id))


def _check_role(role: str) -> None:
    if role not in ROLES:
        names = "、".join(f"{name}（{ROLE_NAMES[name].zh}）" for name in ROLES)
        raise InputRefused("role-unknown", f"角色只能是：{names}。", f"A role is one of: {', '.join(ROLES)}.")


def _check_not_last(session: Session, account: Account) -> None:
    """Raise Conflict where nobody would be left to keep accounts.

    Administrators are held until commit: two who close each other at once must not both succeed.
    """
    statement = select(Account).where(Account.role == ADMIN, col(Account.active).is_(True)).with_for_update()
    admins = session.exec(statement.order_by(Account.id)).all()
    if [admin.id for admin in admins] == [account.id]:
        raise Conflict(
            "last-admin",
            "这是最后一个管理员账号，请先指定另一个管理员。",
            "This is the last administrator; make another account administrator first.",
        )


def _get(session: Session, account_id: str) -> Account:
    account = session.get(Account, account_id)
    if account is None:
        raise _unknown()
    return account


def _unknown() -> InputRefused:
    return InputRefused("account-unknown", "没有这个账号。", "There is no such account.")


def _facts(account: Account) -> AccountFacts:
    return AccountFacts(
        account.id,
        account.name,
        account.role,
        account.active,
        bool(account.password_hash),
        bool(account.token_digest),
        account.created_at,
    )


def _audit(session: Session, node: Node, actor: Actor, account: Account, action: str, **detail: str) -> None:
    write_audit(session, account_id=actor.account_id, action=action, subject=account.id, at=node.clock(), **detail)
