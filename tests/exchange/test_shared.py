"""Shared figures at hub and college: legal releases in, one revision shown, nothing false taken."""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.documents import dump_document
from federation.envelope import read_envelope
from federation.errors import InputRefused
from federation.observations import ReleaseReader
from node.access.permissions import SYSTEM
from node.exchange import inbox, shared
from node.exchange.models import SharedFigure
from node.exchange.shared import list_periods, take_release
from node.stream.models import StoredRecord
from tests.exchange.conftest import World
from tests.exchange.releases import content, count, publish, rate, shown, sign_release, take_releases


@pytest.fixture(autouse=True)
def handlers(world: World) -> None:
    take_releases(world)


GENDER = [count("MEM_CNT", 40), count("MEM_CNT", 25, G="1"), count("MEM_CNT", 15, G="2")]


def test_a_release_is_shown_at_home_and_at_the_hub(world: World) -> None:
    college = world.add_college()
    record = publish(world, college, [*GENDER, rate("MEM_DENSITY", 38, 45), count("MEM_JOIN_CNT", status="O")])
    assert world.receive(world.hub, record.envelope).verdict is Verdict.ACCEPTED
    for node in (college, world.hub):
        own = college.node_id
        assert shown(node) == {(own, ""): "40", (own, "G=1"): "25", (own, "G=2"): "15"}
        assert shown(node, "MEM_DENSITY") == {(own, ""): "38/45"}
        assert shown(node, "MEM_JOIN_CNT") == {(own, ""): "O"}
    with world.hub.database.read() as session:
        row = session.get_one(SharedFigure, (world.federation, college.node_id, "2026U", "MEM_CNT", "G=1"))
        assert (row.record_id, row.revision, row.dataflow) == (record.id, 1, "MEM.all")
        assert list_periods(session, world.federation, [college.node_id]) == ["2026U"]


def test_a_revision_takes_the_place_of_all_that_the_one_before_said(world: World) -> None:
    college, other = world.add_college(), world.add_college()
    records = [
        publish(world, college, GENDER),
        publish(world, college, [count("MEM_CNT", 41), count("MEM_CNT", G="1")], reason="漏报一人"),
        publish(world, college, [count("MEM_CNT", 12)], period="2025U"),
        publish(world, other, [count("MEM_CNT", 77)]),
    ]
    for record in records:
        assert world.receive(world.hub, record.envelope).verdict is Verdict.ACCEPTED
    with world.hub.database.read() as session:
        rows = session.exec(select(SharedFigure)).all()
    assert sorted((row.origin == other.node_id, row.period, row.dims, row.value) for row in rows) == [
        (False, "2025U", "", "12"),
        (False, "2026U", "", "41"),
        (False, "2026U", "G=1", ""),
        (True, "2026U", "", "77"),
    ]


def test_an_older_revision_that_comes_late_replaces_nothing(world: World) -> None:
    college = world.add_college()
    first, second = publish(world, college, GENDER), publish(world, college, [count("MEM_CNT", 41)])
    for record in (first, second):
        world.receive(world.hub, record.envelope)
    with world.hub.database.write() as session:
        take_release(session, session.get_one(StoredRecord, first.id), content(GENDER))
    assert shown(world.hub) == {(college.node_id, ""): "41"}


def test_what_its_origin_contradicts_is_shown_nowhere_until_it_is_corrected(world: World) -> None:
    college = world.add_college()
    first, second = publish(world, college, GENDER), publish(world, college, [count("MEM_CNT", 41)])
    for record in (first, second):
        world.receive(world.hub, record.envelope)
    lie = json.loads(dump_document(content([count("MEM_CNT", 99)])))
    forged = world.forge(college, second.envelope, content=lie)
    assert world.receive(world.hub, forged).code == "equivocation"
    assert shown(world.hub) == {}
    with world.hub.database.write() as session:  # the revision before does not come back to life
        take_release(session, session.get_one(StoredRecord, first.id), content(GENDER))
    assert shown(world.hub) == {}
    third = publish(world, college, [count("MEM_CNT", 42)])
    assert world.receive(world.hub, third.envelope).verdict is Verdict.ACCEPTED
    assert shown(world.hub) == {(college.node_id, ""): "42"}


def test_a_contradicted_revision_keeps_its_number(world: World) -> None:
    college = world.add_college()
    first, second = publish(world, college, GENDER), publish(world, college, [count("MEM_CNT", 41)])
    for record in (first, second):
        world.receive(world.hub, record.envelope)
    lies = [json.loads(dump_document(content([count("MEM_CNT", n)]))) for n in (98, 99)]
    forged = world.forge(college, second.envelope, content=lies[0], sequence=3, previous=second.id)
    assert world.receive(world.hub, forged).code == "equivocation"
    before = read_envelope(forged).id
    third = world.forge(college, second.envelope, content=lies[1], sequence=4, previous=before)
    assert world.receive(world.hub, third).code == "equivocation"
    assert shown(world.hub) == {}


