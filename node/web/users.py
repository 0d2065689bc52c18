"""Accounts on screen, for the administrator. A link or token is shown on the one page that answers its making."""

from fastapi import APIRouter, Request, Response

from federation.errors import GonghuiError
from node.access import accounts
from node.access.accounts import ROLE_NAMES
from node.http.problems import status_of
from node.web.addresses import own_url
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(prefix="/users", route_class=PageRoute)


@router.get("")
def list_users(request: Request, visitor: VisitorOf) -> Response:
    """Show the accounts and the form for another."""
    return _users(request, visitor)


def _users(request: Request, visitor: Visitor, error: GonghuiError | None = None, name: str = "") -> Response:
    found = accounts.list_accounts(visitor.node, visitor.account)
    status = status_of(error) if error else 200
    return page(request, "users.html", status, accounts=found, roles=ROLE_NAMES, error=error, name=name)


@router.post("")
def add(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Add an account and show its set-up link."""
    try:
        account, link = accounts.add_account(visitor.node, visitor.account, form.text("name"), form.text("role"))
    except GonghuiError as error:
        if error.code == "not-permitted":
            raise
        return _users(request, visitor, error, form.text("name"))
    return _secret(request, visitor, account.name, link=link)


@router.post("/{account_id}/link")
def new_link(request: Request, visitor: VisitorOf, account_id: str) -> Response:
    """Show a new set-up link."""
    link = accounts.new_setup_link(visitor.node, visitor.account, account_id)
    name = accounts.get_account(visitor.node, visitor.account, account_id).name
    return _secret(request, visitor, name, link=link)


@router.post("/{account_id}/token")
def new_token(request: Request, visitor: VisitorOf, account_id: str) -> Response:
    """Show a new token."""
    token = accounts.new_token(visitor.node, visitor.account, account_id)
    name = accounts.get_account(visitor.node, visitor.account, account_id).name
    return _secret(request, visitor, name, token=token)


def _secret(request: Request, visitor: Visitor, name: str, *, link: str = "", token: str = "") -> Response:
    url = own_url(request, visitor.node) + link if link else ""
    return page(request, "user-secret.html", name=name, url=url, token=token)


@router.post("/{account_id}/role")
def set_role(visitor: VisitorOf, account_id: str, form: FormOf) -> Response:
    """Give an account another role."""
    accounts.set_role(visitor.node, visitor.account, account_id, form.text("role"))
    return see_other("/users", "role-set")


@router.post("/{account_id}/active")
def set_active(visitor: VisitorOf, account_id: str, form: FormOf) -> Response:
    """Close an account or open it again."""
    active = form.text("active") == "yes"
    accounts.set_active(visitor.node, visitor.account, account_id, active=active)
    return see_other("/users", "user-opened" if active else "user-closed")
