"""Where nobody can answer a restored node, an administrator opens its streams anew, and every reader sees the break."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from sqlmodel import col, select

from federation.equivocation import claims_of
from federation.errors import Conflict, NotPermitted
from federation.generations import generation_of
from federation.keys import Member
from node.access.permissions import OFFICER, SYSTEM, Actor
from node.context import Node
from node.db import Database
from node.exchange.alarms import evidence_status
from node.exchange.inbox import PULL
from node.exchange.reopened import reopen_streams, take_reopening
from node.exchange.status import list_quarantine
from node.exchange.sync import recover
from node.stream.models import Equivocation, StoredRecord
from node.stream.recovery import Recovery
from tests.exchange.conftest import World
from tests.exchange.test_refusals import refuse
from tests.sync.conftest import Net


def _held(node: Node, origin: Node) -> list[StoredRecord]:
    with node.database.read() as session:
        found = select(StoredRecord).where(StoredRecord.origin == origin.node_id)
        return list(session.exec(found.order_by(col(StoredRecord.sequence))).all())


def _states(node: Node, origin: Node) -> list[str]:
    return [row.state for row in _held(node, origin)]


@dataclass
class Lost:
    """A college that was set back to its first record of three, and the envelope of a fourth on a stick."""

    node: Node
    late: bytes


@pytest.fixture
def lost(net: Net, world: World, tmp_path: Path) -> Callable[[], Lost]:
    world.handlers["reopening"] = take_reopening

    def make() -> Lost:
        college = net.college()
        world.append(college, 1, subject="s")
        net.run(college)
        backup = tmp_path / "backup"
        college.database.close()
        shutil.copytree(college.folder, backup)
        world.append(college, 2, subject="s")
        world.append(college, 3, subject="t")
        net.run(college)
        late = world.append(college, 4).envelope
        node = replace(college, folder=backup, database=Database(f"sqlite:///{backup}/gonghui.db"))
        recover(node, SYSTEM)
        return Lost(node, late)

    return make


def _unreachable(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503, content=b"")


def test_a_stream_begins_anew_and_the_reader_sees_it(net: Net, world: World, lost: Callable[[], Lost]) -> None:
    node = lost().node
    net.faults["hub"] = _unreachable
    net.run(node)
    with pytest.raises(Conflict, match="stream-recovering"):
        world.append(node, 20, subject="s")
    assert reopen_streams(node, SYSTEM) == {"all": 1}
    with node.database.read() as session:
        assert session.exec(select(Recovery)).first() is None
    again = world.append(node, 20, subject="s")
    assert (again.revision, generation_of(again.sequence)) == (2, int(world.clock().timestamp()))
    net.faults.clear()
    assert net.run(node)[0].state == "ok"
    assert _states(world.hub, node) == ["current", "abandoned", "abandoned", "current", "current"]
    assert sorted(world.seen.taken.values()) == [1, 20]  # what it no longer knows is shown by nobody
    [told] = [item for item in evidence_status(world.hub, SYSTEM)["restored"] if item["stream"]]
    assert (told["before"], told["after"]) == (3, 1)
    given_up = [item for item in list_quarantine(world.hub, SYSTEM) if item.state == "abandoned"]
    assert [item.code for item in given_up] == ["stream-reopened"] * 2
    with world.hub.database.read() as session:
        assert session.exec(select(Equivocation)).all() == []
    newcomer = net.college()
    net.run(newcomer)
    assert _states(newcomer, node) == ["current"] * 3


def test_what_comes_late_is_refused_and_what_comes_early_waits(
    net: Net, world: World, lost: Callable[[], Lost]
) -> None:
    told = lost()
    reopen_streams(told.node, SYSTEM)
    first, anew = _held(told.node, told.node)
    reader = net.college()
    world.introduce(reader, told.node)
    assert world.receive(reader, anew.envelope).code == "sequence-gap"
    world.receive(reader, first.envelope)
    assert _states(reader, told.node) == ["current", "current"]
    net.run(told.node)
    assert world.receive(world.hub, told.late).code == "stream-reopened"


def test_what_was_said_before_and_after_is_no_contradiction(net: Net, world: World, lost: Callable[[], Lost]) -> None:
    told = lost()
    before = _held(world.hub, told.node)
    reopen_streams(told.node, SYSTEM)
    world.append(told.node, 20, subject="s")
    after = _held(told.node, told.node)
    member = Member(told.node.node_id, world.federation, told.node.signer.public_key)
    claims: dict[object, str] = {}
    for row in [*before, *after]:
        for place, identity in claims_of(row.envelope, lambda _: member).items():
            assert claims.setdefault(place, identity) == identity


def test_who_forked_a_stream_does_not_hide_that_by_a_break(net: Net, world: World, lost: Callable[[], Lost]) -> None:
    """The hub was given 2 and 3, a reader another 2; then the stream begins anew behind 1 for both."""
    told = lost()
    first, second, _ = _held(world.hub, told.node)
    reopen_streams(told.node, SYSTEM)
    anew = _held(told.node, told.node)[-1]
    reader = net.college()
    world.introduce(reader, told.node)
    other = world.forge(told.node, second.envelope, content={"n": 9})
    for envelope in (first.envelope, other, anew.envelope):
        assert world.receive(reader, envelope, PULL).code == ""
    net.run(told.node)
    for _ in range(2):
        net.run(reader)
    for node in (world.hub, reader):
        with node.database.read() as session:
            [proof] = session.exec(select(Equivocation)).all()
        assert {proof.first_envelope, proof.envelope} == {second.envelope, other}


def test_a_refusal_that_was_given_up_contradicts_nothing(net: Net, world: World, lost: Callable[[], Lost]) -> None:
    """A hub names another id than the origin's in its refusal; the true record comes after the break."""
    told = lost()
    first, second, _ = _held(world.hub, told.node)
    reopen_streams(told.node, SYSTEM)
    reader = net.college()
    world.introduce(reader, told.node)
    world.receive(reader, first.envelope, PULL)
    world.receive(reader, refuse(world, world.hub, told.node.node_id, "all", 2, "cd" * 32), PULL)
    world.receive(reader, _held(told.node, told.node)[-1].envelope, PULL)
    assert world.receive(reader, second.envelope, PULL).code == "stream-reopened"
    with reader.database.read() as session:
        assert session.exec(select(Equivocation)).all() == []


def test_only_an_administrator_opens_and_only_what_waits(net: Net, world: World, lost: Callable[[], Lost]) -> None:
    node = lost().node
    with pytest.raises(NotPermitted):
        reopen_streams(node, Actor("a", "a", OFFICER))
    net.run(node)
    with pytest.raises(Conflict, match="nothing-recovering"):
        reopen_streams(node, SYSTEM)
    assert [row.sequence for row in _held(node, node)] == [1, 2, 3]
