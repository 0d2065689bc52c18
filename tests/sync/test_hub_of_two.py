"""One node is the hub of two federations: t officers of the second handed it over to it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlmodel import select

from federation.keys import new_identifier
from node.context import Node
from node.exchange import mailbox
from node.exchange.models import MailboxParcel
from node.stream.models import Federation, OwnCheckpoint, StoredRecord
from tests.exchange.conftest import START, Seen, Turn
from tests.sync.conftest import Net
from tests.sync.parents import found, held_of


@pytest.fixture
def nets(make_node: Callable[..., Node]) -> tuple[Net, Net]:
    """Give two federations with the same hub."""
    world, second = found(make_node, "教育工会", Turn(), Seen()), new_identifier("f")
    with world.hub.database.write() as session:
        session.add(Federation(id=second, name="市总工会", hub_id=world.hub.node_id, joined_at=START))
    worlds = [replace(world, federation=one, hub=world.hub.within(one)) for one in (world.federation, second)]
    nets = Net(worlds[0]), Net(worlds[1])
    nets[1].apps = nets[0].apps
    return nets


def test_each_federation_gets_its_own_records_from_their_common_hub(nets: tuple[Net, Net]) -> None:
    colleges = [net.college() for net in nets]
    readers = [net.college() for net in nets]
    for net, college in zip(nets, colleges, strict=True):
        net.world.append(college, 1)
        assert [(result.state, result.delivered) for result in net.run(college)] == [("ok", 1)]
    for net, reader in zip(nets, readers, strict=True):
        assert [result.state for result in net.run(reader)] == ["ok"]
    hub = nets[0].world.hub
    for net, college, reader in zip(nets, colleges, readers, strict=True):
        assert held_of(hub, college, net.world.federation) == [(1, "current")]
        assert held_of(reader, college, net.world.federation) == [(1, "current")]
        with reader.database.read() as session:
            assert {*session.exec(select(StoredRecord.federation)).all()} == {net.world.federation}
            assert {*session.exec(select(StoredRecord.origin)).all()} <= {college.node_id, hub.node_id}


def test_its_rounds_call_the_members_of_each_and_sign_for_each(nets: tuple[Net, Net]) -> None:
    hub = nets[0].world.hub.within("")
    for number, net in enumerate(nets):
        college = net.college()
        net.listen(college, f"college{number}")
        net.world.append(college, 1)
    results = nets[0].run(hub)
    assert sorted(result.state for result in results) == ["ok", "ok"]
    with hub.database.read() as session:
        kept = session.exec(select(StoredRecord.federation).where(StoredRecord.origin != hub.node_id)).all()
        checkpoints = session.exec(select(OwnCheckpoint.federation)).all()
    both = sorted(net.world.federation for net in nets)
    assert sorted(kept) == both
    assert sorted({*checkpoints}) == both


def _impostor(net: Net, of: Node) -> Node:
    """Give somebody whom the officers of a federation list under the id of a member of the other one."""
    other = replace(net.world.add_college(known_to_hub=False), node_id=of.node_id)
    net.world.introduce(net.world.hub, other)
    return other


def test_the_mailbox_of_one_federation_is_out_of_reach_of_the_other(
    nets: tuple[Net, Net], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members of the second, listed under ids of the first, neither see, take, drop nor crowd out its parcels."""
    first, second = nets
    sender, reader = first.college(), first.college()
    as_sender, as_reader = _impostor(second, sender), _impostor(second, reader)
    monkeypatch.setattr(mailbox, "MAX_KEPT", 2)
    ids = ["00" * 32, "11" * 32, "22" * 32, "33" * 32]
    with first.world.hub.database.write() as session:
        for net, identity in zip((first, second, second, first), ids, strict=True):
            mailbox.put(session, net.world.hub, sender.node_id, reader.node_id, identity, b"x")
    told = second.world.ask(as_sender, "relay", {"do": "take"}).body["sent"]
    assert set(told) == {*ids[1:3]}
    for who in (as_sender, as_reader):
        second.world.ask(who, "relay", {"do": "take", "acknowledged": ids})
    with first.world.hub.database.write() as session:
        assert mailbox.expire(session, START + 2 * mailbox.KEEP_FOR) == 2
    second.world.ask(as_sender, "relay", {"do": "take"})
    with first.world.hub.database.read() as session:
        left = session.exec(select(MailboxParcel.id).where(MailboxParcel.federation == first.world.federation)).all()
    assert sorted(left) == [ids[0], ids[3]]