REFUSED: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("indicator-unknown", [count("MEM_SECRET", 40)], {}),
    ("dataflow-mismatch", [count("MEM_ON_STAFF_CNT", 40)], {}),  # a helper never leaves
    ("dataflow-mismatch", [rate("CON_SIGN_RATE", 40, 80)], {}),
    ("dataflow-mismatch", [count("LAW_AID_CNT", 40)], {}),
    ("table-not-released", [count("MEM_CNT", 40, Y="1")], {}),
    ("table-not-released", [count("MEM_JOIN_CNT", 40, T="MID")], {}),
    ("table-not-released", [count("MEM_CNT", 40, T="MID", K="11")], {}),
    ("code-unknown", [count("MEM_CNT", 40, G="3")], {}),
    ("observation-duplicate", [count("MEM_CNT", 40), count("MEM_CNT", 41)], {}),
    ("observation-duplicate", [count("MEM_CNT", 40), count("MEM_CNT")], {}),
    ("period-not-released", [count("MEM_STAFF_CNT", 40)], {"period": "2026-09"}),
    ("release-subject", [count("MEM_CNT", 40)], {"subject": "MEM.all/2025U"}),
    ("release-audience", [count("MEM_CNT", 40)], {"stream": "hub"}),
    ("catalogue-unknown", [count("MEM_CNT", 40)], {"catalogue": {"id": "gonghui-catalogue", "version": "2.0.0"}}),
    ("catalogue-unknown", [count("MEM_CNT", 40)], {"catalogue": {"id": "another", "version": "1.0.0"}}),
    ("value-kind", [rate("MEM_CNT", 40, 50)], {}),
    ("value-kind", [count("MEM_DENSITY", 40)], {}),
    ("value-kind", [{**count("MEM_CNT"), "status": "A", "value": "40.5"}], {}),
    ("value-range", [rate("MEM_DENSITY", 51, 50)], {}),
    ("value-range", [rate("MEM_DENSITY", 51, 50, G="1")], {}),
    ("cell-too-small", [count("MEM_CNT", 4, G="2")], {}),
    ("cell-too-small", [count("MEM_CNT", 1, G="2", T="MID")], {}),
    ("cell-too-small", [count("MEM_NONSTD_CNT", 4)], {}),
    ("cell-too-small", [count("MEM_CNT", 7, G="2")], {"minimum_cell": {"S1": 8, "S2": 10}}),
    ("cell-too-small", [rate("MEM_DENSITY", 4, 50, G="2")], {}),
    ("cell-too-small", [rate("MEM_DENSITY", 48, 50, G="2")], {}),
    ("cell-too-small", [rate("CON_SIGN_RATE", 48, 50)], {"dataflow": "CON.all"}),
    ("cell-too-small", [count("LAW_AID_CNT", 9)], {"dataflow": "LAW.hub"}),
]


@pytest.mark.parametrize(("code", "observations", "changes"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_a_release_must_not_say_is_quarantined_and_changes_nothing(
    world: World, code: str, observations: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    college = world.add_college()
    good = publish(world, college, GENDER)
    world.receive(world.hub, good.envelope)
    before = shown(world.hub)
    beside = [] if "dataflow" in changes else [count("MEM_CNT", 30, G="9")]
    bad = sign_release(world, college, [*beside, *observations], **changes)
    outcome = world.receive(world.hub, bad.envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, code)
    assert shown(world.hub) == before
    with college.database.write() as session, pytest.raises(InputRefused, match=code):  # refused at home first
        said = json.loads(read_envelope(bad.envelope).payload)["content"]
        take_release(session, session.get_one(StoredRecord, bad.id), said)


def test_what_may_be_small_is_taken(world: World) -> None:
    """Zero, totals that are public by decision, density's complement in the total, and what counts no persons."""
    college = world.add_college()
    observations = [
        count("MEM_CNT", 3),
        count("MEM_STAFF_CNT", 4),
        rate("MEM_DENSITY", 3, 4),
        count("MEM_CNT", 0, G="9"),
        rate("MEM_DENSITY", 6, 6, G="1"),
        rate("MEM_DENSITY", 0, 6, G="2"),
        count("MEM_NONSTD_CNT", 0),
    ]
    record = publish(world, college, observations)
    assert world.receive(world.hub, record.envelope).verdict is Verdict.ACCEPTED
    quality = publish(world, college, [rate("DQ_COMPLETE_RATE", 3, 4)], dataflow="DQ.all", period="2026-09")
    assert world.receive(world.hub, quality.envelope).verdict is Verdict.ACCEPTED
    for_hub = publish(world, college, [count("LAW_AID_CNT", 10)], dataflow="LAW.hub")
    assert world.receive(world.hub, for_hub.envelope).verdict is Verdict.ACCEPTED


def test_a_member_of_a_newer_minor_catalogue_is_understood(world: World) -> None:
    college = world.add_college()
    newer = {"id": "gonghui-catalogue", "version": "1.7.2"}
    record = publish(world, college, GENDER, catalogue=newer)
    assert world.receive(world.hub, record.envelope).verdict is Verdict.ACCEPTED


def test_what_was_refused_is_taken_after_an_update(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    college = world.add_college()
    reader = shared.release_reader()
    indicators = {code: item for code, item in reader.catalogue.indicators.items() if code != "MEM_JOIN_CNT"}
    older = ReleaseReader(replace(reader.catalogue, indicators=indicators))
    record = publish(world, college, [*GENDER, count("MEM_JOIN_CNT", 5)])
    monkeypatch.setattr(shared, "release_reader", lambda: older)
    assert world.receive(world.hub, record.envelope).code == "indicator-unknown"
    monkeypatch.setattr(shared, "release_reader", lambda: reader)
    assert inbox.retry(world.hub, SYSTEM, record.id, world.handlers).verdict is Verdict.ACCEPTED
    assert shown(world.hub)[college.node_id, ""] == "40"
