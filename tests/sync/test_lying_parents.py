"""Two parents of whom one lies, trickles or is dead; sticks, strangers, and a chain of three levels."""

import io
import json
import threading
from dataclasses import replace

import httpx
import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from securesystemslib.signer import Signer
from sqlmodel import select

from federation.envelope import join_page, read_envelope, split_page
from federation.errors import Conflict, TrustError
from federation.keys import public_pem
from federation.statements import build_checkpoint
from node import jobs
from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange import inbox
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.hub import get_own_federation
from node.exchange.posting import FULL, _note_full
from node.exchange.restarts import restart_where_broken
from node.exchange.status import SYNC_JOB, sync_status
from node.stream import recovery
from node.stream.log import log_generation
from node.stream.models import Federation, OutboxItem, Peer, PeerKey, StoredRecord
from node.stream.service import find_home
from tests.exchange.conftest import START, stranger

from .parents import (
    Parents,
    first_id,
    first_record,
    found_second,
    get,
    held_of,
    join,
    post,
    receipt_in,
    snapshot,
)


def test_each_parent_pulls_its_own_part_and_learns_nothing_of_the_other(parents: Parents) -> None:
    industry, territory, college = parents.industry, parents.territory, parents.college
    industry.world.append(college, 1)
    territory.world.append(college, 2)
    industry.run(college)
    for net in (industry, territory):
        net.address(net.world.hub, college, "http://college")
        net.run(net.world.hub)
        assert len(held_of(net.world.hub, college, net.world.federation)) == 1
    assert get(parents.app, "/.well-known/gonghui").json()["federation"] == "", "a stranger learns of neither"
    other = territory.world.federation
    request = territory.world.request(territory.world.hub, "pull", {"cursor": 0}, audience=college.node_id)
    page = post(parents.app, "pull", join_page([request]))
    documents = [json.loads(read_envelope(part).payload) for part in split_page(page.content)]
    assert {document["audience"]["federation"] for document in documents} == {other}
    asked = {"op": "log/proof", "audience": college.node_id}
    secret = first_id(college, industry.world.federation)
    request = territory.world.request(territory.world.hub, "log/proof", {"record": secret}, audience=college.node_id)
    assert post(parents.app, asked["op"], join_page([request])).json()["code"] == "record-unknown"


def test_a_lying_parent_that_lists_the_college_under_its_own_key_changes_nothing_in_the_other(
    parents: Parents,
) -> None:
    """The territory's hub says: this is the college's neighbour, with my key. In the industry line nothing moves."""
    industry, territory, college = parents.industry, parents.territory, parents.college
    neighbour = industry.college()
    industry.world.append(neighbour, 1, subject="e-1")
    industry.run(neighbour)
    industry.run(college.within(industry.world.federation))
    liar = replace(neighbour, signer=stranger(), federation="")
    with college.database.write() as session:
        session.add(
            Peer(
                federation=territory.world.federation,
                id=neighbour.node_id,
                name="冒名",
                public_key=public_pem(liar.signer.public_key),
                keyid=liar.signer.public_key.keyid,
            )
        )
    before = snapshot(college, industry.world.federation)
    forged = [
        territory.world.forge(
            liar,
            industry.world.append(neighbour, 9, subject="e-9").envelope,
            audience={"federation": territory.world.federation, "readers": "all"},
            sequence=1,
            previous="",
            subject="e-1",
        )
    ]
    with college.database.write() as session:
        outcome = inbox.receive(
            session, college.within(territory.world.federation), forged[0], industry.world.handlers, via=inbox.PULL
        )
    assert str(outcome.verdict) == "accepted", "in its own federation a parent may say what it likes"
    receipt = receipt_in(territory.world.federation, liar, first_record(college, industry.world.federation))
    with college.database.write() as session:
        inbox.receive(session, college.within(territory.world.federation), receipt, {}, via=inbox.PULL)
    request = industry.world.request(liar, "push", {"records": []}, audience=college.node_id)
    assert post(parents.app, "push", join_page([request])).json()["code"] == "audience-mismatch"
    assert snapshot(college, industry.world.federation) == before
    industry.run(neighbour)
    industry.run(college.within(industry.world.federation))
    held = held_of(college, neighbour, industry.world.federation)
    assert held == [(1, "current"), (2, "current")], "the true stream goes on"


def _claim(signer: Signer, node: Node, federation: str) -> bytes:
    """Return a checkpoint of a node's log, far beyond what it has."""
    return build_checkpoint(
        signer, origin=node.node_id, federation=federation, size=2**40, root=bytes(32), audit=(2**40, "00" * 32),
        list_version=1, at=node.clock(), generation=2**50,
    )  # fmt: skip


