"""Colleges that let nothing in send each other records by the hub's mailbox, which sees bytes alone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlmodel import col, select

from federation.envelope import join_page, split_page
from node.context import Node
from node.exchange import mailbox
from node.exchange.models import MailboxParcel
from node.exchange.parcels import pack
from node.exchange.relay import BELL, whose
from node.exchange.routes import DIRECT, RELAYED, STICK, route_to
from node.stream.models import Federation, OutboxItem, Peer, StoredRecord
from tests.exchange.conftest import World
from tests.sync.conftest import Net, served


def _item(node: Node, peer: Node) -> OutboxItem:
    with node.database.read() as session:
        return session.exec(
            select(OutboxItem).where(OutboxItem.peer_id == peer.node_id).order_by(col(OutboxItem.id).desc())
        ).first() or OutboxItem(record_id="", peer_id="", updated_at=node.clock())


def _held(node: Node, origin: Node) -> list[int]:
    with node.database.read() as session:
        return list(session.exec(select(StoredRecord.sequence).where(StoredRecord.origin == origin.node_id)).all())


def _kept(hub: Node) -> int:
    with hub.database.read() as session:
        return len(session.exec(select(MailboxParcel)).all())


@pytest.fixture
def pair(net: Net) -> tuple[Node, Node]:
    """Two colleges that know each other from the hub's list."""
    both = net.college(), net.college()
    for node in (*both, both[0]):
        net.run(node)
    return both


def test_a_record_goes_over_the_mailbox_and_its_receipt_comes_back(
    net: Net, world: World, pair: tuple[Node, Node]
) -> None:
    sender, reader = pair
    record = world.append(sender, 1, stream=f"node:{reader.node_id}")
    net.run(sender)
    assert (_kept(world.hub), _held(world.hub, sender)) == (1, [])
    net.run(sender)
    net.run(sender)
    assert _kept(world.hub) == 1  # it lies there: it is not put again
    net.run(reader)
    assert _held(reader, sender) == [1]
    assert _kept(world.hub) == 1  # the reader's parcel with the receipt
    net.run(sender)
    item = _item(sender, reader)
    assert (item.record_id, item.state, item.verdict) == (record.id, "delivered", "accepted")
    for node in (reader, sender, reader, sender):
        net.run(node)
    assert _kept(world.hub) == 0  # nobody answers an answer for ever


