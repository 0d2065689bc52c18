"""A college without any network is witnessed and witnesses by sticks; what it took is not kept for it for ever."""

import io
from dataclasses import replace

import pytest
from sqlmodel import select

from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange import mailbox
from node.exchange.alarms import evidence_status
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.models import MailboxParcel
from node.stream.models import Cosigned, OutboxItem, OwnCheckpoint, WitnessedLog
from tests.exchange.conftest import World
from tests.sync.conftest import Net

from .conftest import carry


def _by_stick(node: Node) -> Node:
    exchange = node.settings.exchange.model_copy(update={"transport": "file"})
    return replace(node, settings=node.settings.model_copy(update={"exchange": exchange}))


def _witnesses(node: Node) -> set[str]:
    """Return who cosigned the one checkpoint that has most cosignatures."""
    with node.database.read() as session:
        own = session.exec(select(OwnCheckpoint.id)).all()
        signed = session.exec(select(Cosigned).where(Cosigned.origin == node.node_id)).all()
    return max(({row.witness for row in signed if row.checkpoint == one} for one in own), key=len)


def _trip(world: World, node: Node) -> None:
    world.clock.forward(hours=2)
    carry(world, node, world.hub)
    carry(world, world.hub, node)


def test_a_college_by_stick_is_witnessed_and_witnesses(net: Net, world: World) -> None:
    other, node = net.college(), _by_stick(net.college())
    for one in (other, node):
        net.run(one)
    _trip(world, node)
    world.append(node, 1)
    world.append(world.hub, 1)
    _trip(world, node)
    net.run(other)  # which the hub hands what the college asks of it
    world.clock.forward(hours=2)
    net.run(other)
    _trip(world, node)
    assert _witnesses(node) == {world.hub.node_id, other.node_id}
    with node.database.read() as session:
        held = session.get(WitnessedLog, (world.federation, world.hub.node_id))
    assert held is not None
    _trip(world, node)
    assert node.node_id in _witnesses(world.hub)
    old = b"".join(export_bundle(node, SYSTEM, world.hub.node_id).parts())
    _trip(world, node)
    assert import_bundle(world.hub, SYSTEM, io.BytesIO(old), world.handlers).codes == {}
    assert evidence_status(world.hub, SYSTEM)["logs"] == []


def test_what_was_taken_by_stick_leaves_the_mailbox(net: Net, world: World) -> None:
    sender, node = net.college(), _by_stick(net.college())
    for one in (sender, node, sender):
        net.run(one)
    carry(world, world.hub, node)
    world.append(sender, 1, stream=f"node:{node.node_id}")
    net.run(sender)
    carry(world, world.hub, node)
    with world.hub.database.read() as session:
        assert len(session.exec(select(MailboxParcel)).all()) == 1  # it may be lost on the way
    world.clock.forward(minutes=1)
    carry(world, node, world.hub)
    with world.hub.database.read() as session:
        left = session.exec(select(MailboxParcel)).all()
    assert {parcel.recipient for parcel in left} == {sender.node_id}  # the receipt
    net.run(sender)
    with sender.database.read() as session:
        items = session.exec(select(OutboxItem).where(OutboxItem.peer_id == node.node_id)).all()
    assert [item.state for item in items] == ["delivered"]


def test_one_full_share_stops_neither_the_visit_nor_the_import(
    net: Net, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, first, second = net.college(), net.college(), net.college()
    for one in (sender, first, second, sender):
        net.run(one)
    world.append(sender, 1, stream=f"node:{first.node_id}")
    world.append(sender, 2, stream=f"node:{second.node_id}")
    monkeypatch.setattr(mailbox, "MAX_KEPT", 1)
    monkeypatch.setattr(mailbox, "MAX_KEPT_BYTES", 1)
    assert [result.state for result in net.run(sender)] == ["ok"]
    with sender.database.read() as session:
        rows = session.exec(select(OutboxItem).where(OutboxItem.peer_id != world.hub.node_id)).all()
    assert {item.code for item in rows} == {"mailbox-full"}
    world.append(sender, 3)
    taken = carry(world, sender, world.hub)
    assert (taken.codes["mailbox-full"], taken.records["accepted"]) == (2, 1)
