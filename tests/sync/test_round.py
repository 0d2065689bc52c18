"""Rounds of synchronisation: what is sent arrives once, whatever breaks off; a bad peer costs only itself."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete
from sqlmodel import col, select

from federation.envelope import read_envelope
from federation.errors import InputRefused, NotPermitted, StorageError
from federation.request import build_answer
from node.access.permissions import SYSTEM, Actor
from node.context import Node
from node.exchange.sync import exit_code_of, run_now
from node.stream.models import Lease, OutboxItem, Peer, PeerRead, Receipt, StoredRecord, WaitingDocument
from tests.exchange.conftest import World, stranger
from tests.hostile import answer, hostile, says, silent

from .conftest import Net, served


def _items(node: Node) -> list[OutboxItem]:
    with node.database.read() as session:
        return list(session.exec(select(OutboxItem).order_by(col(OutboxItem.id))).all())


def _sequences(node: Node, origin: Node) -> list[int]:
    with node.database.read() as session:
        statement = select(StoredRecord.sequence).where(StoredRecord.origin == origin.node_id)
        return list(session.exec(statement.order_by(col(StoredRecord.sequence))).all())


def test_a_round_pushes_keeps_receipts_and_pulls(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    for n in (1, 2):
        world.append(college, n)
    world.append(college, 3, stream="hub")
    [result] = net.run(college)
    assert (result.state, result.delivered, result.refused, result.code) == ("ok", 3, 0, "")
    items = _items(college)
    assert [(item.state, item.verdict, item.code) for item in items] == [("delivered", "accepted", "")] * 3
    receipt = json.loads(read_envelope(items[0].receipt).payload)
    assert (receipt["record"]["id"], receipt["issuer"]) == (items[0].record_id, world.hub.node_id)
    [again] = net.run(college)
    assert (again.state, again.delivered, again.received) == ("ok", 0, {})
    # the other college never met this one: it has its key from the hub's list, and sees only what is for all
    [result] = net.run(reader)
    assert result.received == {"accepted": 4}  # two lists and two records
    assert _sequences(reader, college) == [1, 2]
    peer = net.peer(college, world.hub)
    assert (peer.failures, peer.last_error, peer.last_success_at) == (0, "", world.clock())


def test_more_than_a_page_each_way(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    for n in range(120):
        world.append(college, n)
    assert net.run(college)[0].delivered == 120
    net.run(reader)
    assert _sequences(reader, college) == list(range(1, 121))


def test_large_records_travel_in_several_parcels(net: Net, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    college = net.college()
    monkeypatch.setattr("node.exchange.delivery.MAX_BYTES", 1000)
    for n in range(5):
        world.append(college, n)
    asked = []
    net.faults["hub"] = lambda request: asked.append(request.url.path)
    assert net.run(college)[0].delivered == 5
    assert asked.count("/exchange/v1/push") == 5


def test_what_the_hub_quarantines_says_so_at_its_origin(net: Net, world: World) -> None:
    college = net.college()
    world.append(college, 1, refuse=True)
    world.append(college, 2)
    assert net.run(college)[0].delivered == 2
    first, second = _items(college)
    assert (first.state, first.verdict, first.code) == ("delivered", "quarantined", "sample-refused")
    assert first.receipt
    assert (second.verdict, second.code) == ("accepted", "")


def test_a_byte_changed_at_the_origin_is_refused_and_seen_there(net: Net, world: World) -> None:
    college = net.college()
    world.append(college, 1)
    net.run(college)
    world.append(college, 2)
    world.append(college, 3)
    with college.database.write() as session:
        row = session.exec(select(StoredRecord).where(StoredRecord.sequence == 2)).one()
        payload = json.loads(row.envelope)["payload"]
        place = len('{"payload":"') + len(payload) // 2
        changed = bytearray(row.envelope)
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        row.envelope = bytes(changed)
        session.add(row)
    before = dict(world.seen.taken)
    [result] = net.run(college)
    assert (result.delivered, result.refused) == (0, 1)
    assert [(item.state, item.code) for item in _items(college)] == [
        ("delivered", ""),
        ("refused", "signature-invalid"),
        ("waiting", "sequence-gap"),
    ]
    assert not any(item.receipt for item in _items(college)[1:])
    assert world.seen.taken == before
    assert _sequences(world.hub, college) == [1]
    assert net.run(college)[0].refused == 0  # it is not sent again and again


def test_an_answer_lost_on_its_way_loses_and_doubles_nothing(net: Net, world: World) -> None:
    college = net.college()
    for n in range(3):
        world.append(college, n)
    lost: list[httpx.Response] = []

    def lose(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/push") and not lost:
            lost.append(world.post("push", request.read()))
            raise httpx.ReadError("gone")
        return None

    net.faults["hub"] = lose
    [result] = net.run(college)
    assert (result.state, result.code) == ("failed", "peer-unreachable")
    assert _sequences(world.hub, college) == [1, 2, 3]
    assert [item.state for item in _items(college)] == ["waiting"] * 3
    [result] = net.run(college)
    assert (result.state, result.delivered) == ("ok", 3)
    assert _sequences(world.hub, college) == [1, 2, 3]
    with world.hub.database.read() as session:
        assert {item.receipt for item in _items(college)} == set(session.exec(select(Receipt.envelope)).all())


def test_a_full_disk_while_pulling_keeps_neither_page_nor_cursor(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    for n in range(3):
        world.append(college, n)
    net.run(college)
    net.run(reader)
    before = net.peer(reader, world.hub).cursor
    for n in range(3, 6):
        world.append(college, n)
    net.run(college)
    taken = []

    def full(session: Any, record: Any, content: Any) -> None:
        taken.append(record.id)
        if len(taken) == 3:
            raise StorageError("disk-full", "磁盘已满。", "The disk is full.")

    with_fault = {**world.handlers, "sample": full}
    from node.exchange.sync import run_round

    [result] = run_round(reader, with_fault, by_hand=True, connect=net.connect)
    assert (result.state, result.code, result.exit_code) == ("failed", "disk-full", 8)
    assert exit_code_of([result]) == 8
    assert net.peer(reader, world.hub).cursor == before
    assert net.peer(reader, world.hub).failures == 0  # none of the peer's doing
    assert _sequences(reader, college) == [1, 2, 3]
    net.run(reader)
    assert _sequences(reader, college) == [1, 2, 3, 4, 5, 6]


def test_a_gap_is_asked_for(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    for n in range(3):
        world.append(college, n)
    net.run(college)
    net.run(reader)
    for n in range(3, 60):
        world.append(college, n)
    net.run(college)
    with world.hub.database.read() as session:
        last = session.exec(select(StoredRecord.position).order_by(col(StoredRecord.position).desc())).first()
    with reader.database.write() as session:  # a cursor that has overtaken what it stands for
        row = session.get_one(Peer, (world.federation, world.hub.node_id))
        row.cursor = (last or 0) - 1
        session.add(row)
    [result] = net.run(reader)
    assert result.state == "ok"
    assert _sequences(reader, college) == list(range(1, 61))
    with reader.database.read() as session:
        assert session.exec(select(WaitingDocument)).all() == []


def test_the_hub_pulls_a_college_that_listens(net: Net, world: World) -> None:
    college, quiet = net.college(), net.college()
    net.listen(college, "college")
    world.append(college, 1)
    world.append(quiet, 2)
    [result] = net.run(world.hub)
    assert (result.peer_id, result.state, result.received) == (college.node_id, "ok", {"accepted": 1})
    assert net.run(world.hub)[0].received == {}
    assert net.run(college)[0].delivered == 1  # its outbox still gets its receipt
    assert _sequences(world.hub, college) == [1]


def test_a_restored_hub_gets_back_what_it_had_receipted(net: Net, world: World) -> None:
    college = net.college()
    for n in range(4):
        world.append(college, n)
    net.run(college)
    with world.hub.database.write() as session:
        session.execute(delete(Receipt))
        late = (col(StoredRecord.origin) == college.node_id) & (col(StoredRecord.sequence) > 1)
        session.execute(delete(StoredRecord).where(late))
    world.append(college, 5)
    [result] = net.run(college)
    assert (result.state, result.delivered) == ("ok", 4)
    assert _sequences(world.hub, college) == [1, 2, 3, 4, 5]
    assert {item.state for item in _items(college)} == {"delivered"}


# -- back-off, leases, permissions ---------------------------------------------------------------------------------


def test_back_off_grows_is_kept_and_is_cleared_by_contact(net: Net, world: World) -> None:
    college = net.college()
    net.listen(college, "college")
    net.faults["college"] = lambda _: httpx.Response(500, content=b"")
    waits = []
    for failures in (1, 2, 3):
        [result] = net.run(world.hub, by_hand=False)
        assert (result.state, result.code, result.exit_code) == ("failed", "peer-error-status", 6)
        peer = net.peer(world.hub, college)
        assert (peer.failures, peer.last_error) == (failures, "peer-error-status")
        assert peer.next_try_at is not None
        waits.append((peer.next_try_at - world.clock()).total_seconds())
        [result] = net.run(world.hub, by_hand=False)
        assert (result.state, result.code) == ("waiting", "peer-error-status")
        world.clock.at = peer.next_try_at + timedelta(seconds=1)
    assert [30 * 2**n * 0.75 <= wait <= 30 * 2**n * 1.25 for n, wait in enumerate(waits)] == [True] * 3
    for _ in range(40):
        net.run(world.hub)
    peer = net.peer(world.hub, college)
    assert peer.next_try_at is not None
    assert (peer.next_try_at - world.clock()).total_seconds() <= world.hub.settings.sync.backoff_max_seconds
    # the college calls the hub: verified contact ends the wait
    del net.faults["college"]
    world.clock.forward(seconds=1)
    net.run(college)
    with world.hub.database.read() as session:
        assert session.get(PeerRead, (world.federation, college.node_id)) is not None
    assert net.run(world.hub, by_hand=False)[0].state == "ok"
    peer = net.peer(world.hub, college)
    assert (peer.failures, peer.next_try_at, peer.last_error) == (0, None, "")


def test_dead_and_slow_peers_cost_the_others_nothing(net: Net, world: World) -> None:
    good = [net.college() for _ in range(3)]
    bad = [net.college() for _ in range(4)]
    for number, college in enumerate(good):
        net.listen(college, f"good{number}")
        world.append(college, number)
    with hostile(silent) as dead:
        for college in bad:
            net.address(world.hub, college, dead)
        results = net.run(world.hub)
    states = {result.peer_id: (result.state, result.code) for result in results}
    assert {states[college.node_id] for college in good} == {("ok", "")}
    assert {states[college.node_id] for college in bad} == {("failed", "peer-timeout")}
    assert exit_code_of(results) == 0
    assert exit_code_of([result for result in results if result.code]) == 6


def test_a_peer_that_is_being_visited_is_left_alone(net: Net, world: World) -> None:
    college = net.college()
    with college.database.write() as session:
        peer = net.peer(college, world.hub)
        session.add(
            Lease(
                name=f"peer:{peer.federation}:{peer.id}",
                holder="elsewhere|1|2|x",
                expires_at=world.clock() + timedelta(seconds=60),
            )
        )
    assert net.run(college, by_hand=False)[0].state == "busy"
    world.clock.forward(seconds=61)
    assert net.run(college, by_hand=False)[0].state == "ok"


def test_a_round_by_hand_needs_the_permission_and_a_peer_we_call(net: Net, world: World) -> None:
    college = net.college()
    with pytest.raises(NotPermitted):
        run_now(college, Actor("a", "ann", "officer"), world.handlers, connect=net.connect)
    with pytest.raises(InputRefused, match="peer-unknown"):
        run_now(college, SYSTEM, world.handlers, only="n-x", connect=net.connect)
    with pytest.raises(InputRefused, match="peer-not-called"):
        run_now(world.hub, SYSTEM, world.handlers, only=college.node_id, connect=net.connect)
    assert run_now(college, SYSTEM, world.handlers, only=world.hub.node_id, connect=net.connect)[0].state == "ok"


# -- peers that are wrong or hostile -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(b"<html>", kind="text/html"), "peer-answer-not-json"),
        (answer(b"<html>", status="500 Oops", kind="text/html"), "peer-error-status"),
        (answer(b"", status="302 Found", extra="location: http://127.0.0.1:1/\r\n"), "peer-redirect"),
        (answer(b"x" * 3_000_000), "peer-answer-too-large"),
        (answer(b"x" * 1000)[:-500], "peer-unreachable"),
    ],
)
def test_a_hub_that_misbehaves_changes_nothing_here(net: Net, world: World, reply: bytes, code: str) -> None:
    college = net.college()
    world.append(college, 1)
    with hostile(says(reply)) as url:
        net.address(college, world.hub, url)
        [result] = net.run(college)
    assert (result.state, result.code, result.exit_code) == ("failed", code, 6)
    assert result.text is not None
    assert [item.state for item in _items(college)] == ["waiting"]
    net.address(college, world.hub, "http://hub")
    assert net.run(college)[0].delivered == 1


def test_a_changed_hub_key_is_refused(net: Net, world: World) -> None:
    college = net.college()
    world.append(college, 1)
    impostor = replace(world.hub, signer=stranger())
    world.app.state.node = impostor
    [result] = net.run(college)
    assert (result.state, result.code, result.exit_code) == ("failed", "peer-key-changed", 5)
    assert exit_code_of([result]) == 5
    assert _items(college)[0].receipt == b""
    world.app.state.node = world.hub
    assert net.run(college)[0].state == "ok"


def test_a_clock_forty_minutes_off_is_named(net: Net, world: World) -> None:
    college = net.college()
    late = replace(college, clock=lambda: world.clock() - timedelta(minutes=40))
    [result] = net.run(late)
    assert (result.code, result.exit_code) == ("clock-skew", 5)
    assert result.text is not None
    assert "40 minutes" in result.text.en
    near = replace(college, clock=lambda: world.clock() - timedelta(seconds=100))
    [result] = net.run(near)
    assert (result.state, result.skew_seconds) == ("ok", 100)
    assert net.peer(college, world.hub).skew_seconds == 100


def test_a_suspended_member_is_told(net: Net, world: World) -> None:
    college = net.college()
    world.introduce(world.hub, college, status="suspended")
    [result] = net.run(college)
    assert (result.code, result.exit_code) == ("member-suspended", 5)


def _signed(world: World, college: Node, request: httpx.Request, **values: Any) -> httpx.Response:
    """Answer as the true hub would sign it, with what a lying hub would say."""
    parts = request.read()[1:-1].split(b",\n")
    page = build_answer(
        world.hub.signer,
        origin=world.hub.node_id,
        audience=college.node_id,
        federation=world.federation,
        request_id=read_envelope(parts[0]).id,
        at=world.clock(),
        **values,
    )
    return httpx.Response(200, headers={"content-type": "application/json"}, stream=httpx.ByteStream(page))


def test_a_cursor_that_does_not_move_ends_the_visit(net: Net, world: World) -> None:
    college = net.college()
    asked = []

    def stuck(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/pull"):
            return None
        asked.append(1)
        return _signed(world, college, request, op="pull", cursor=0, more=True)

    with served_fault(net, stuck):
        [result] = net.run(college)
    assert (result.code, len(asked)) == ("cursor-stuck", 1)


def test_receipts_and_results_that_are_not_ours_do_not_count(net: Net, world: World) -> None:
    college, other = net.college(), net.college()
    record = world.append(college, 1)
    foreign = world.append(other, 2)
    net.run(other)
    from federation.envelope import RECEIPT_TYPE, sign

    with world.hub.database.read() as session:
        receipt = session.get_one(Receipt, foreign.id)
    payload = {**json.loads(read_envelope(receipt.envelope).payload)}
    payload["record"] = {**payload["record"], "id": record.id}
    forged = sign(json.dumps(payload, separators=(",", ":")).encode(), RECEIPT_TYPE, other.signer)
    result = {"id": record.id, "verdict": "accepted", "code": "", "have": 0}
    for body, enclosed, code in (
        ({"results": [result]}, [(read_envelope(forged).id, forged)], "key-not-signer"),
        ({"results": []}, [], "answer-mismatch"),
        ({}, [], "answer-mismatch"),
        ({"results": [{**result, "id": "0" * 64}]}, [], "answer-mismatch"),
        ({"results": [{**result, "have": True}]}, [], "answer-mismatch"),
        ({"results": [result]}, [], ""),  # an answer without a receipt proves nothing
        ({"results": [result]}, [(receipt.id, receipt.envelope)], ""),  # a true receipt on something else
    ):

        def lie(request: httpx.Request, body: Any = body, enclosed: Any = enclosed) -> httpx.Response | None:
            if not request.url.path.endswith("/push"):
                return None
            return _signed(world, college, request, op="push", body=body, enclosed=enclosed)

        with served_fault(net, lie):
            [told] = net.run(college)
        assert told.code == code
        assert (_items(college)[0].state, _items(college)[0].receipt) == ("waiting", b"")
    assert net.run(college)[0].delivered == 1


class served_fault:  # noqa: N801
    """Let `fault` answer for the hub within the block."""

    def __init__(self, net: Net, fault: Any) -> None:
        self.net, self.fault = net, fault

    def __enter__(self) -> None:
        self.net.faults["hub"] = self.fault

    def __exit__(self, *_: object) -> None:
        del self.net.faults["hub"]


def test_over_real_sockets(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    world.append(college, 1)
    with served(world.app) as url:
        for node in (college, reader):
            net.address(node, world.hub, url)
        assert net.run(college)[0].delivered == 1
        net.run(reader)
    assert _sequences(reader, college) == [1]
    [result] = net.run(college)
    assert result.code == "peer-unreachable"
