"""The hub's reviews, and its matrix of who has reported what."""

from typing import Any

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.errors import Conflict, InputRefused, NotPermitted
from node.access.permissions import ADMIN, ANALYST, OFFICER, Actor
from node.audit.models import AuditEntry
from node.exchange import inbox
from node.exchange.hub import Cell, Column, report_matrix, review_release, take_review
from node.stream.models import StoredRecord
from node.stream.service import read_content
from tests.exchange.conftest import World
from tests.exchange.releases import count, publish, sign_release, take_releases

ANNA = Actor("a", "anna", ANALYST)


@pytest.fixture(autouse=True)
def handlers(world: World) -> None:
    take_releases(world)
    world.handlers["review"] = take_review


def deliver(world: World, *records: StoredRecord) -> None:
    for record in records:
        world.receive(world.hub, record.envelope)


def reviews(world: World) -> list[StoredRecord]:
    with world.hub.database.read() as session:
        return list(session.exec(select(StoredRecord).where(StoredRecord.kind == "review")).all())


def test_a_review_goes_to_the_origin_alone_and_a_changed_mind_is_its_next_revision(world: World) -> None:
    college, other = world.add_college(), world.add_college()
    release = publish(world, college, [count("MEM_CNT", 40)])
    deliver(world, release)
    first = review_release(world.hub, ANNA, release.id[:12], "returned", " 人数与去年相差过大 ")
    assert (first.record_id, first.note, first.revision) == (release.id, "人数与去年相差过大", 1)
    assert review_release(world.hub, ANNA, release.id, "returned", "人数与去年相差过大") == first
    second = review_release(world.hub, ANNA, release.id, "accepted")
    assert (second.revision, second.verdict) == (2, "accepted")
    stored = reviews(world)
    assert [row.stream for row in stored] == [f"node:{college.node_id}"] * 2
    assert read_content(stored[1]) == {"record": release.id, "verdict": "accepted", "note": ""}
    assert [world.receive(college, row.envelope).verdict for row in stored] == [Verdict.ACCEPTED] * 2
    assert world.receive(other, stored[0].envelope).code == "audience-mismatch"
    with world.hub.database.read() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "review.write")).all()
    assert [entry.subject for entry in entries] == [release.id] * 2
    assert all("人数" not in entry.detail for entry in entries)


def test_who_may_review_what(world: World) -> None:
    college = world.add_college()
    first = publish(world, college, [count("MEM_CNT", 40)])
    other = world.append(college, 1)
    small = sign_release(world, college, [count("MEM_CNT", 4, G="2")], period="2025U")
    deliver(world, first, other, small)
    for role in (OFFICER, ADMIN):
        with pytest.raises(NotPermitted):
            review_release(world.hub, Actor("b", "bob", role), first.id, "accepted")
    with pytest.raises(Conflict, match="not-hub"):
        review_release(college, ANNA, first.id, "accepted")
    cases: list[tuple[str, tuple[Any, ...], type[Exception]]] = [
        ("record-unknown", ("0" * 64, "accepted"), InputRefused),
        ("review-no-release", (other.id, "accepted"), InputRefused),
        ("review-verdict", (first.id, "praised"), InputRefused),
        ("review-note-missing", (first.id, "returned", "  "), InputRefused),
        ("review-note-long", (first.id, "returned", "改" * 501), InputRefused),
        ("review-not-current", (small.id, "accepted"), Conflict),
    ]
    for code, words, error in cases:
        with pytest.raises(error, match=code):
            review_release(world.hub, ANNA, *words)
    deliver(world, publish(world, college, [count("MEM_CNT", 41)]))
    with pytest.raises(Conflict, match="review-superseded"):
        review_release(world.hub, ANNA, first.id, "accepted")
    assert reviews(world) == []


def test_a_college_takes_no_review_of_what_is_not_its_release(world: World) -> None:
    college = world.add_college()
    release = publish(world, college, [count("MEM_CNT", 40)])
    sample = world.append(college, 1)
    deliver(world, release)
    review_release(world.hub, ANNA, release.id, "accepted")
    [genuine] = reviews(world)
    said = read_content(genuine)
    wrong_subject = world.forge(world.hub, genuine.envelope, subject=f"review:{sample.id}")
    wrong_record = world.forge(
        world.hub, genuine.envelope, subject=f"review:{sample.id}", content={**said, "record": sample.id}
    )
    for envelope in (wrong_subject, wrong_record):
        with college.database.write() as session:
            outcome = inbox.receive(session, college, envelope, world.handlers, via=inbox.PULL)
            session.rollback()
        assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, "review-mismatch")
    lost = world.forge(world.hub, genuine.envelope, subject="review:" + "0" * 64, content={**said, "record": "0" * 64})
    assert world.receive(college, lost).verdict is Verdict.ACCEPTED  # of a record that was lost with a disk
    forged = world.forge(college, genuine.envelope, origin=college.node_id, stream="hub", audience={
        "federation": world.federation, "readers": "hub"})  # fmt: skip
    assert world.receive(world.hub, forged).code in {"sequence-gap", "grant-missing"}


