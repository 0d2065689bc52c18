"""After a restore the log goes on as another generation, which witnesses take only as a break that they show."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import col, select

from node.access.permissions import SYSTEM
from node.audit.models import AuditEntry
from node.context import Node
from node.db import Database
from node.exchange.alarms import evidence_status
from node.stream.log import log_generation
from node.stream.models import OwnCheckpoint, WitnessedLog
from node.stream.recovery import Recovery
from tests.exchange.conftest import World
from tests.sync.conftest import Net


@pytest.fixture
def set_back(net: Net, world: World, tmp_path: Path) -> Callable[[], Node]:
    """Return a college whose folder was copied, whose log then grew and was witnessed, and which is the copy again."""

    def make() -> Node:
        college = net.college()
        for n in (1, 2):
            world.append(college, n)
        net.run(college)
        backup = tmp_path / "backup"
        college.database.close()
        shutil.copytree(college.folder, backup)
        for n in (3, 4, 5):
            world.append(college, n)
        world.clock.forward(hours=2)
        net.run(college)
        world.clock.forward(hours=2)
        return replace(college, folder=backup, database=Database(f"sqlite:///{backup}/gonghui.db"))

    return make


def _witnessed(world: World, node: Node) -> tuple[int, int]:
    with world.hub.database.read() as session:
        row = session.get_one(WitnessedLog, (world.federation, node.node_id))
        return row.generation, row.size


def _last(node: Node) -> OwnCheckpoint:
    with node.database.read() as session:
        return session.exec(select(OwnCheckpoint).order_by(col(OwnCheckpoint.issued_at).desc())).all()[0]


def test_witnesses_take_the_restored_log_as_a_break_that_they_show(
    net: Net, world: World, set_back: Callable[[], Node]
) -> None:
    node = set_back()
    _, before = _witnessed(world, node)
    for _ in range(2):
        net.run(node)
        world.clock.forward(hours=2)
    generation, size = _witnessed(world, node)
    assert generation == _last(node).generation > 0
    [told] = evidence_status(world.hub, SYSTEM)["restored"]
    assert (told["origin"], told["before"]) == (node.node_id, before)
    assert told["after"] <= size
    with world.hub.database.read() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "witness.restored")).all()
    assert [entry.subject for entry in entries] == [node.node_id]
    assert evidence_status(node, SYSTEM)["checkpoint"]["missing"] == 0
    world.append(node, 6)
    net.run(node)
    assert len(evidence_status(world.hub, SYSTEM)["restored"]) == 1


def test_who_cut_its_trail_is_not_cleared_by_saying_that_it_was_restored(
    net: Net, world: World, set_back: Callable[[], Node]
) -> None:
    node = set_back()
    with world.hub.database.write() as session:
        row = session.get_one(WitnessedLog, (world.federation, node.node_id))
        row.alarm, row.alarm_at = "audit-cut", world.clock()
        session.add(row)
    for _ in range(3):
        net.run(node)
        world.clock.forward(hours=2)
    assert _witnessed(world, node)[0] > 0, "the log began anew"
    assert [told["code"] for told in evidence_status(world.hub, SYSTEM)["logs"]] == ["audit-cut"]


def test_what_a_witness_shows_of_our_own_signing_begins_the_recovery(
    net: Net, world: World, set_back: Callable[[], Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = set_back()
    monkeypatch.setattr("node.exchange.sync.recovering.take_back", lambda *_: 0)  # nobody shows a record
    net.run(node)
    with node.database.read() as session:
        assert session.exec(select(Recovery)).first() is not None
        assert log_generation(session, world.federation) > 0


def test_a_sound_log_never_begins_anew(net: Net, world: World) -> None:
    college = net.college()
    for n in range(1, 4):
        world.append(college, n)
        net.run(college)
        world.clock.forward(hours=2)
    assert _last(college).generation == 0
    assert evidence_status(world.hub, SYSTEM)["restored"] == []


def test_a_restored_hub_is_told_by_its_witnesses(net: Net, world: World, tmp_path: Path) -> None:
    hub = world.hub
    if not hub.database.url.startswith("sqlite"):
        pytest.skip("the folder's copy holds no PostgreSQL")
    college = net.college()
    world.append(hub, 1)
    net.run(college)
    path = Path(hub.database.url.removeprefix("sqlite:///"))
    hub.database.close()
    shutil.copy(path, tmp_path / "old.db")
    for n in (2, 3, 4):
        world.append(hub, n)
    for _ in range(2):
        world.clock.forward(hours=2)
        net.run(college)
    hub.database.close()
    for leftover in path.parent.glob(path.name + "-*"):
        leftover.unlink()
    shutil.copy(tmp_path / "old.db", path)
    for _ in range(3):
        world.clock.forward(hours=2)
        net.run(college)
    [told] = evidence_status(college, SYSTEM)["restored"]
    assert told["origin"] == hub.node_id
    assert _last(hub).generation > 0
