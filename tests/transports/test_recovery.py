"""A node restored from an old backup gets back what it signed before it signs anything else; without that, a fork."""

import io
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from federation.errors import Conflict
from federation.keys import new_identifier
from node.access.permissions import SYSTEM
from node.context import Node
from node.db import Database
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.models import MailboxParcel
from node.exchange.sync import recover
from node.stream import recovery, service
from node.stream.marks import MARK_FILE, Head, find_mark, note_mark
from node.stream.models import Equivocation, StoredRecord
from node.stream.recovery import Recovery
from tests.exchange.conftest import World
from tests.sync.conftest import Net

from .conftest import carry


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


def _stick_only(node: Node) -> Node:
    return replace(node, settings=node.settings.model_copy(
        update={"exchange": node.settings.exchange.model_copy(update={"transport": "file"})}
    ))  # fmt: skip


def test_over_sticks_alone_a_restored_node_gets_all_back_and_goes_on(
    net: Net, world: World, restored: Callable[..., Node]
) -> None:
    node = _stick_only(restored(keep_mark=True))
    old = export_bundle(world.hub, SYSTEM, node.node_id).parts()  # made before the hub was asked: no answer
    net.run(node)
    import_bundle(node, SYSTEM, io.BytesIO(b"".join(old)), world.handlers)
    with pytest.raises(Conflict, match="stream-recovering"):
        world.append(node, 4)
    world.clock.forward(minutes=1)
    carry(world, node, world.hub)
    carry(world, world.hub, node)
    assert _held(node, node) == [1, 2, 3]
    assert not _recovering(node)
    world.append(node, 4)
    world.clock.forward(minutes=1)
    assert carry(world, node, world.hub).records["accepted"] == 1
    assert (_forks(world.hub), _forks(node)) == (0, 0)


def test_a_stick_from_a_reader_shows_what_nobody_else_told(
    net: Net, world: World, restored: Callable[..., Node]
) -> None:
    node = _stick_only(restored(keep_mark=False))
    for sender, to in [(world.hub, node), (node, world.hub), (world.hub, node), (node, world.hub), (world.hub, node)]:
        world.clock.forward(minutes=1)
        carry(world, sender, to)
    assert _held(node, node) == [1, 2, 3]
    assert not _recovering(node)
    world.append(node, 4)


def test_a_reader_that_only_the_mailbox_reaches_answers_too(net: Net, world: World, tmp_path: Path) -> None:
    college, reader = net.college(), net.college()
    for one in (college, reader, college):
        net.run(one)
    stream = f"node:{reader.node_id}"
    world.append(college, 1, stream=stream)
    for one in (college, reader, college):
        net.run(one)
    backup = tmp_path / "backup"
    college.database.close()
    shutil.copytree(college.folder, backup)
    world.append(college, 2, stream=stream)
    for one in (college, reader, college):
        net.run(one)
    node = replace(college, folder=backup, database=Database(f"sqlite:///{backup}/gonghui.db"))
    recover(node, SYSTEM)
    world.clock.forward(hours=2)
    net.run(node)
    assert _recovering(node)
    for one in (node, reader, node):
        net.run(one)
    assert (_held(node, node), _recovering(node)) == ([1, 2], False)
    world.append(node, 3, stream=stream)
    for one in (node, reader, node):
        net.run(one)
    assert (_held(reader, node), _forks(reader)) == ([1, 2, 3], 0)
    with world.hub.database.read() as session:
        assert session.exec(select(MailboxParcel)).all() == []  # nobody asks or answers for ever


def test_two_that_write_the_mark_at_once_lose_none(net: Net, world: World) -> None:
    college = net.college()
    streams = [f"node:{new_identifier('n')}" for _ in range(8)]

    def note(stream: str) -> None:
        with college.database.write() as session:
            note_mark(session, college, world.federation, stream, Head(1, "0" * 64))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(note, streams))
    assert {find_mark(college, world.federation, stream) for stream in streams} == {Head(1, "0" * 64)}
    assert (college.folder / MARK_FILE).stat().st_mode & 0o777 == 0o600


def test_a_database_that_a_copy_of_this_machine_wrote_is_found(net: Net, world: World, tmp_path: Path) -> None:
    college = net.college()
    copy_folder = tmp_path / "copy"
    college.database.close()
    shutil.copytree(college.folder, copy_folder)
    copied = replace(college, folder=copy_folder, database=Database(f"sqlite:///{copy_folder}/gonghui.db"))
    world.append(college, 1)
    world.append(copied, 2)
    with pytest.raises(Conflict, match="node-copied"):
        world.append(replace(copied, folder=college.folder), 3)