def test_the_matrix_says_who_has_reported_when_and_what_is_wrong(world: World) -> None:
    good, small, liar, quiet = (world.add_college() for _ in range(4))
    first = publish(world, good, [count("MEM_CNT", 40)])
    deliver(world, first)
    world.clock.forward(days=1)
    second = publish(world, good, [count("MEM_CNT", 41)], reason="更正")
    bad = sign_release(world, small, [count("MEM_CNT", 4, G="1")])
    publish(world, liar, [count("MEM_CNT", 50)])
    lie = publish(world, liar, [count("MEM_CNT", 50)], period="2025U")
    deliver(world, second, bad, lie)
    with liar.database.read() as session:
        truth = session.exec(select(StoredRecord).where(StoredRecord.sequence == 1)).one()
    deliver(world, truth, lie)
    forged = world.forge(liar, truth.envelope, content={**read_content(truth), "reason": "x"})
    world.receive(world.hub, forged)
    returned = review_release(world.hub, ANNA, second.id, "returned", "请核对")
    matrix = report_matrix(world.hub, ANNA)
    assert matrix.columns == (Column("2026U", "MEM.all"), Column("2025U", "MEM.all"))
    cells = {line.member_id: line.cells for line in matrix.lines}
    assert set(cells) == {college.node_id for college in (good, small, liar, quiet)}
    now = world.clock()
    assert cells[good.node_id] == (
        Cell("reported", 2, second.id, "", now, now, 2, returned),
        Cell(),
    )
    assert (cells[small.node_id][0].state, cells[small.node_id][0].code) == ("quarantined", "cell-too-small")
    assert cells[small.node_id][0].shown_revision == 0
    assert [cell.state for cell in cells[liar.node_id]] == ["contradicted", "reported"]
    assert cells[liar.node_id][0].shown_revision == 0
    assert cells[quiet.node_id] == (Cell(), Cell())
    told = matrix.as_json()
    assert len(told) == 8
    [entry] = [item for item in told if item["member"] == good.node_id and item["period"] == "2026U"]
    assert (entry["state"], entry["review"]["verdict"], entry["review"]["note"]) == ("reported", "returned", "请核对")


def test_a_refused_correction_leaves_the_revision_before_shown(world: World) -> None:
    college = world.add_college()
    first = publish(world, college, [count("MEM_CNT", 40)])
    bad = sign_release(world, college, [count("MEM_CNT", 4, G="1")])
    deliver(world, first, bad)
    [line] = report_matrix(world.hub, ANNA).lines
    cell = line.cells[0]
    assert (cell.state, cell.revision, cell.record_id, cell.shown_revision) == ("quarantined", 2, bad.id, 1)


def test_a_period_that_is_named_stands_there_though_nobody_has_reported(world: World) -> None:
    college = world.add_college()
    deliver(world, publish(world, college, [count("MEM_CNT", 40)]))
    matrix = report_matrix(world.hub, ANNA, ["2026-09"])
    assert {*matrix.columns} >= {Column("2026-09", "MEM.all")}
    assert {column.period for column in matrix.columns} == {"2026-09"}
    assert [set(line.cells) for line in matrix.lines] == [{Cell()}]
    assert {column.dataflow for column in report_matrix(world.hub, ANNA, ["2025U"]).columns} >= {"MEM.all", "CON.all"}
    with pytest.raises(InputRefused, match="period-unknown"):
        report_matrix(world.hub, ANNA, ["2026-13"])


def test_the_matrix_is_the_hubs_and_for_those_who_may(world: World) -> None:
    college = world.add_college()
    with pytest.raises(NotPermitted):
        report_matrix(world.hub, Actor("b", "bob", OFFICER))
    with pytest.raises(Conflict, match="not-hub"):
        report_matrix(college, ANNA)


def test_a_suspended_member_stands_there_only_with_what_it_has_reported(world: World) -> None:
    gone, silent = world.add_college(), world.add_college()
    deliver(world, publish(world, gone, [count("MEM_CNT", 40)]))
    for college in (gone, silent):
        world.introduce(world.hub, college, "suspended")
    assert [(line.member_id, line.active) for line in report_matrix(world.hub, ANNA).lines] == [(gone.node_id, False)]
