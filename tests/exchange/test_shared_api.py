"""Shared figures and the hub's work over HTTP: the same answers as the services give, the same refusals."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from node.access.models import Account
from node.access.permissions import ROLES
from node.access.service import digest_of
from node.app import create_app
from tests.exchange.conftest import World
from tests.exchange.releases import count, publish, rate, take_releases
from tests.transport import AppTransport


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    take_releases(world)
    with world.hub.database.write() as session:
        for role in ROLES:
            digest = digest_of(f"{role}-token")
            session.add(Account(id=role, name=role, role=role, token_digest=digest, created_at=world.clock()))
    with httpx.Client(transport=AppTransport(create_app(world.hub)), base_url="http://hub/api/v1") as opened:
        yield opened


def ask(client: httpx.Client, path: str, role: str = "analyst", status: int = 200, **options: Any) -> Any:
    method = "POST" if "json" in options else "GET"
    answer = client.request(method, path, headers={"Authorization": f"Bearer {role}-token"}, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_from_release_to_roll_up_matrix_and_review(world: World, client: httpx.Client) -> None:
    first, second = world.add_college(), world.add_college()
    records = [
        publish(world, first, [count("MEM_CNT", 40), count("MEM_CNT", G="2"), rate("MEM_DENSITY", 30, 40)]),
        publish(world, second, [count("MEM_CNT", 60), count("MEM_CNT", 25, G="2"), rate("MEM_DENSITY", 60, 60)]),
    ]
    for record in records:
        world.receive(world.hub, record.envelope)
    [entry] = ask(client, "/rollup?indicator=MEM_CNT&period=2026U&sources=true")
    assert (entry["value"], entry["status"], entry["dims"]) == (100, "value", {})
    assert (entry["coverage"]["reported"], entry["coverage"]["expected"]) == (2, 2)
    assert entry["sources"] == sorted(record.id for record in records)
    everything = ask(client, "/rollup?period=2026U")
    assert [(item["indicator"], item["dims"], item["value"], item["status"]) for item in everything] == [
        ("MEM_CNT", {}, 100, "value"),
        ("MEM_CNT", {"G": "2"}, 25, "lower-bound"),
        ("MEM_DENSITY", {}, "90.0", "value"),
    ]
    assert (everything[2]["numerator"], everything[2]["denominator"]) == (90, 100)
    told = ask(client, "/figures?indicator=MEM_CNT&period=2026U&dims=G")
    assert {(item["origin"], item["value"], item["status"]) for item in told} == {
        (first.node_id, None, "withheld"),
        (second.node_id, 25, "value"),
    }
    assert "record_id" not in told[0]
    assert ask(client, "/periods") == ["2026U"]
    said = ask(client, "/reviews", status=201, json={"record": records[0].id, "verdict": "returned", "note": "请核对"})
    assert (said["record_id"], said["revision"]) == (records[0].id, 1)
    cells = {item["member"]: item for item in ask(client, "/matrix?period=2026U") if item["dataflow"] == "MEM.all"}
    assert cells[first.node_id]["review"]["note"] == "请核对"
    assert (cells[second.node_id]["state"], cells[second.node_id]["review"]) == ("reported", None)


def test_refusals_are_problems(world: World, client: httpx.Client) -> None:
    del world
    assert client.get("/rollup?period=2026U").status_code == 401
    cases: list[tuple[str, str, int, str]] = [
        ("/rollup?period=2026", "analyst", 422, "period-never-shared"),
        ("/rollup?period=never", "analyst", 422, "period-unknown"),
        ("/rollup?period=2026U&indicator=X", "analyst", 422, "indicator-unknown"),
        ("/figures?period=2026U&indicator=MEM_CNT&dims=Y", "analyst", 422, "table-not-released"),
        ("/figures?period=2026U", "analyst", 422, "request-invalid"),
        ("/matrix", "officer", 403, "not-permitted"),
    ]
    for path, role, status, code in cases:
        assert ask(client, path, role, status)["code"] == code
    opinion = {"record": "0" * 64, "verdict": "accepted"}
    assert ask(client, "/reviews", "admin", 403, json=opinion)["code"] == "not-permitted"
    assert ask(client, "/reviews", "analyst", 404, json=opinion)["code"] == "record-unknown"
    assert ask(client, "/reviews", "analyst", 422, json={**opinion, "verdict": "x"})["code"] == "request-invalid"