def _list_as_ours(node: Node, federation: str, signer: Signer, status: str = "active") -> None:
    key = signer.public_key
    row = PeerKey(federation=federation, keyid=key.keyid, peer_id=node.node_id, public_key=public_pem(key))
    row.status, row.revoked_at = status, START if status == "revoked" else None
    with node.database.write() as session:
        session.merge(row)


def test_a_parent_that_lists_us_under_its_own_key_neither_restores_us_nor_writes_into_our_past(
    parents: Parents,
) -> None:
    """It shows a checkpoint and a record that are ours by its own list; what we said once bounds what we publish."""
    territory, college = parents.territory.world, parents.college
    parents.industry.run(college)
    liar = replace(college, signer=stranger())
    _list_as_ours(college, territory.federation, liar.signer)
    base = parents.industry.world.append(college, 1)
    audience = {"federation": territory.federation, "readers": "all"}
    forged = territory.forge(liar, base.envelope, audience=audience)
    before = snapshot(college, territory.federation)
    with college.database.write() as session:
        here, federation = college.within(territory.federation), session.get_one(Federation, territory.federation)
        assert not restart_where_broken(session, here, federation, _claim(liar.signer, college, federation.id))
        outcome = inbox.receive(session, here, forged, territory.handlers, via=inbox.PULL)
        assert (str(outcome.verdict), outcome.code) == ("refused", "origin-mismatch")
        assert log_generation(session, federation.id) == 0
    assert snapshot(college, territory.federation) == before
    territory.append(college, 2)  # nothing waits for readers
    assert held_of(college, college, territory.federation) == [(1, "current")]


@pytest.mark.parametrize("machine", ["healthy", "restored"])
def test_a_thief_with_a_revoked_key_stops_nobody(parents: Parents, machine: str) -> None:
    """What our old key signed comes back to us after a restore; by itself it does not say that there was one."""
    world, thief, restored = parents.industry.world, parents.college, machine == "restored"
    parents.industry.run(thief.within(world.federation))
    college = replace(thief, signer=stranger())
    _list_as_ours(college, world.federation, thief.signer, "revoked")
    own = world.append(college, 1)
    late = world.forge(thief, own.envelope, sequence=2, previous=own.id)
    with college.database.write() as session:
        here, federation = college.within(world.federation), session.get_one(Federation, world.federation)
        if restored:
            recovery.begin(session, here, federation.id, recovery.COMMAND)
        assert restart_where_broken(session, here, federation, _claim(thief.signer, college, federation.id)) == restored
        outcome = inbox.receive(session, here, late, world.handlers, via=inbox.PULL)
        assert outcome.code == ("key-revoked" if restored else "origin-mismatch")
        assert recovery.is_recovering(session, federation.id) == restored


def test_a_stranger_learns_of_no_federation(parents: Parents) -> None:
    names = {"教育工会", "市总工会", parents.industry.world.federation, parents.territory.world.federation}
    answers = [
        get(parents.app, path)
        for path in (
            "/.well-known/gonghui",
            "/exchange/v1/membership/timestamp.json",
            "/exchange/v1/membership/timestamp.json?federation=f-another",
            "/exchange/v1/log/checkpoint",
            "/exchange/v1/join/n-another",
        )
    ]
    request = parents.industry.world.request(
        replace(parents.college, signer=stranger()), "ping", {}, audience=parents.college.node_id
    )
    bodies = {
        "membership": b"{}",
        "join": b"{}",
        "join/draft": b"{}",
        "ping?federation=f-another": join_page([request]),
    }
    answers += [post(parents.app, op, body) for op, body in bodies.items()]
    assert answers[0].status_code == 200
    for answer in answers:
        assert answer.status_code < 500
        assert not [name for name in names if name in answer.text], answer.text


def test_a_dead_parent_holds_up_nothing_in_the_other(parents: Parents) -> None:
    industry, territory, college = parents.industry, parents.territory, parents.college
    for net in (industry, territory):
        net.world.append(college, 1)
    met = threading.Event()

    def hang(request: httpx.Request) -> httpx.Response | None:  # the dead one answers when the other was met
        assert met.wait(60), "the living parent waited for the dead one"
        raise httpx.ConnectError("nobody", request=request)

    territory.faults["territory"] = hang
    results = industry.run(college, on_result=lambda result: met.set() if result.state == "ok" else None)
    assert {result.peer_id: result.state for result in results} == {
        industry.world.hub.node_id: "ok",
        territory.world.hub.node_id: "failed",
    }
    assert held_of(industry.world.hub, college, industry.world.federation) == [(1, "current")]


