"""Two parents at once: a college in the federations of its industry line and of its territory."""

import pytest

from federation.envelope import join_page
from federation.errors import Conflict, InputRefused
from federation.keys import new_identifier
from node.exchange import inbox, waiting
from node.exchange.membership import publish_members_if_hub
from node.stream.service import find_federation, get_named

from .parents import (
    Parents,
    code_of,
    held_of,
    post,
)


def test_where_there_are_several_somebody_must_say_which(parents: Parents) -> None:
    college, industry = parents.college, parents.industry.world.federation
    with college.database.read() as session:
        with pytest.raises(Conflict) as refused:
            find_federation(session, college)
        assert refused.value.code == "federation-ambiguous"
        assert industry in refused.value.text.en, "the choices are named"
        found = find_federation(session, college.within(industry))
        assert found is not None
        assert found.id == industry
        assert find_federation(session, college.within("f-another")) is None
        assert get_named(session, "市总工会").id == parents.territory.world.federation
        with pytest.raises(InputRefused):
            get_named(session, "省总工会")


def test_both_parents_get_their_records_in_one_round(parents: Parents) -> None:
    industry, territory, college = parents.industry, parents.territory, parents.college
    for net in (industry, territory):
        net.world.append(college, 1)
        net.world.append(net.world.hub, 7)
    results = industry.run(college)
    assert {(result.peer_id, result.state, result.delivered) for result in results} == {
        (net.world.hub.node_id, "ok", 1) for net in (industry, territory)
    }
    for net in (industry, territory):
        assert held_of(net.world.hub, college, net.world.federation) == [(1, "current")], "a sequence of its own"
        assert (2, "current") in held_of(college, net.world.hub, net.world.federation)
    assert held_of(industry.world.hub, college, territory.world.federation) == []


def test_a_request_is_opened_by_the_list_of_the_federation_it_names(parents: Parents) -> None:
    industry, territory, college = parents.industry, parents.territory, parents.college
    hub, other = industry.world.hub, territory.world.hub
    request = industry.world.request(hub, "ping", {}, audience=college.node_id)
    assert post(parents.app, "ping", join_page([request])).status_code == 200
    assert post(parents.app, "ping", join_page([request])).json()["code"] == "request-replayed"
    assert code_of(territory, "ping", request) == "key-unknown", "signed for one parent, replayed to the other"
    for named in (territory.world.federation, new_identifier("f")):  # one where it is not listed, one where we are not
        request = industry.world.request(hub, "ping", {}, audience=college.node_id, federation=named)
        answer = post(parents.app, "ping", join_page([request])).json()
        assert answer["code"] == "audience-mismatch", "and nobody can tell the two apart"
    industry.world.introduce(college, hub, "suspended")
    request = industry.world.request(hub, "ping", {}, audience=college.node_id)
    assert post(parents.app, "ping", join_page([request])).json()["code"] == "member-suspended"
    request = territory.world.request(other, "ping", {}, audience=college.node_id)
    assert post(parents.app, "ping", join_page([request])).status_code == 200


def test_suspended_in_one_and_active_in_the_other(parents: Parents) -> None:
    industry, territory, college = parents.industry, parents.territory, parents.college
    industry.world.introduce(industry.world.hub, college, "suspended")
    for net in (industry, territory):
        net.world.append(college, 1)
    states = {result.peer_id: result.code for result in industry.run(college)}
    assert states == {industry.world.hub.node_id: "member-suspended", territory.world.hub.node_id: ""}
    assert held_of(territory.world.hub, college, territory.world.federation) == [(1, "current")]


def test_a_record_of_one_federation_is_refused_in_the_other(parents: Parents) -> None:
    industry, territory, college = parents.industry, parents.territory, parents.college
    record = industry.world.append(college, 1)
    [result] = territory.world.push(college, record.envelope).body["results"]
    assert (result["verdict"], result["code"]) == ("refused", "audience-mismatch")
    assert held_of(territory.world.hub, college, industry.world.federation) == []


def test_one_parents_waiting_room_keeps_nothing_out_of_the_other(parents: Parents) -> None:
    """A hub shows us another federation's record; there it waits for a key that never comes."""
    industry, territory, college = parents.industry, parents.territory, parents.college
    neighbour = industry.college()
    first, second = (industry.world.append(neighbour, n) for n in (1, 2))
    publish_members_if_hub(industry.world.hub)
    industry.run(college.within(industry.world.federation))
    seen = {}
    for name, net in (("territory", territory), ("industry", industry)):
        with college.database.write() as session:
            here = college.within(net.world.federation)
            seen[name] = inbox.receive(session, here, second.envelope, net.world.handlers, via=inbox.PULL).code
    assert seen == {"territory": "key-unknown", "industry": "sequence-gap"}
    with college.database.read() as session:
        assert waiting.find_gaps(session, territory.world.federation) == []
        assert waiting.find_gaps(session, industry.world.federation) == [waiting.Gap(neighbour.node_id, "all", 1, 1)]
    with college.database.write() as session:
        here = college.within(industry.world.federation)
        inbox.receive(session, here, first.envelope, industry.world.handlers, via=inbox.PULL)
    assert held_of(college, neighbour, industry.world.federation) == [(1, "current"), (2, "current")]
