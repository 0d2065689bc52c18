"""A college without any network: it joins, learns of changes and of a suspension by sticks alone."""

import io
import re
from dataclasses import replace

import pytest
from sqlmodel import select

from federation.changes import rename, suspend
from federation.parcel import read_bundle
from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange import desk
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.refreshing import frozen_roles
from node.stream.models import MemberListFile, MemberListState, StoredRecord
from tests.exchange.federated import Union
from tests.sync.conftest import Net

from .conftest import carry


@pytest.fixture
def union(net: Net) -> Union:
    made = Union(net)
    made.found()
    with made.hub.database.write() as session:
        state = session.get_one(MemberListState, made.federation)
        state.urls = "http://hub"
        session.add(state)
    return made


def join_by_stick(union: Union) -> Node:
    """Let a college join that reaches nobody: its request and the answer are carried."""
    college = replace(union.net.world.make(), clock=union.net.world.clock)
    hub_app = union.net.apps.pop("hub")
    sent = union.ask(college)
    assert sent.sent_to == ""
    union.net.apps["hub"] = hub_app
    desk.receive_request(union.hub, sent.file)
    union.approve(college)
    carry(union.net.world, union.hub, college)
    return college


def _held(node: Node, origin: Node) -> int:
    with node.database.read() as session:
        return len(session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all())


def _files(data: bytes) -> list[str]:
    return [path for parcel in read_bundle(io.BytesIO(data)) for path, _ in parcel.files]


def _export(union: Union, to: str) -> bytes:
    return b"".join(export_bundle(union.hub, SYSTEM, to).parts())


def test_joins_and_exchanges_without_ever_having_a_network(union: Union) -> None:
    college = join_by_stick(union)
    assert union.held(college).status_of(college.node_id, college.clock()) == "active"
    world = union.net.world
    world.append(college, 1)
    assert dict(carry(world, college, union.hub).records) == {"accepted": 1}
    assert carry(world, union.hub, college).receipts == 1


def test_the_list_travels_where_it_differs_and_a_suspension_arrives(union: Union) -> None:
    college, other = join_by_stick(union), union.enrol()
    world = union.net.world
    carry(world, union.hub, college)
    carry(world, college, union.hub)  # tells the versions that it holds
    assert _files(_export(union, college.node_id)) == []
    world.clock.forward(days=1)
    union.resign()
    fresh = union.state(union.hub)
    assert _files(_export(union, college.node_id)) == ["list.json"]
    union.change(suspend(other.node_id))
    old = _export(union, college.node_id)
    union.change(rename(college.node_id, "改名"))
    carry(world, union.hub, college)
    assert union.held(college).status_of(other.node_id, college.clock()) == "suspended"
    assert union.state(college).versions == union.state(union.hub).versions != fresh.versions
    # an older stick that comes late is no attack, and takes nothing back
    assert import_bundle(college, SYSTEM, io.BytesIO(old), world.handlers).codes == {}
    assert union.held(college).members[college.node_id].name == "改名"


def test_a_stick_for_all_brings_the_whole_list(union: Union) -> None:
    college = join_by_stick(union)
    union.change(rename(college.node_id, "改名"))
    data = _export(union, "*")
    assert _files(data) == ["list.json"]
    import_bundle(college, SYSTEM, io.BytesIO(data), union.net.world.handlers)
    assert union.held(college).members[college.node_id].name == "改名"


def test_a_forged_list_is_told_and_the_old_one_stays(union: Union) -> None:
    college = join_by_stick(union)
    union.change(rename(college.node_id, "改名"))
    with union.hub.database.write() as session:  # an attacker who can write the hub's database
        for row in session.exec(select(MemberListFile)).all():
            if row.path.endswith("targets.json"):
                row.content = re.sub(rb'("sig": ?")....', rb"\1abcd", row.content)
                session.add(row)
    before = union.state(college).versions
    union.net.world.append(union.hub, 5)
    taken = carry(union.net.world, union.hub, college)
    assert set(taken.codes) == {"list-mixed"}
    assert taken.records["accepted"] >= 1  # records beside it are believed by their own signatures
    assert union.state(college).versions == before
    assert frozen_roles(union.state(college)) == ("targets",)  # the manifest names a version that was not brought