def test_a_parent_whose_mailbox_is_full_holds_up_nothing_in_the_other(parents: Parents) -> None:
    """Two colleges are in both federations: what waits in the one is not on its way less, nor later."""
    college, neighbour = parents.college, parents.industry.college()
    for net in (parents.industry, parents.territory):
        net.world.introduce(college, neighbour)
        net.world.append(college, 1, stream=f"node:{neighbour.node_id}")
    territory = parents.territory.world.federation
    with college.database.write() as session:
        _note_full(session, college, session.get_one(Peer, (territory, neighbour.node_id)))
        rows = session.exec(select(StoredRecord.federation, OutboxItem.code).join(OutboxItem)).all()
    assert dict(rows) == {territory: FULL, parents.industry.world.federation: ""}


def test_each_federation_has_its_own_rhythm(parents: Parents) -> None:
    """A parent that keeps its round busy for hours holds up no round of the other: they are jobs of their own."""
    industry, territory, college = parents.industry, parents.territory, parents.college
    scheduler = BackgroundScheduler()
    jobs.follow_federations(scheduler, college, industry.world.handlers)
    later = found_second(industry, "later")
    join(later, college, "http://later")
    for _ in range(2):
        jobs.follow_federations(scheduler, college, industry.world.handlers)
    names = {f"{job}:{net.world.federation}" for job in (SYNC_JOB, jobs.LIST_JOB) for net in (territory, later)}
    assert {job.id for job in scheduler.get_jobs()} == names
    for net in (industry, territory, later):
        net.address(college, net.world.hub, "http://127.0.0.1:9")  # where nobody answers
    first, _ = jobs.default_jobs(college, industry.world.handlers)
    assert jobs.run_if_due(college, first)
    assert [net.peer(college, net.world.hub).failures for net in (industry, territory, later)] == [1, 0, 0]
    assert scheduler.get_job(f"{SYNC_JOB}:{territory.world.federation}").func()
    assert [net.peer(college, net.world.hub).failures for net in (industry, territory, later)] == [1, 1, 0]
    told = sync_status(college.within(territory.world.federation), SYSTEM)
    assert told["last_run_at"] == college.clock()
    assert sync_status(college.within(later.world.federation), SYSTEM)["last_run_at"] is None


def test_a_provinces_hub_is_a_member_of_the_nations_federation(parents: Parents) -> None:
    industry, college = parents.industry, parents.college
    province = industry.world.hub
    nation = found_second(industry, "nation")
    join(nation, province, "http://nation")
    industry.world.append(college, 1)
    nation.world.append(province, 5, subject="total")
    assert {result.state for result in industry.run(college)} == {"ok"}
    results = {result.peer_id: (result.state, result.delivered) for result in industry.run(province)}
    assert results == {college.node_id: ("ok", 0), nation.world.hub.node_id: ("ok", 1)}
    assert held_of(nation.world.hub, province, nation.world.federation) == [(1, "current")]
    assert held_of(nation.world.hub, college, industry.world.federation) == []
    with province.database.read() as session:
        assert get_own_federation(session, province).id == industry.world.federation, "its board is its own"
        assert find_home(session, province).id == industry.world.federation  # type: ignore[union-attr]


def test_a_stick_is_read_by_the_list_of_the_federation_it_names(parents: Parents) -> None:
    """Both hubs' bundles come in one after the other, and a bundle of a third federation is refused."""
    industry, territory, college = parents.industry, parents.territory, parents.college
    for net in (industry, territory):
        net.world.append(net.world.hub, 3)
        data = b"".join(export_bundle(net.world.hub, SYSTEM, college.node_id).parts())
        import_bundle(college, SYSTEM, io.BytesIO(data), net.world.handlers)
        assert (2, "current") in held_of(college, net.world.hub, net.world.federation)
        back = b"".join(export_bundle(college, SYSTEM, net.world.hub.node_id).parts())
        manifest = json.loads(read_envelope(back.partition(b"\n")[0].strip(b"[,")).payload)
        assert manifest["audience"]["federation"] == net.world.federation, "whose peer it is tells for which"
    with pytest.raises(Conflict, match="federation-ambiguous"):
        export_bundle(college, SYSTEM, "*")
    third = found_second(industry, "third")
    third.world.introduce(third.world.hub, college)
    data = b"".join(export_bundle(third.world.hub, SYSTEM, college.node_id).parts())
    with pytest.raises(TrustError, match="audience-mismatch"):
        import_bundle(college, SYSTEM, io.BytesIO(data), third.world.handlers)
