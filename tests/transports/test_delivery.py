"""Dead letters are seen and tried again by a person; a newcomer and a returner go the usual way."""

from datetime import timedelta
from functools import partial

import httpx
import pytest
from sqlmodel import col, select

from federation.errors import Conflict, NotPermitted
from node.access.permissions import SYSTEM, Actor
from node.context import Node
from node.exchange.status import list_outbox, retry_outbox
from node.stream.models import OutboxItem, StoredRecord
from tests.exchange.conftest import World
from tests.sync.conftest import Net


def _held(node: Node, origin: Node) -> int:
    with node.database.read() as session:
        return len(session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all())


def _answer(response: httpx.Response, _request: httpx.Request) -> httpx.Response:
    return response


def test_a_refused_record_is_seen_explained_and_retried(net: Net, world: World) -> None:
    college = net.college()
    world.append(college, 1)
    with college.database.write() as session:
        item = session.exec(select(OutboxItem)).one()
        item.state, item.verdict, item.code = "refused", "refused", "signature-invalid"
        session.add(item)
    [letter] = list_outbox(college, SYSTEM)
    assert (letter["state"], letter["code"], letter["peer"]) == ("refused", "signature-invalid", world.hub.node_id)
    assert "signature" in letter["explanation"]
    assert net.run(college)[0].delivered == 0
    with pytest.raises(NotPermitted):
        retry_outbox(college, Actor("a", "ann", "officer"), [letter["item"]])
    assert retry_outbox(college, SYSTEM, [letter["item"]]) == 1
    assert net.run(college)[0].delivered == 1
    assert list_outbox(college, SYSTEM) == []
    with pytest.raises(Conflict, match="outbox-item-unknown"):
        retry_outbox(college, SYSTEM, [letter["item"]])


def test_what_waits_for_two_weeks_is_a_dead_letter_and_is_never_dropped(net: Net, world: World) -> None:
    college = net.college()
    net.faults["hub"] = lambda _: httpx.Response(500, content=b"")
    world.append(college, 1)
    for _ in range(13):
        net.run(college, by_hand=False)
        world.clock.forward(days=1)
    assert list_outbox(college, SYSTEM) == []
    world.clock.forward(days=200)
    [letter] = list_outbox(college, SYSTEM)
    assert (letter["state"], letter["code"], letter["way"]) == ("waiting", "peer-error-status", "direct")
    del net.faults["hub"]
    retry_outbox(college, SYSTEM, [letter["item"]])
    assert net.run(college, by_hand=False)[0].delivered == 1  # the wait of many failures is over, too


def test_a_peer_says_when_to_come_again(net: Net, world: World) -> None:
    college = net.college()
    for header, seconds in (("7200", 7200), ("999999999", 86_400), ("soon", 0), ("-5", 0)):
        busy = httpx.Response(503, headers={"retry-after": header}, content=b"")
        net.faults["hub"] = partial(_answer, busy)
        net.run(college)
        peer = net.peer(college, world.hub)
        assert peer.next_try_at is not None
        wait = peer.next_try_at - world.clock()
        assert wait >= timedelta(seconds=seconds)
        assert wait <= timedelta(seconds=max(seconds, 30 * 2**peer.failures))
    del net.faults["hub"]
    assert net.run(college)[0].state == "ok"


def test_any_verified_contact_ends_the_wait(net: Net, world: World) -> None:
    college = net.college()
    net.listen(college, "college")
    net.faults["college"] = lambda _: httpx.Response(500, content=b"")
    net.run(world.hub)
    del net.faults["college"]
    assert net.run(world.hub, by_hand=False)[0].state == "waiting"
    world.clock.forward(seconds=1)
    world.ask(college, "ping", {})
    assert net.run(world.hub, by_hand=False)[0].state == "ok"


def test_a_newcomer_and_one_who_was_away_for_half_a_year(net: Net, world: World) -> None:
    writer, away = net.college(), net.college()
    net.run(away)
    for n in range(130):
        world.append(writer, n)
    net.run(writer)
    world.append(away, 1000)
    world.clock.forward(days=183)
    newcomer = net.college()
    for reader in (away, newcomer):
        [result] = net.run(reader)
        assert result.state == "ok"
        assert _held(reader, writer) == 130
    assert _held(world.hub, away) == 1
    with away.database.read() as session:
        assert {item.state for item in session.exec(select(OutboxItem).order_by(col(OutboxItem.id)))} == {"delivered"}
