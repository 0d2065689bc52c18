"""Who looks at a page: session cookie, language, and the token that every form of this visitor must carry.

Cookies of one host are shared by all its ports, so their names carry the node: two nodes on one machine do not sign
each other's people out. HttpOnly, SameSite=Strict, and Secure with the `__Host-` name wherever the page came by TLS.
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from federation.errors import NotPermitted
from node.access.permissions import Actor, may
from node.access.sign_in import find_session
from node.context import Node
from node.stream.service import find_own, list_federations

OWN_PAGES = "/matrix"  # of what a hub's own members report
_LANGUAGES = ("zh", "en")
_LANGUAGE_COOKIE = "gonghui_lang"
_YEAR_SECONDS = 365 * 24 * 3600


class SignInNeeded(NotPermitted):
    """Nobody is signed in; a page leads to the sign-in."""


@dataclass(frozen=True)
class Visitor:
    """Somebody before a page. `actor` is None where nobody is signed in; `new_form_cookie` is to be set, if any."""

    node: Node
    actor: Actor | None
    csrf: str
    language: str
    new_form_cookie: str = ""
    federations: tuple[tuple[str, str], ...] = ()  # id and name, where there are several to choose from

    @property
    def account(self) -> Actor:
        """Return who is signed in; raise SignInNeeded."""
        if self.actor is None:
            raise SignInNeeded("sign-in-needed", "请先登录。", "Sign in first.")
        return self.actor

    def may(self, action: str) -> bool:
        """Tell whether somebody is signed in whose role includes the action."""
        return self.actor is not None and may(self.actor, action)


def load_visitor(request: Request) -> Visitor:
    """Return who sent the request, and of which federation the pages are to speak."""
    node: Node = request.app.state.node
    language = _language(request, node)
    signed_in = find_session(node, request.cookies.get(_name(request, "session"), ""))
    if signed_in is None:
        return load_guest(request)
    node, federations = _choose_federation(request, node)
    return Visitor(node, signed_in.actor, signed_in.csrf, language, federations=federations)


def _choose_federation(request: Request, node: Node) -> tuple[Node, tuple[tuple[str, str], ...]]:
    """Return the node as it speaks in the federation that was chosen, and the choices where there are several.

    Unless somebody chose: the one whose hub this node is, else the first joined.
    """
    with node.database.read() as session:
        joined = list_federations(session)
        if len(joined) < 2:
            return node, ()
        own = find_own(session, node)
    if own is not None and request.url.path.startswith(OWN_PAGES):
        return node.within(own.id), ()
    known = {federation.id for federation in joined}
    for asked in (request.query_params.get("federation"), request.cookies.get(_name(request, "federation"))):
        if asked in known:
            return node.within(str(asked)), tuple((one.id, one.name) for one in joined)
    return node.within((own or joined[0]).id), tuple((one.id, one.name) for one in joined)


def load_guest(request: Request) -> Visitor:
    """Return the visitor as somebody not signed in; asks no database."""
    node: Node = request.app.state.node
    language = _language(request, node)
    held = request.cookies.get(_name(request, "form"), "")
    cookie = held or secrets.token_urlsafe(16)
    csrf = hmac.new(node.derived_key("form"), cookie.encode(errors="replace"), "sha256").hexdigest()
    return Visitor(node, None, csrf, language, "" if held else cookie)


def _language(request: Request, node: Node) -> str:
    for asked in (request.query_params.get("lang"), request.cookies.get(_LANGUAGE_COOKIE)):
        if asked in _LANGUAGES:
            return asked
    return node.settings.node.language


def check_form(visitor: Visitor, token: str) -> None:
    """Raise NotPermitted unless the form that was sent is one that this visitor was given."""
    if not hmac.compare_digest(visitor.csrf.encode(), token.encode(errors="replace")):
        raise NotPermitted(
            "form-expired",
            "页面已过期或不是由本站打开，没有做任何改动。请返回刷新后重试。",
            "The page has expired or was not opened here; nothing was changed. Go back, reload and try again.",
        )


def _name(request: Request, what: str) -> str:
    node: Node = request.app.state.node
    prefix = "__Host-" if request.url.scheme == "https" else ""
    return f"{prefix}gonghui_{what}_{node.node_id[2:10]}"


def _set(request: Request, response: Response, name: str, value: str, max_age: int | None = None) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="strict")


def keep_session(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session; it lasts as long as the browser is open, and on our side no longer than set."""
    _set(request, response, _name(request, "session"), secret)


def session_secret(request: Request) -> str:
    """Return the session's secret as the browser sent it."""
    return request.cookies.get(_name(request, "session"), "")


def forget_session(request: Request, response: Response) -> None:
    """Take the session's cookie away."""
    _set(request, response, _name(request, "session"), "", max_age=0)


def keep_choices(request: Request, response: Response, visitor: Visitor) -> None:
    """Set what the visitor brought or was given: the language asked for, and the cookie behind a guest's forms."""
    if request.query_params.get("lang") in _LANGUAGES:
        _set(request, response, _LANGUAGE_COOKIE, visitor.language, _YEAR_SECONDS)
    if visitor.federations and request.query_params.get("federation") == visitor.node.federation:
        _set(request, response, _name(request, "federation"), visitor.node.federation, _YEAR_SECONDS)
    if visitor.new_form_cookie:
        _set(request, response, _name(request, "form"), visitor.new_form_cookie)


async def _visitor(request: Request) -> Visitor:
    visitor: Visitor = request.state.visitor
    return visitor


async def _signed_in(request: Request) -> Visitor:
    visitor: Visitor = request.state.visitor
    _ = visitor.account
    return visitor


GuestOf = Annotated[Visitor, Depends(_visitor)]  # anybody
VisitorOf = Annotated[Visitor, Depends(_signed_in)]  # somebody signed in; else the sign-in is shown
