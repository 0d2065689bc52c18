"""Route by role: every route of the application is in this table, and each role gets exactly what its actions allow.

A route that is not listed fails the test; so does a listed one that is gone. Whoever may not is refused before anything
is looked up, whoever may is never refused for who they are.
"""

import re
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from node.access.permissions import _PERMISSIONS, ROLES
from node.app import create_app
from node.context import Node
from tests.web.conftest import Browser

Open = Callable[..., Browser]
OPEN, SIGNED_IN, SIGNED = "open", "signed-in", "signed request"  # the last: another node's signature decides
ROUTES = {
    "GET /.well-known/gonghui": OPEN,
    "POST /exchange/v1/pull": SIGNED,
    "POST /exchange/v1/missing": SIGNED,
    "POST /exchange/v1/push": SIGNED,
    "POST /exchange/v1/ping": SIGNED,
    "POST /exchange/v1/heads": SIGNED,
    "POST /exchange/v1/witness": SIGNED,
    "GET /exchange/v1/log/checkpoint": OPEN,  # sizes and hashes
    "POST /exchange/v1/log/proof": SIGNED,
    "POST /exchange/v1/catalogue": SIGNED,
    "POST /exchange/v1/relay": SIGNED,
    "GET /exchange/v1/membership/{path:path}": OPEN,  # signed by officers, names no person
    "POST /exchange/v1/membership": OPEN,  # a list proves itself, and none is looked at unless a member names a newer
    "POST /exchange/v1/join": OPEN,  # proof of possession, size, count; changes nothing by itself
    "GET /exchange/v1/join/{name}": OPEN,  # its address is too long to be guessed
    "POST /exchange/v1/join/draft": SIGNED,  # an officer's signature decides
    "GET /calendar/{secret}.ics": OPEN,  # its address is its secret
    # the API, by token
    "GET /api/v1/users": "user.write",
    "POST /api/v1/users": "user.write",
    "POST /api/v1/users/{account_id}": "user.write",
    "POST /api/v1/users/{account_id}/token": "user.write",
    "POST /api/v1/users/{account_id}/link": "user.write",
    "GET /api/v1/imports": "data.import",
    "POST /api/v1/imports": "data.import",
    "GET /api/v1/imports/{import_id}": "data.import",
    "POST /api/v1/imports/{import_id}/answers": "data.import",
    "POST /api/v1/imports/{import_id}/confirm": "data.import",
    "POST /api/v1/imports/{import_id}/discard": "data.import",
    "POST /api/v1/imports/{import_id}/undo": "data.import",
    "GET /api/v1/notices": "notice.read",
    "POST /api/v1/notices": "notice.write",
    "POST /api/v1/notices/{notice_id}": "notice.write",
    "POST /api/v1/notices/{notice_id}/cancel": "notice.write",
    "GET /api/v1/peers": "sync.read",
    "GET /api/v1/peers/key": "peer.write",
    "POST /api/v1/join": "peer.write",
    "POST /api/v1/join/standing": "peer.write",
    "GET /api/v1/join/requests": "sync.read",
    "GET /api/v1/federation/anchor": "sync.read",
    "GET /api/v1/sync": "sync.read",
    "POST /api/v1/sync/run": "sync.run",
    "GET /api/v1/sync/outbox": "sync.read",
    "POST /api/v1/sync/outbox/retry": "sync.run",
    "POST /api/v1/bundles/{to}": "sync.run",
    "POST /api/v1/bundles": "sync.run",
    "GET /api/v1/sync/quarantine": "quarantine.read",
    "POST /api/v1/sync/quarantine/{record_id}/retry": "quarantine.retry",
    "GET /api/v1/records": "release.read",
    "GET /api/v1/records/{record_id}": "release.read",
    "GET /api/v1/releases": "release.read",
    "POST /api/v1/releases": "release.prepare",
    "GET /api/v1/releases/{release}": "release.read",
    "POST /api/v1/releases/{release}/approve": "release.approve",
    "POST /api/v1/releases/{release}/withdraw": "release.prepare",
    "GET /api/v1/periods": "indicator.read",
    "GET /api/v1/figures": "indicator.read",
    "GET /api/v1/rollup": "indicator.read",
    "GET /api/v1/matrix": "matrix.read",
    "POST /api/v1/reviews": "review.write",
    "GET /api/v1/totals": "indicator.read",
    "POST /api/v1/totals/{family}/consent": "total.consent",
    "POST /api/v1/totals/{family}/vouch": "total.vouch",
    "GET /api/v1/totals/{family}/{period}": "indicator.read",
    "POST /api/v1/totals/{family}/{period}": "total.begin",
    "POST /api/v1/totals/{family}/{period}/give-up": "total.begin",
    # pages, by session
    "GET /static/{name}": OPEN,
    "GET /sign-in": OPEN,
    "GET /my-data": OPEN,  # kinds of data, and no person
    "POST /sign-in": OPEN,
    "POST /sign-out": SIGNED_IN,
    "GET /setup/{secret}": OPEN,
    "POST /setup/{secret}": OPEN,
    "GET /": SIGNED_IN,
    "GET /indicators": "indicator.read",
    "GET /indicators/{code}": "indicator.read",
    "GET /indicators/{code}/chart.svg": "indicator.read",
    "GET /indicators/{code}/trend.svg": "indicator.read",
    "GET /indicators/{code}/figures.{suffix}": "indicator.read",
    "GET /releases": "release.read",
    "POST /releases": "release.prepare",
    "GET /releases/{release}": "release.read",
    "POST /releases/{release}/approve": "release.approve",
    "POST /releases/{release}/withdraw": "release.prepare",
    "GET /matrix": "matrix.read",
    "POST /matrix/review": "review.write",
    "GET /imports": "data.import",
    "POST /imports": "data.import",
    "GET /imports/new": "data.import",
    "GET /imports/{import_id}": "data.import",
    "POST /imports/{import_id}/answers": "data.import",
    "POST /imports/{import_id}/confirm": "data.import",
    "POST /imports/{import_id}/discard": "data.import",
    "POST /imports/{import_id}/undo": "data.import",
    "POST /imports/mappings/forget": "data.import",
    "GET /notices": "notice.read",
    "GET /notices/new": "notice.write",
    "POST /notices/new": "notice.write",
    "POST /notices/feed": "notice.read",
    "GET /notices/{notice_id}/edit": "notice.write",
    "POST /notices/{notice_id}/edit": "notice.write",
    "POST /notices/{notice_id}/cancel": "notice.write",
    "GET /notices/{origin}/{notice_id}": "notice.read",
    "GET /totals": "indicator.read",
    "POST /totals/contribute": "total.consent",
    "POST /totals/begin": "total.begin",
    "GET /sync": "sync.read",
    "POST /sync/run": "sync.run",
    "GET /sticks": "sync.read",
    "POST /sticks/export": "sync.run",
    "POST /sticks/look": "sync.read",
    "POST /sticks/import": "sync.run",
    "POST /sticks/retry": "sync.run",
    "GET /peers": "sync.read",
    "GET /peers/key": "peer.write",
    "GET /peers/anchor": "sync.read",
    "GET /peers/request": "peer.write",
    "POST /peers/join": "peer.write",
    "POST /peers/standing": "peer.write",
    "GET /quarantine": "quarantine.read",
    "POST /quarantine/{record_id}/retry": "quarantine.retry",
    "GET /records": "release.read",
    "GET /records/{record_id}": "release.read",
    "GET /settings": "audit.read",
    "GET /audit": "audit.read",
    "GET /audit/trail.{suffix}": "audit.read",
    "GET /records/{record_id}/proof": "release.read",
    "GET /users": "user.write",
    "POST /users": "user.write",
    "POST /users/{account_id}/link": "user.write",
    "POST /users/{account_id}/token": "user.write",
    "POST /users/{account_id}/role": "user.write",
    "POST /users/{account_id}/active": "user.write",
}
# What a body must hold so that the API gets as far as asking who may.
BODIES = {
    "POST /api/v1/users": {"name": "new-one", "role": "viewer"},
    "POST /api/v1/imports/{import_id}/confirm": {"known_at": 0},
    "POST /api/v1/notices": {"title": "a", "place": "b", "starts": "c", "ends": "d"},
    "POST /api/v1/notices/{notice_id}": {"title": "a", "place": "b", "starts": "c", "ends": "d", "revision": 1},
    "POST /api/v1/reviews": {"record": "none", "verdict": "accepted"},
    "POST /api/v1/totals/{family}/consent": {"on": True},
    "POST /api/v1/sync/outbox/retry": {"items": [1]},
    "POST /api/v1/releases": {"period": "1999U"},
    "POST /api/v1/releases/{release}/approve": {"digests": []},
}
FILES = {"POST /api/v1/bundles", "POST /api/v1/imports", "POST /api/v1/join"}


