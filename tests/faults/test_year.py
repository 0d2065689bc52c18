"""A school year by a turned clock: a stick every 30 days, a hub switched off for four weeks, a term that ends.

In one process, for a year has no time for real ones: the clock is the nodes' own, databases and bytes are real.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from federation.changes import rename
from node.access.permissions import SYSTEM
from node.context import Node
from node.db import Database
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.refreshing import refresh_list, take_from
from node.stream.memberlist import load_list_files
from node.stream.models import MemberListState, OutboxItem, StoredRecord, WaitingDocument
from tests.exchange.conftest import sample_schema  # noqa: F401
from tests.exchange.federated import Union
from tests.faults.conftest import LONG
from tests.sync.conftest import Net, net, world  # noqa: F401  fixtures

STEP_DAYS = 2 if LONG else 10
YEAR, STICK = 330, 30
HOLIDAY = range(125, 153)  # four weeks: the hub's machine is off
TERM = 180  # officers sign the next term


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A year is long enough on one kind of database."""
    opened = Database(f"sqlite:///{tmp_path}/hub.db")
    opened.create_tables()
    yield opened
    opened.close()


@pytest.fixture
def union(net: Net) -> Union:  # noqa: F811
    made = Union(net)
    made.found()
    with made.hub.database.write() as session:
        state = session.get_one(MemberListState, made.federation)
        state.urls = "http://hub"
        session.add(state)
    made.resign()
    return made


def carry(union: Union, giver: Node, taker: Node) -> None:
    """Bring a stick from one node to another, with the member list beside the bundle."""
    bundle = export_bundle(giver, SYSTEM, taker.node_id)
    with giver.database.read() as session:
        files = load_list_files(session, union.federation)
    handlers = union.net.world.handlers
    if taker is not union.hub:
        take_from(taker, union.federation, files.get, handlers, source="file")
    import_bundle(taker, SYSTEM, io.BytesIO(b"".join(bundle.parts())), handlers)


def test_a_school_year_with_a_stick_every_thirty_days(
    union: Union, record_property: Callable[[str, object], None]
) -> None:
    near, far = union.enrol(), union.enrol()
    clock, net_ = union.net.world.clock, union.net
    hub_app, written, stick_due = net_.apps["hub"], 0, 0
    for day in range(0, YEAR, STEP_DAYS):
        hub_is_on = day not in HOLIDAY
        if hub_is_on:
            net_.apps["hub"] = hub_app
            assert refresh_list(union.hub, net_.world.handlers, connect=net_.connect) == ""
        else:
            net_.apps.pop("hub", None)
        if day % 10 == 0:
            union.net.world.append(near, 1000 + day)
            union.net.world.append(far, 2000 + day)
            written += 1
        if day == TERM:
            union.change(rename(near.node_id, "新学期"))  # any change is signed for a whole term
        if day % 10 == 0:
            [result] = net_.run(near)
            assert (result.code == "") == hub_is_on
        if day >= stick_due and hub_is_on:  # the courier finds nobody in the holiday and comes again
            carry(union, far, union.hub)
            carry(union, union.hub, far)
            stick_due = day - day % STICK + STICK
        for node in (near, far):
            expires_at = union.state(node).expires_at
            assert expires_at is not None
            assert expires_at > clock(), (day, node is near)
        clock.forward(days=STEP_DAYS)
    net_.apps["hub"] = hub_app
    refresh_list(union.hub, net_.world.handlers, connect=net_.connect)
    for _ in range(2):
        carry(union, far, union.hub)
        net_.run(near)
        carry(union, union.hub, far)
    net_.run(near)
    assert union.held(far).members[near.node_id].name == "新学期"
    for node, other in ((near, far), (far, near), (union.hub, near), (union.hub, far)):
        with node.database.read() as session:
            rows = session.exec(select(StoredRecord).where(StoredRecord.origin == other.node_id)).all()
            assert session.exec(select(WaitingDocument)).all() == []
            states = {item.state for item in session.exec(select(OutboxItem)).all()}
        assert sorted(row.sequence for row in rows) == list(range(1, written + 1))
        assert {row.state for row in rows} == {"current"}
        assert states <= {"delivered"}
    record_property("figure", f"school year: {YEAR} days, {YEAR // STICK} sticks, {2 * written} records: none lost")
