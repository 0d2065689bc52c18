"""What one database holds and the other does not is refused in words, on both."""

from collections.abc import Callable
from functools import partial

import pytest

from node.context import Node
from node.db import Database
from tests.web.conftest import Browser

Open = Callable[..., Browser]


@pytest.fixture
def make_node(make_node: Callable[..., Node], database: Database) -> Callable[..., Node]:
    """Make nodes on each kind of database."""
    return partial(make_node, database=database)


def test_a_nul_and_a_number_too_large_are_refused_and_leave_nothing(node: Node, open_browser: Open) -> None:
    del node
    stranger = open_browser("")
    answer = stranger.send(stranger.get("/sign-in"), "/sign-in", name="li\0", password="x")
    assert answer.status_code in {401, 422}, answer.text[-500:]
    admin = open_browser("admin")
    headers = {"Authorization": "Bearer admin-token"}
    answer = admin.client.post("/api/v1/sync/outbox/retry", headers=headers, json={"items": [2**53]})
    assert answer.status_code in {200, 404, 409, 422}, answer.text
    assert admin.get("/").status_code == 200