def routes_of(app: FastAPI) -> set[str]:
    """Return every route of the application; what is neither a route nor a router of routes fails."""
    found: set[str] = set()
    for entry in app.routes:
        router = getattr(entry, "original_router", None)  # FastAPI includes routers as they are
        for route in router.routes if router else [entry]:
            assert isinstance(route, APIRoute), route
            found |= {f"{method} {route.path}" for method in route.methods or ()}
    return found


def test_every_route_is_in_the_table(node: Node) -> None:
    assert routes_of(create_app(node)) == set(ROUTES)


def test_every_action_of_the_table_exists() -> None:
    known = frozenset().union(*_PERMISSIONS.values())
    assert {action for action in ROUTES.values() if "." in action} <= known


@pytest.mark.parametrize("role", [*ROLES, ""])
def test_each_role_gets_what_its_actions_allow(open_browser: Open, role: str) -> None:
    browser = open_browser(role)
    allowed = _PERMISSIONS.get(role, frozenset())
    token = re.findall(r'name="csrf" value="([^"]+)"', browser.get("/" if role else "/sign-in").text)[0]
    for route, action in ROUTES.items():
        if action in {SIGNED} or route in {"POST /sign-out", "POST /sign-in"}:
            continue
        method, _, path = route.partition(" ")
        path = re.sub(r"\{[a-z_]+\}", "none-0", path)
        if "/api/" in path:
            answer = ask(browser, route, path, role)
            nobody = answer.status_code == 401
        else:
            data = {"csrf": token} if method == "POST" else None
            answer = browser.client.request(method, path, data=data)
            nobody = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
        refused = answer.status_code == 403 and "not-permitted" in answer.text
        if action == OPEN:
            assert not nobody, route
        elif not role:
            assert nobody, (route, answer.status_code)
        elif action == SIGNED_IN:
            assert not nobody, route
        else:
            assert not nobody, route
            assert refused == (action not in allowed), (route, role, answer.status_code, answer.text[-300:])
        assert answer.status_code < 500, (route, answer.status_code)


def ask(browser: Browser, route: str, path: str, role: str) -> httpx.Response:
    method = route.partition(" ")[0]
    headers = {"Authorization": f"Bearer {role}-token"} if role else {}
    if route in FILES:
        fields = {"as_of": "2026-09-30", "complete": "true"}
        return browser.client.post(path, headers=headers, data=fields, files={"file": ("a.csv", b"x")})
    return browser.client.request(
        method, path, headers=headers, json=BODIES.get(route, {}) if method == "POST" else None
    )
