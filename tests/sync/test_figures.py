"""Releases and reviews over whole rounds: from a college's log to the hub's total, and back to the college's screen."""

import pytest
from sqlmodel import select

from node.access.permissions import ANALYST, VIEWER, Actor
from node.context import Node
from node.exchange.hub import review_release, take_review
from node.exchange.status import sync_status
from node.exchange.view import ViewRow, read_view
from node.stream.models import StoredRecord
from tests.exchange.conftest import World
from tests.exchange.releases import count, publish, rate, take_releases

from .conftest import Net

ANNA = Actor("a", "anna", ANALYST)


@pytest.fixture(autouse=True)
def handlers(world: World) -> None:
    take_releases(world)
    world.handlers["review"] = take_review


def total(node: Node, indicator: str = "MEM_CNT") -> ViewRow:
    [row] = read_view(node, ANNA, indicator, "2026U").rows
    return row


def change_a_byte(node: Node, record: StoredRecord) -> None:
    """Change one byte of a stored record's payload where its origin keeps it."""
    with node.database.write() as session:
        row = session.get_one(StoredRecord, record.id)
        changed = bytearray(row.envelope)
        place = len('{"payload":"') + len(changed) // 2
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        row.envelope = bytes(changed)
        session.add(row)


def test_every_node_shows_the_same_total_after_a_round(net: Net, world: World) -> None:
    colleges = [net.college() for _ in range(3)]
    for number, college in enumerate(colleges):
        publish(world, college, [count("MEM_CNT", 100 + number), rate("MEM_DENSITY", 50, 100 + number)])
    for college in (*colleges, *colleges):
        assert net.run(college)[0].state == "ok"
    for node in (world.hub, *colleges):
        row = total(node)
        assert (row.value, row.coverage.reported, row.coverage.expected) == (303, 3, 3)
        assert total(node, "MEM_DENSITY").value == "49.5"
    assert total(colleges[1]).own is not None
    assert total(world.hub).own is None


def test_a_byte_changed_at_the_origin_is_refused_and_moves_no_total(net: Net, world: World) -> None:
    first, second = net.college(), net.college()
    publish(world, first, [count("MEM_CNT", 100)])
    publish(world, second, [count("MEM_CNT", 200)])
    net.run(first)
    net.run(second)
    before = total(world.hub)
    assert before.value == 300
    forged = publish(world, second, [count("MEM_CNT", 900)], reason="更正")
    change_a_byte(second, forged)
    [result] = net.run(second)
    assert (result.delivered, result.refused) == (0, 1)
    assert total(world.hub) == before
    net.run(first)
    assert total(first).value == 300
    [delivery] = [item for item in sync_status(second, ANNA)["deliveries"] if item["record"] == forged.id]
    assert (delivery["state"], delivery["code"], delivery["receipt"]) == ("refused", "signature-invalid", False)


def test_what_the_hub_says_of_a_release_is_seen_by_its_office_with_the_next_pull(net: Net, world: World) -> None:
    college, other = net.college(), net.college()
    first = publish(world, college, [count("MEM_CNT", 100)])
    net.run(college)
    review_release(world.hub, ANNA, first.id, "returned", "人数与去年相差过大")
    viewer = Actor("v", "vera", VIEWER)
    assert sync_status(college, viewer)["reviews"] == []
    net.run(college)
    net.run(other)
    [said] = sync_status(college, viewer)["reviews"]
    assert (said["record"], said["subject"], said["verdict"], said["note"]) == (
        first.id,
        "MEM.all/2026U",
        "returned",
        "人数与去年相差过大",
    )
    assert sync_status(other, viewer)["reviews"] == []
    with other.database.read() as session:
        assert session.exec(select(StoredRecord).where(StoredRecord.kind == "review")).all() == []
    assert total(world.hub).value == 100  # a review changes no figure
    second = publish(world, college, [count("MEM_CNT", 98)], reason="更正")
    net.run(college)
    review_release(world.hub, ANNA, second.id, "accepted")
    review_release(world.hub, ANNA, second.id, "returned", "还差一人")
    review_release(world.hub, ANNA, second.id, "accepted")
    net.run(college)
    told = sync_status(college, viewer)["reviews"]
    assert [(item["record"], item["verdict"], item["revision"]) for item in told] == [
        (second.id, "accepted", 2),
        (first.id, "returned", 1),
    ]
    assert total(world.hub).value == 98


def test_a_correction_reaches_everybody(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    publish(world, college, [count("MEM_CNT", 100), count("MEM_CNT", 60, G="1")])
    for node in (college, reader):
        net.run(node)
    publish(world, college, [count("MEM_CNT", 101), count("MEM_CNT", G="1")], reason="更正")
    for node in (college, reader):
        net.run(node)
    for node in (world.hub, college, reader):
        assert total(node).value == 101
        rows = read_view(node, ANNA, "MEM_CNT", "2026U", tables=[("G",)]).rows
        assert [row.status for row in rows] == ["withheld", "missing", "missing", "missing"]
