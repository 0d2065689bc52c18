"""A college that no socket ever reaches: its request, its place in the list, and all records go by stick."""

import io
from dataclasses import replace

import pytest

from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange import desk, enrolling
from node.exchange.bundles import export_bundle, import_bundle
from node.stream.models import MemberListState
from tests.exchange.conftest import World
from tests.exchange.federated import Union
from tests.sync.conftest import Net

from .conftest import carry


@pytest.fixture
def union(net: Net) -> Union:
    made = Union(net)
    made.found()
    with made.hub.database.write() as session:  # the address which the anchor names
        state = session.get_one(MemberListState, made.federation)
        state.urls = "http://hub"
        session.add(state)
    made.resign()
    return made


def _no_network(node: Node, url: str) -> object:
    raise AssertionError(f"{node.node_id} called {url}")


def _join_by_stick(net: Net, union: Union) -> Node:
    college = replace(net.world.make(exchange={"transport": "file"}), clock=net.world.clock)
    anchor = union.anchor()
    sent = enrolling.request_to_join(college, SYSTEM, anchor, net.world.handlers, connect=_no_network)  # type: ignore[arg-type]
    assert sent.sent_to == ""
    desk.take_file(union.hub, SYSTEM, sent.file, net.world.handlers)
    union.approve(college)
    return college


def _standing(node: Node, net: Net) -> str:
    return enrolling.standing(node, SYSTEM, net.world.handlers, connect=_no_network).state  # type: ignore[arg-type]


def test_a_college_joins_and_exchanges_by_stick_alone(net: Net, world: World, union: Union) -> None:
    other = union.enrol()
    college = _join_by_stick(net, union)
    assert _standing(college, net) == "unknown"
    assert carry(world, union.hub, college).codes == {}
    assert _standing(college, net) == "active"
    world.append(college, 1)
    assert carry(world, college, union.hub).records == {"accepted": 1}
    world.append(other, 1)
    net.run(other)
    assert carry(world, union.hub, college).receipts == 1
    assert union.state(college).versions == union.state(union.hub).versions


def test_an_older_stick_turns_no_list_back(net: Net, world: World, union: Union) -> None:
    college = _join_by_stick(net, union)
    old = b"".join(export_bundle(union.hub, SYSTEM, college.node_id).parts())
    union.enrol()
    carry(world, union.hub, college)
    newest = union.state(college).versions
    import_bundle(college, SYSTEM, io.BytesIO(old), world.handlers)
    assert union.state(college).versions == newest
    assert union.state(college).error == ""
