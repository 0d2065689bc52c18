"""A node restored from an old backup gets back what it signed before it signs anything else; without that, a fork."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from federation.errors import Conflict
from node.access.permissions import SYSTEM
from node.context import Node
from node.db import Database
from node.exchange.sync import recover
from node.stream import recovery, service
from node.stream.models import Equivocation, StoredRecord
from node.stream.recovery import MARK_FILE, Recovery
from tests.exchange.conftest import World
from tests.sync.conftest import Net


def _held(node: Node, origin: Node) -> list[int]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all()
    return sorted(row.sequence for row in rows)


def _forks(node: Node) -> int:
    with node.database.read() as session:
        return len(session.exec(select(Equivocation)).all())


def _recovering(node: Node) -> bool:
    with node.database.read() as session:
        return session.exec(select(Recovery)).first() is not None


@pytest.fixture
def restored(net: Net, world: World, tmp_path: Path) -> Callable[..., Node]:
    """Return a college of three records whose folder was copied after the first; all were pushed to the hub."""

    def make(*, keep_mark: bool) -> Node:
        college = net.college()
        world.append(college, 1)
        net.run(college)
        backup = tmp_path / "backup"
        college.database.close()
        shutil.copytree(college.folder, backup)
        for n in (2, 3):
            world.append(college, n)
        net.run(college)
        if keep_mark:  # the database alone came from the backup
            shutil.copy(college.folder / MARK_FILE, backup / MARK_FILE)
        return replace(college, folder=backup, database=Database(f"sqlite:///{backup}/gonghui.db"))

    return make


def _goes_on(net: Net, world: World, node: Node) -> None:
    net.run(node)
    assert _held(node, node) == [1, 2, 3]
    assert not _recovering(node)
    world.append(node, 4)
    assert net.run(node)[0].state == "ok"
    assert _held(world.hub, node) == [1, 2, 3, 4]
    assert (_forks(world.hub), _forks(node)) == (0, 0)


def test_the_file_beside_the_key_tells(net: Net, world: World, restored: Callable[..., Node]) -> None:
    node = restored(keep_mark=True)
    with pytest.raises(Conflict, match="stream-recovering"):
        world.append(node, 2)
    assert _held(node, node) == [1]
    _goes_on(net, world, node)


def test_the_command_tells(net: Net, world: World, restored: Callable[..., Node]) -> None:
    node = restored(keep_mark=False)
    recover(node, SYSTEM)
    with pytest.raises(Conflict, match="stream-recovering"):
        world.append(node, 2)
    with pytest.raises(Conflict, match="stream-recovering"):
        world.append(node, 2, stream="hub")
    _goes_on(net, world, node)


def test_a_peer_shows_it(net: Net, world: World, restored: Callable[..., Node]) -> None:
    node = restored(keep_mark=False)
    _goes_on(net, world, node)


def test_control_without_the_guard_a_fork_arises(
    net: Net, world: World, restored: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = restored(keep_mark=True)
    monkeypatch.setattr(service, "check_may_sign", lambda *_: None)
    world.append(node, 77)
    net.run(node)
    assert _forks(world.hub) >= 1


def test_a_bare_claim_counts_for_nothing(net: Net, world: World) -> None:
    college = net.college()
    world.append(college, 1)
    net.run(college)
    real = recovery.heads_of
    claims = pytest.MonkeyPatch()
    claims.setattr("node.exchange.recovering.recovery.heads_of", lambda *a: {**real(*a), "all": 900})
    try:
        assert net.run(college)[0].state == "ok"
    finally:
        claims.undo()
    assert not _recovering(college)
    world.append(college, 2)


def test_a_restored_hub_gets_its_own_records_from_its_members(net: Net, world: World, tmp_path: Path) -> None:
    if not world.hub.database.url.startswith("sqlite"):
        pytest.skip("the folder's copy holds no PostgreSQL")
    first, second = net.college(), net.college()
    path = Path(world.hub.database.url.removeprefix("sqlite:///"))
    world.append(world.hub, 1)
    for node in (first, second):
        net.run(node)
    world.hub.database.close()
    shutil.copy(path, tmp_path / "old.db")
    for n in (2, 3):
        world.append(world.hub, n)
    net.run(first)
    world.append(first, 9)
    net.run(first)
    world.hub.database.close()
    for leftover in path.parent.glob(path.name + "-*"):
        leftover.unlink()
    shutil.copy(tmp_path / "old.db", path)
    before = _held(first, world.hub)
    recover(world.hub, SYSTEM)
    with pytest.raises(Conflict, match="stream-recovering"):
        world.append(world.hub, 4)
    world.clock.forward(minutes=10)
    net.run(second)
    with pytest.raises(Conflict, match="stream-recovering"):  # the other may hold more
        world.append(world.hub, 4)
    net.run(first)
    assert _held(world.hub, world.hub) == before
    assert not _recovering(world.hub)
    world.append(world.hub, 4)
    world.clock.forward(minutes=10)
    for node in (first, second):
        net.run(node)
        assert _held(node, world.hub) == [*before, before[-1] + 1]
        assert _forks(node) == 0
