"""The member list at nodes: founded, joined, changed, refreshed, refused; the old one stays and nothing is lost."""

import httpx
import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.changes import rename, suspend
from federation.drafts import place_hold, propose, read_outcome, sign_draft, write_draft
from federation.errors import Conflict, TrustError
from node.exchange import desk
from node.stream.memberlist import load_list_files
from node.stream.models import MemberListState, Peer, StoredRecord, WaitingDocument
from tests.exchange.conftest import stranger
from tests.exchange.federated import Union
from tests.sync.conftest import Net, net  # noqa: F401  fixture


@pytest.fixture
def union(net: Net) -> Union:  # noqa: F811
    made = Union(net)
    made.found()
    with made.hub.database.write() as session:  # the address which the anchor names
        state = session.get_one(MemberListState, made.federation)
        state.urls = "http://hub"
        session.add(state)
    made.resign()
    return made


def test_a_college_joins_from_the_anchor_alone_and_exchanges(union: Union) -> None:
    college = union.enrol()
    other = union.enrol()
    record = union.net.world.append(college, 1)
    for node in (college, other):
        assert [result.code for result in union.net.run(node)] == [""]
    with other.database.read() as session:
        assert session.get(StoredRecord, record.id) is not None
        assert {peer.id for peer in session.exec(select(Peer).where(Peer.federation == union.federation))} == {
            union.hub.node_id,
            college.node_id,
        }


def test_two_officers_are_needed_and_a_stranger_is_none(union: Union) -> None:
    college = union.enrol()
    draft = propose(union.held(), suspend(college.node_id), now=union.hub.clock())
    with pytest.raises(TrustError, match="officer-unknown"):
        desk.receive_draft(union.hub, write_draft(draft), {})
    with pytest.raises(TrustError, match="officer-unknown"):
        sign_draft(union.held(), draft, stranger(), seen=read_outcome(union.held(), draft))
    assert union.publish(draft, union.officers[0]) == "proposed"
    assert union.held().status_of(college.node_id, union.hub.clock()) == "active"
    assert union.publish(draft, union.officers[0]) == "proposed"  # the same again counts once
    assert union.publish(draft, union.officers[2]) == "published"
    refused = union.net.world.post("ping", b"[" + union.net.world.request(college, "ping", {}) + b"]")
    assert refused.json()["code"] == "member-suspended"


def test_a_draft_is_outdated_once_another_is_published(union: Union) -> None:
    college = union.enrol()
    first = propose(union.held(), rename(college.node_id, "甲大学"), now=union.hub.clock())
    union.publish(first, union.officers[0])
    union.change(rename(college.node_id, "乙大学"))
    assert union.drafts() == []
    with pytest.raises(Conflict, match="draft-outdated"):
        union.publish(first, union.officers[1])


def test_a_hold_by_one_officer_counts_until_it_lapses(union: Union) -> None:
    college = union.enrol()
    keyid = union.officers[0].public_key.keyid
    draft = place_hold(union.held(), college.node_id, keyid, now=union.hub.clock())
    assert union.publish(draft, union.officers[0]) == "published"
    clock = union.net.world.clock
    request = union.net.world.request(college, "ping", {})
    assert union.net.world.post("ping", b"[" + request + b"]").json()["code"] == "member-suspended"
    clock.forward(days=14, seconds=1)
    union.refresh(union.hub)
    assert union.net.world.ask(college, "ping", {}).body["membership"]["hold"] == 1


def test_what_a_liar_serves_is_refused_and_the_old_list_stays(union: Union) -> None:
    college = union.enrol()
    with college.database.read() as session:
        before = load_list_files(session, union.federation)
    union.change(rename(college.node_id, "新名"))

    def lie(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith(".targets.json"):
            body = httpx.ByteStream(b'{"signed":{},"signatures":[]}')
            return httpx.Response(200, headers={"content-type": "application/json"}, stream=body)
        return None

    union.net.faults["hub"] = lie
    assert union.refresh(college) == "list-shape"
    with college.database.read() as session:
        assert load_list_files(session, union.federation) == before
    assert union.state(college).error == "list-shape"
    union.net.faults.clear()
    assert union.refresh(college) == ""
    assert union.held(college).members[college.node_id].name == "新名"


def test_what_comes_after_expiry_waits_and_goes_through_after_the_refresh(union: Union) -> None:
    world, clock = union.net.world, union.net.world.clock
    college = union.enrol()
    clock.forward(days=46)
    record = world.append(college, 1)
    outcome = world.receive(union.hub, record.envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.WAITING, "list-expired")
    with union.hub.database.read() as session:
        assert session.get(StoredRecord, record.id) is None
        assert session.get(WaitingDocument, record.id) is not None
    assert union.refresh(union.hub) == ""  # the hub signs its own anew
    union.net.run(college)
    assert [state for _, state, _ in world.states(union.hub) if state == "current"]
    with union.hub.database.read() as session:
        assert session.get_one(StoredRecord, record.id).state == "current"
        assert session.get(WaitingDocument, record.id) is None
