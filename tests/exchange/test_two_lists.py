"""A college in two federations whose officers sign lists: what one list says of it holds in that one alone."""

import json
from dataclasses import replace

import pytest

from federation.anchor import read_anchor
from federation.changes import add_key, add_member, key_entry, suspend
from federation.errors import TrustError
from federation.keys import new_private_pem, public_pem, read_signer, write_private_file
from federation.spoken import spoken
from node.context import Node
from node.exchange import enrolling, federating, rotation
from node.stream.models import MemberListState
from node.stream.service import find_federation, find_member, list_federations
from tests.exchange.federated import ACTOR, Union
from tests.sync.conftest import Net, net  # noqa: F401  a fixture
from tests.sync.parents import found_second

from .federated import union  # noqa: F401  a fixture


@pytest.fixture
def territory(union: Union) -> Union:  # noqa: F811
    """Give a second federation on the same net, with officers of its own."""
    second: Net = found_second(union.net)
    made = Union(second)
    made.found()
    with made.hub.database.write() as session:
        state = session.get_one(MemberListState, made.federation)
        state.urls = "http://territory"
        session.add(state)
    made.resign()
    return made


def _enrol_in_both(industry: Union, territory: Union) -> Node:
    college = industry.enrol()
    territory.ask(college)
    assert territory.approve(college) == "published"
    assert territory.refresh(college) == ""
    return college


def test_a_lying_list_and_a_suspension_hold_in_their_own_federation_alone(union: Union, territory: Union) -> None:  # noqa: F811
    college = _enrol_in_both(union, territory)
    neighbour = union.enrol()
    assert union.refresh(college) == ""
    liar = read_signer(new_private_pem())
    before = union.state(college)
    assert territory.change(add_key(college.node_id, public_pem(liar.public_key))) == "published"
    other = read_signer(new_private_pem())
    entry = territory.held().members[college.node_id]
    forged = replace(entry, id=neighbour.node_id, name="冒名", code="", keys=(key_entry(public_pem(other.public_key)),))
    assert territory.change(add_member(forged)) == "published"
    assert territory.refresh(college) == ""
    assert union.state(college).versions == before.versions
    owners = {}
    with college.database.read() as session:
        for one in (union, territory):
            federation = find_federation(session, college.within(one.federation))
            assert federation is not None
            for keyid in (liar.public_key.keyid, other.public_key.keyid, neighbour.signer.public_key.keyid):
                member = find_member(session, college, federation, keyid)
                owners[one.federation, keyid] = member.id if member else ""
    assert owners[union.federation, liar.public_key.keyid] == owners[union.federation, other.public_key.keyid] == ""
    assert owners[union.federation, neighbour.signer.public_key.keyid] == neighbour.node_id
    assert owners[territory.federation, neighbour.signer.public_key.keyid] == ""
    assert union.change(suspend(college.node_id)) == "published"
    assert (
        enrolling.standing(
            college.within(union.federation), ACTOR, union.net.world.handlers, connect=union.net.connect
        ).state
        == "suspended"
    )
    assert territory.net.world.ask(college, "ping", {}).body["membership"], "active in the other"


def test_a_key_turns_when_every_list_that_names_us_names_it(union: Union, territory: Union) -> None:  # noqa: F811
    college = _enrol_in_both(union, territory)
    write_private_file(college.folder / "node.key", b"unused")
    for one in (union, territory):
        sent = rotation.request_rotation(college.within(one.federation), ACTOR, connect=union.net.connect)
        assert (sent.federation, sent.state) == (one.federation, "pending")
    for one, turned in ((union, False), (territory, True)):
        assert one.approve(college) == "published"
        assert one.refresh(college) == ""
        assert rotation.adopt_if_listed(college, ACTOR) is turned
        assert [found.id for found in rotation.list_awaited(college, ACTOR)] == [territory.federation] * (not turned)
    new = replace(college, signer=read_signer((college.folder / "node.key").read_bytes()))
    for one in (union, territory):
        for node in (college, new):
            assert one.net.world.ask(node, "ping", {}).body["membership"], "no gap in either"


def test_a_parent_that_never_lists_the_next_key_is_named_and_left(union: Union, territory: Union) -> None:  # noqa: F811
    college = _enrol_in_both(union, territory)
    write_private_file(college.folder / "node.key", b"unused")
    here = college.within(union.federation)
    rotation.request_rotation(here, ACTOR, connect=union.net.connect)
    assert union.approve(college) == "published"
    assert union.refresh(college) == ""
    assert not rotation.adopt_if_listed(college, ACTOR)
    assert [found.id for found in rotation.list_awaited(college, ACTOR)] == [territory.federation]
    enrolling.leave_federation(college.within(territory.federation), ACTOR)
    assert rotation.list_awaited(college, ACTOR) == []
    assert rotation.adopt_if_listed(college, ACTOR)


def test_an_anchor_that_names_anothers_federation_neither_ends_it_nor_keeps_anybody_out(
    union: Union,  # noqa: F811
    territory: Union,
) -> None:
    """The territory's people write into their anchor that it was founded anew from the industry's federation."""
    college, newcomer = union.enrol(), replace(union.net.world.make(), clock=union.net.world.clock)
    true = federating.read_anchor_file(union.hub, ["http://hub"])
    theirs = json.loads(federating.read_anchor_file(territory.hub, ["http://territory"]))
    forged = json.dumps(theirs | {"formerly": union.federation}).encode()  # which no fingerprint covers
    words = spoken(read_anchor(forged).fingerprint)
    handlers, connect = union.net.world.handlers, union.net.connect
    with pytest.raises(TrustError, match="anchor-unconfirmed"):
        enrolling.request_to_join(college, ACTOR, forged, handlers, confirmed=words, connect=connect)
    with college.database.read() as session:
        assert [one.id for one in list_federations(session)] == [union.federation]
    for anchor in (forged, true):
        assert enrolling.request_to_join(newcomer, ACTOR, anchor, handlers, connect=connect).state == "pending"
