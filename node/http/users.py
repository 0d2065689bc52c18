"""`/api/v1/users`: accounts over HTTP, the same service as `gonghui user`. A secret is shown once, where it is made."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from node.access import accounts
from node.access.accounts import AccountFacts
from node.clock import format_time
from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute

router = APIRouter(prefix="/api/v1/users", route_class=ProblemRoute, tags=["users"])


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAccount(_In):
    """An account to add."""

    name: str
    role: str


class Changes(_In):
    """What to change of an account; what is left out stays."""

    role: str | None = None
    active: bool | None = None


def _as_json(account: AccountFacts) -> dict[str, Any]:
    return {**vars(account), "created_at": format_time(account.created_at)}


@router.get("")
def list_users(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List the accounts by name."""
    return [_as_json(account) for account in accounts.list_accounts(node, actor)]


@router.post("", status_code=201)
def add_user(node: NodeOf, actor: ActorOf, asked: NewAccount) -> dict[str, Any]:
    """Add an account; answers the path of its one-time set-up link."""
    account, link = accounts.add_account(node, actor, asked.name, asked.role)
    return {**_as_json(account), "setup_path": link}


@router.post("/{account_id}")
def change_user(node: NodeOf, actor: ActorOf, account_id: str, asked: Changes) -> dict[str, Any]:
    """Give the account another role, close it, or open it again."""
    account = accounts.get_account(node, actor, account_id)
    if asked.role is not None:
        account = accounts.set_role(node, actor, account_id, asked.role)
    if asked.active is not None:
        account = accounts.set_active(node, actor, account_id, active=asked.active)
    return _as_json(account)


@router.post("/{account_id}/token", status_code=201)
def new_token(node: NodeOf, actor: ActorOf, account_id: str) -> dict[str, Any]:
    """Answer a new token of the account; the one before dies."""
    return {"id": account_id, "token": accounts.new_token(node, actor, account_id)}


@router.post("/{account_id}/link", status_code=201)
def new_link(node: NodeOf, actor: ActorOf, account_id: str) -> dict[str, Any]:
    """Answer the path of a new one-time set-up link; links before die."""
    return {"id": account_id, "setup_path": accounts.new_setup_link(node, actor, account_id)}
