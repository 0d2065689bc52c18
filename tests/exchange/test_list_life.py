"""The list over time: expired, with what comes waiting; at a hub restored from a backup; with a locked key rotated."""

# ruff: noqa: F811  fixtures are imported

from datetime import timedelta

import httpx
import pytest
from sqlmodel import select

from federation.changes import rename, rotate_key
from federation.keys import public_pem
from federation.membership import MemberList
from node.context import Node
from node.exchange import waiting
from node.exchange.refreshing import RESIGN_AFTER, sign_anew
from node.stream import recovery
from node.stream.memberlist import list_version, store_list
from node.stream.models import MemberListState, OutboxItem, PeerKey, StoredRecord, WaitingDocument
from tests.exchange.federated import Union, union  # noqa: F401  fixtures
from tests.federation.conftest import new_signer
from tests.sync.conftest import Net, net  # noqa: F401  fixtures


def _version(node: Node, federation: str) -> int:
    with node.database.read() as session:
        return list_version(session, federation)


def _restore(union: Union, backup: MemberList) -> None:
    """Put an older list in the place of the hub's, as a restored backup would."""
    with union.hub.database.write() as session:
        state = session.get_one(MemberListState, union.federation)
        store_list(session, union.hub, backup, source="backup")
        state.seen = "{}"
        session.add(state)


def test_an_expired_list_lets_nothing_count_and_after_the_refresh_nothing_is_lost(
    union: Union,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING_OF_ONE", 3)
    world, net = union.net.world, union.net
    author, reader = union.enrol(), union.enrol()
    early = world.append(author, 0)
    net.run(author)
    world.clock.forward(days=46)
    records = [world.append(author, n) for n in (1, 2, 3)]
    assert net.run(author)[0].code == ""  # pushed: signatures hold, and the hub keeps them waiting
    records.append(world.append(author, 4))
    assert net.run(author)[0].code == "list-expired"  # three of one origin are enough
    peer = net.peer(author, world.hub)
    assert peer.next_try_at is not None
    assert peer.next_try_at - world.clock() >= timedelta(seconds=3600)
    assert [(result.code, result.received) for result in net.run(reader)] == [("", {})]  # the reader pulls nothing
    with world.hub.database.read() as session:
        held = {row.code: row.origin for row in session.exec(select(WaitingDocument))}
        assert held == dict.fromkeys(("list-expired", "sequence-gap"), author.node_id)
        assert not set(session.exec(select(StoredRecord.id)).all()) & {record.id for record in records}
    assert set(world.seen.taken) == {early.id}  # no handler has seen them: nothing is shown or counted
    with author.database.read() as session:
        states = {item.record_id: item.state for item in session.exec(select(OutboxItem))}
    assert {states[record.id] for record in records} == {"waiting"}
    assert union.refresh(union.hub) == ""
    for node in (author, reader):
        assert net.run(node)[0].code == ""
    with world.hub.database.read() as session:
        assert session.exec(select(WaitingDocument)).all() == []
    for node in (world.hub, reader):
        with node.database.read() as session:
            assert {session.get_one(StoredRecord, record.id).state for record in (early, *records)} == {"current"}
    with author.database.read() as session:
        assert {item.state for item in session.exec(select(OutboxItem))} == {"delivered"}


def test_a_restored_hub_gets_the_newer_list_from_a_college_that_it_cannot_call(union: Union) -> None:
    """It signs nothing older meanwhile; what it signs then is above all that members hold."""
    college = union.enrol()
    backup = union.held()
    for _ in range(3):
        union.net.world.clock.forward(days=1)
        union.refresh(union.hub)
    union.change(rename(college.node_id, "新名"))
    assert union.refresh(college) == ""
    newest = _version(college, union.federation)
    _restore(union, backup)
    with union.hub.database.write() as session:
        recovery.begin(session, union.hub, union.federation, recovery.COMMAND, anew=True)
    union.net.world.clock.forward(hours=21)
    union.refresh(union.hub)
    assert _version(union.hub, union.federation) == backup.versions["timestamp"] < newest
    assert union.net.run(college)[0].code == ""
    assert _version(union.hub, union.federation) > newest
    assert union.held().members[college.node_id].name == "新名"
    assert union.refresh(college) == ""
    assert _version(college, union.federation) == _version(union.hub, union.federation)


def test_a_hub_that_somebody_calls_outdated_signs_before_half_of_its_list_is_over(union: Union) -> None:
    """A member's lie of a version that does not exist costs no list: members' lists live 45 days, it waits 23."""
    college = union.enrol()
    before = _version(union.hub, union.federation)
    world = union.net.world
    assert world.ask(college, "ping", {"membership": {"timestamp": 2**52}}).body["membership"]
    world.clock.forward(days=2)
    sign_anew(union.hub, union.federation)
    assert _version(union.hub, union.federation) == before
    world.clock.forward(days=21)
    assert sign_anew(union.hub, union.federation) == ""
    assert _version(union.hub, union.federation) == before + 1
    assert timedelta(hours=12) < RESIGN_AFTER < timedelta(days=1)


def test_nobody_hands_a_list_to_a_hub_that_no_member_calls_outdated(union: Union) -> None:
    refused = union.net.world.post("membership", b"{}")
    assert (refused.status_code, refused.json()["code"]) == (409, "list-not-behind")
    college = union.enrol()
    union.net.world.ask(college, "ping", {"membership": {"targets": 2**52}})
    for lie in (b'{"1.root.json":"{}"}', b"[]", b"{}"):
        before = union.held().files
        answer: httpx.Response = union.net.world.post("membership", lie)
        assert answer.status_code in {400, 403, 422}, answer.text
        assert union.held().files == before


def test_a_source_that_asks_for_rest_is_not_asked_for_the_list(union: Union) -> None:
    world, net = union.net.world, union.net
    college = union.enrol()
    net.run(college)
    called: list[str] = []

    def busy(request: httpx.Request) -> httpx.Response:
        called.append(request.url.path)
        return httpx.Response(503, headers={"retry-after": "600"}, content=b"")

    net.faults["hub"] = busy
    net.run(college, by_hand=False)
    asked = len(called)
    world.clock.forward(minutes=9)
    net.run(college, by_hand=False)
    assert len(called) == asked > 0
    net.run(college)  # by hand
    assert len(called) > asked
    del net.faults["hub"]
    world.clock.forward(minutes=11)
    net.run(college, by_hand=False)
    assert union.state(college).error == ""


def test_two_readers_that_learn_of_it_days_apart_retire_a_key_at_one_time(union: Union) -> None:
    college, early, late = (union.enrol() for _ in range(3))
    before = college.signer.public_key.keyid
    union.change(rotate_key(college.node_id, public_pem(new_signer().public_key)))
    times = set()
    for reader in (early, late):
        assert union.refresh(reader) == ""
        with reader.database.read() as session:
            times.add(session.get_one(PeerKey, (union.federation, before)).retired_at)
        union.net.world.clock.forward(days=5)
    assert len(times) == 1
