"""Whatever is sent to any route, by anybody: an answer or a refusal in words, never a failure of ours.

The requests are made by schemathesis from what FastAPI says of each route, and, for the pages' forms, of which it says
nothing, from the names that our forms use. GONGHUI_SOAK=1 sends sixty of each and role, half of them to
each kind of database, instead of two.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from node.app import create_app
from node.context import Node
from node.db import Database
from tests.web.conftest import Browser

Open = Callable[..., Browser]
EXAMPLES = 30 if os.environ.get("GONGHUI_SOAK") else 2
FIELDS: tuple[str, ...] = (
    "name",
    "role",
    "password",
    "period",
    "digest",
    "verdict",
    "record",
    "note",
    "title",
    "place",
    "starts",
    "ends",
)
FIELDS += (
    "revision",
    "as_of",
    "complete",
    "known_at",
    "active",
    "again",
    "state",
    "kind",
    "answer",
    "until",
    "audience",
)
CHOSEN = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    derandomize=not os.environ.get("GONGHUI_SOAK"),
    suppress_health_check=list(HealthCheck),
)
HARD = st.sampled_from(
    ("", "\0", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "9" * 400, "-1", "١", "[]")
)


@pytest.fixture
def make_node(make_node: Callable[..., Node], database: Database) -> Callable[..., Node]:
    """Make nodes on each kind of database: they differ in what they hold."""
    return partial(make_node, database=database)


@pytest.mark.timeout(900 if os.environ.get("GONGHUI_SOAK") else 200)
@pytest.mark.parametrize("role", ["admin", "officer", ""])
def test_no_request_breaks_anything(node: Node, open_browser: Open, role: str) -> None:
    browser = open_browser(role)
    [token] = re.findall(r'name="csrf" value="([^"]+)"', browser.get("/" if role else "/sign-in").text)[:1]
    schema = schemathesis.openapi.from_dict(create_app(node).openapi())
    asked = 0
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        if operation.path == "/sign-out":
            continue

        @CHOSEN
        @given(case=operation.as_strategy(), form=st.dictionaries(st.sampled_from(FIELDS), HARD | st.text(max_size=20)))
        def ask(case: Any, form: dict[str, str]) -> None:
            nonlocal asked
            is_form = case.method == "POST" and not case.path.startswith(("/api/", "/exchange/"))
            if is_form and not isinstance(case.body, bytes):
                case.body, case.media_type = {**form, "csrf": token}, "application/x-www-form-urlencoded"
            answer = _send(browser.client, case, f"{role}-token" if case.path.startswith("/api/") and role else "")
            asked += 1
            assert answer.status_code < 500, (case.method, case.path, answer.status_code, answer.text[-500:])

        ask()
    assert asked >= 80


def _send(client: httpx.Client, case: Any, token: str) -> httpx.Response:
    """Send a case as the bytes that `requests` would put on the wire."""
    wished = case.as_transport_kwargs(base_url=str(client.base_url).rstrip("/"))
    wished["headers"] = {**wished["headers"], **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        prepared = requests.Request(**wished).prepare()
    except (ValueError, requests.RequestException):
        assume(False)  # nothing that can be sent
    body: Any = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
    headers: Any = dict(prepared.headers)
    try:
        return client.request(prepared.method or "", prepared.url or "", headers=headers, content=body)
    except httpx.InvalidURL:
        assume(False)
        raise