def test_what_was_lost_in_the_mailbox_goes_again(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    sender, reader = pair
    world.append(sender, 1, stream=f"node:{reader.node_id}")
    net.run(sender)
    with world.hub.database.write() as session:  # a hub that was restored from an older backup
        session.delete(session.exec(select(MailboxParcel)).one())
    net.run(sender)
    net.run(sender)
    assert _kept(world.hub) == 0
    world.clock.forward(hours=2)
    net.run(sender)
    net.run(sender)
    assert _kept(world.hub) == 1
    net.run(reader)
    net.run(sender)
    assert _item(sender, reader).state == "delivered"


def test_every_receipt_comes_back_however_many_and_however_lost(
    net: Net, world: World, pair: tuple[Node, Node]
) -> None:
    sender, reader = pair
    for n in range(30):  # more receipts than one parcel takes
        world.append(sender, n, stream=f"node:{reader.node_id}")
    net.run(sender)
    net.run(reader)
    with world.hub.database.write() as session:  # the receipts' parcel is lost with the hub's disk
        for parcel in session.exec(select(MailboxParcel)).all():
            session.delete(parcel)
    for _ in range(4):
        world.clock.forward(hours=2)
        net.run(sender)
        net.run(reader)
    net.run(sender)
    with sender.database.read() as session:
        items = session.exec(select(OutboxItem.state).where(OutboxItem.peer_id == reader.node_id)).all()
    assert items == ["delivered"] * 30


def test_what_expires_is_told_and_sent_again(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    sender, reader = pair
    world.append(sender, 1, stream=f"node:{reader.node_id}")
    net.run(sender)
    world.clock.forward(days=91)
    with world.hub.database.write() as session:
        assert mailbox.expire(session, world.clock()) == 1
        assert session.exec(select(MailboxParcel)).one().data == b""
    net.run(sender)
    assert _item(sender, reader).code == "mailbox-expired"
    net.run(sender)
    net.run(reader)
    net.run(sender)
    assert _item(sender, reader).state == "delivered"


def test_a_share_of_the_mailbox_ends(
    net: Net, world: World, pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, reader = pair
    monkeypatch.setattr(mailbox, "MAX_KEPT", 1)
    for n in (1, 2):
        world.append(sender, n, stream=f"node:{reader.node_id}")
        [result] = net.run(sender)
    assert (result.state, _item(sender, reader).code) == ("ok", "mailbox-full")  # that recipient's share alone
    net.run(reader)
    net.run(sender)
    assert _kept(world.hub) == 0  # it is left alone as long as it asked for
    world.clock.forward(seconds=mailbox.RETRY_AFTER_SECONDS)
    net.run(sender)
    net.run(reader)
    net.run(sender)
    assert _item(sender, reader).state == "delivered"


def test_only_the_named_sender_and_reader(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    sender, reader = pair
    world.append(sender, 1, stream=f"node:{reader.node_id}")
    with sender.database.write() as session:
        federation = session.get_one(Federation, world.federation)
        [packed] = pack(session, sender, federation, session.get_one(Peer, (world.federation, reader.node_id)))
    lines = split_page(packed.data)
    for who, to, enclosed in (
        (reader, reader, lines),  # another's parcel
        (sender, world.hub, lines),  # to another than it says
        (sender, reader, []),
        (sender, reader, lines[1:]),
        (sender, reader, lines[:-1]),  # the manifest names more than is there
    ):
        request = world.request(who, "relay", {"do": "put", "to": to.node_id})
        assert world.post("relay", join_page([request, *enclosed])).status_code in {400, 403}
    assert world.post("relay", join_page([world.request(sender, "relay", {"do": "read"})])).status_code == 403
    assert _kept(world.hub) == 0
    world.ask(sender, "relay", {"do": "put", "to": reader.node_id}, lines)
    assert world.ask(sender, "relay", {"do": "take"}).enclosed == ()
    told = world.ask(reader, "relay", {"do": "take"})
    assert join_page([item.raw for item in told.enclosed]) == packed.data
    world.ask(sender, "relay", {"do": "take", "acknowledged": [told.enclosed[0].id]})
    assert _kept(world.hub) == 1  # not the sender's to acknowledge
    world.ask(reader, "relay", {"do": "take", "acknowledged": [told.enclosed[0].id]})
    assert _kept(world.hub) == 0


def test_a_hundred_waiting_polls_hold_up_no_pull(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    colleges = [*pair, *(world.add_college() for _ in range(98))]
    with served(world.app) as url, ThreadPoolExecutor(100) as threads, httpx.Client(timeout=120) as client:

        def poll(college: Node) -> httpx.Response:
            request = world.request(college, "relay", {"do": "take", "wait_seconds": 55})
            return httpx.post(f"{url}/exchange/v1/relay", content=join_page([request]), timeout=120)

        polls = {college.node_id: threads.submit(poll, college) for college in colleges}
        deadline = time.monotonic() + 60
        while BELL.waiting() < 100 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert BELL.waiting() == 100
        assert threading.active_count() < 100 + 60  # the polls' own clients, and no thread each on the other side
        sender, reader = pair
        start = time.monotonic()
        request = world.request(sender, "pull", {"cursor": 0})
        assert client.post(f"{url}/exchange/v1/pull", content=join_page([request])).status_code == 200
        assert time.monotonic() - start < 10
        assert not any(future.done() for future in polls.values())
        # what is put reaches the one who waits for it, at once
        world.append(sender, 1, stream=f"node:{reader.node_id}")
        with sender.database.write() as session:
            federation = session.get_one(Federation, world.federation)
            [packed] = pack(session, sender, federation, session.get_one(Peer, (world.federation, reader.node_id)))
        request = world.request(sender, "relay", {"do": "put", "to": reader.node_id})
        client.post(f"{url}/exchange/v1/relay", content=join_page([request, *split_page(packed.data)]))
        assert packed.data[1:200] in polls[reader.node_id].result(30).content
        for college in colleges:  # a newer poll ends the older one
            BELL.ring(whose(world.federation, college.node_id))
            if college is not reader:
                request = world.request(college, "relay", {"do": "take", "wait_seconds": 0})
                client.post(f"{url}/exchange/v1/relay", content=join_page([request]))
        assert {future.result(30).status_code for future in polls.values()} == {200}


def test_which_way_leads_to_whom(net: Net, world: World) -> None:
    peer = Peer(federation=world.federation, id="n-x", name="", public_key="", keyid="")
    with world.hub.database.read() as session:
        federation = session.get_one(Federation, world.federation)
    ways = {}
    for own in ("direct", "relay", "file"):
        node = net.world.make(exchange={"transport": own})
        for theirs, url in (("direct", "https://x"), ("direct", ""), ("relay", "https://x"), ("file", "")):
            peer.transport, peer.url = theirs, url
            ways[own, theirs, bool(url)] = route_to(node, federation, peer)
    assert ways["direct", "direct", True] == DIRECT
    assert {way for (own, theirs, _), way in ways.items() if own == "file" or theirs == "file"} == {STICK}
    rest = {key for key, way in ways.items() if way == RELAYED}
    assert rest == {
        ("direct", "direct", False), ("direct", "relay", True),
        ("relay", "direct", True), ("relay", "direct", False), ("relay", "relay", True),
    }  # fmt: skip


def test_colleges_reach_each_other_directly_where_one_listens(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    sender, reader = pair
    net.listen(reader, "reader")
    net.address(sender, reader, "http://reader")
    world.append(sender, 1, stream=f"node:{reader.node_id}")
    results = {result.peer_id: result for result in net.run(sender)}
    assert results[reader.node_id].delivered == 1
    assert (_held(reader, sender), _kept(world.hub)) == ([1], 0)
