"""Notices from one node to another: published, updated, cancelled for good, over; signed all the way."""

from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.errors import Conflict, InputRefused, NotPermitted
from node.activities import service
from node.activities.draft import Draft, find_problems, kind_of, write_content
from node.activities.models import Notice
from node.audit.models import AuditEntry
from node.context import Node
from node.stream.models import OutboxItem, StoredRecord
from node.stream.service import append_record
from tests.activities.conftest import actor
from tests.exchange.conftest import World

DRAFT = Draft(
    title="教职工羽毛球邀请赛",
    place="体育馆",
    starts="2026-12-12T14:00",
    ends="2026-12-12T17:00",
    kind="sports",
    who="省内高职院校工会会员",
    seats=60,
    contact="工会办公室",
)


def envelopes(node: Node) -> list[bytes]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).order_by(StoredRecord.position))  # type: ignore[arg-type]
        return [row.envelope for row in rows]


def known(node: Node) -> dict[str, tuple[str, str, int]]:
    """Return title -> (state, place, revision) as a viewer of `node` sees them."""
    with node.database.read() as session:
        found = service.list_notices(session, node, actor(node, "viewer"))
    return {shown.notice.title: (shown.state, shown.notice.place, shown.notice.revision) for shown in found}


def test_a_notice_reaches_the_others_and_stays_cancelled(world: World) -> None:
    college = world.add_college()
    officer = actor(college, "officer")
    notice = service.publish(college, officer, DRAFT)
    assert known(college) == {DRAFT.title: ("published", "体育馆", 1)}
    moved = replace(DRAFT, place="图书馆", note="场地维修")
    service.update(college, officer, notice.id, moved, revision=1)
    service.cancel(college, officer, notice.id, "天气原因")
    for number, expected in enumerate(
        [("published", "体育馆", 1), ("published", "图书馆", 2), ("cancelled", "图书馆", 3)]
    ):
        outcome = world.receive(world.hub, envelopes(college)[number])
        assert (outcome.verdict, known(world.hub)) == (Verdict.ACCEPTED, {DRAFT.title: expected})
    with pytest.raises(Conflict, match="notice-cancelled"):
        service.update(college, officer, notice.id, DRAFT)
    with pytest.raises(Conflict, match="notice-cancelled"):
        service.cancel(college, officer, notice.id)
    with college.database.read() as session:
        assert len(session.exec(select(OutboxItem)).all()) == 3
        actions = [entry.action for entry in session.exec(select(AuditEntry))]
    assert actions == ["record.sign", "notice.publish", "record.sign", "notice.update", "record.sign", "notice.cancel"]


def test_a_node_that_revives_a_cancelled_notice_is_not_believed(world: World) -> None:
    """The other end does not rely on the first one's good behaviour."""
    college = world.add_college()
    officer = actor(college, "officer")
    notice = service.publish(college, officer, DRAFT)
    cancelled = service.cancel(college, officer, notice.id)
    with college.database.write() as session:
        append_record(
            session,
            college,
            federation=world.federation,
            stream="all",
            kind="notice",
            subject=notice.id,
            revision=3,
            supersedes=cancelled.record_id,
            schema="notice.v1",
            content=write_content(DRAFT, "published"),
        )
    outcomes = [world.receive(world.hub, envelope) for envelope in envelopes(college)]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.QUARANTINED]
    assert outcomes[-1].code == "notice-cancelled"
    assert known(world.hub) == {DRAFT.title: ("cancelled", "体育馆", 2)}


@pytest.mark.parametrize(
    "content",
    [
        replace(DRAFT, ends="2026-12-12T13:00"),
        replace(DRAFT, starts="2026-02-30T14:00"),
        replace(DRAFT, zone="Mars/Olympus"),
        replace(DRAFT, title="a\x1bb"),
        replace(DRAFT, title="a\r\nATTENDEE:b"),
    ],
)
def test_what_a_schema_cannot_say_is_quarantined(world: World, content: Draft) -> None:
    college = world.add_college()
    with college.database.write() as session:
        append_record(
            session,
            college,
            federation=world.federation,
            stream="all",
            kind="notice",
            subject="e-x",
            revision=1,
            supersedes="",
            schema="notice.v1",
            content=write_content(content, "published"),
        )
    outcome = world.receive(world.hub, envelopes(college)[0])
    assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, "notice-incomplete")
    assert known(world.hub) == {}


def test_two_different_truths_show_neither(world: World) -> None:
    college = world.add_college()
    service.publish(college, actor(college, "officer"), DRAFT)
    first = envelopes(college)[0]
    world.receive(world.hub, first)
    with world.hub.database.read() as session:
        subject = session.exec(select(Notice)).one().id
    content = {**_content(), "place": "别处"}
    second = world.forge(college, first, subject=subject, content=content)
    world.receive(world.hub, second)
    assert known(world.hub) == {}


def _content() -> dict[str, Any]:
    return {"state": "published", **{name: getattr(DRAFT, name) for name in Draft.__dataclass_fields__}}


def test_time_brings_expiry(world: World) -> None:
    college = world.add_college()
    officer = actor(college, "officer")
    notice = service.publish(college, officer, DRAFT)
    world.receive(world.hub, envelopes(college)[0])
    world.clock.forward(days=90)
    assert known(world.hub)[DRAFT.title][0] == "expired"
    with world.hub.database.read() as session:
        assert service.list_notices(session, world.hub, actor(world.hub, "viewer"), past=False) == []
    with pytest.raises(Conflict, match="notice-expired"):
        service.update(college, officer, notice.id, DRAFT)


def test_only_the_right_people_and_only_ones_own(world: World) -> None:
    college = world.add_college()
    for role in ("viewer", "analyst", "admin"):
        with pytest.raises(NotPermitted):
            service.publish(college, actor(college, role), DRAFT)
    notice = service.publish(college, actor(college, "approver"), DRAFT)
    world.receive(world.hub, envelopes(college)[0])
    officer = actor(world.hub, "officer")
    with pytest.raises(NotPermitted, match="notice-not-ours"):
        service.cancel(world.hub, officer, notice.id)
    with pytest.raises(InputRefused, match="notice-unknown"):
        service.cancel(world.hub, officer, "e-none")
    with world.hub.database.read() as session:
        shown = service.get_notice(session, world.hub, officer, notice.id, college.node_id)
    assert (shown.own, shown.office) == (False, college.settings.node.name)


def test_two_officers_at_once_do_not_undo_each_other(world: World) -> None:
    college = world.add_college()
    officer = actor(college, "officer")
    notice = service.publish(college, officer, DRAFT)
    service.update(college, officer, notice.id, replace(DRAFT, seats=80), revision=1)
    with pytest.raises(Conflict, match="notice-changed"):
        service.update(college, officer, notice.id, replace(DRAFT, seats=10), revision=1)


def test_a_node_without_a_federation_says_so(world: World) -> None:
    alone = world.make("独立学院")
    with pytest.raises(Conflict, match="federation-missing"):
        service.publish(alone, actor(alone, "officer"), DRAFT)


def test_all_problems_are_told_at_once() -> None:
    bad = Draft(title=" ", place="", starts="12月12日", ends="", kind="聚会", seats=-1)
    assert set(find_problems(bad)) == {"title", "place", "starts", "kind", "seats"}
    assert set(find_problems(replace(DRAFT, title="长" * 121, zone=".."))) == {"title", "zone"}
    assert find_problems(DRAFT) == {}
    assert [kind_of(word) for word in ("文体", "Lecture", "contest", "聚会")] == [
        "sports",
        "lecture",
        "contest",
        "聚会",
    ]
    with pytest.raises(InputRefused) as caught:
        service.check_draft(bad)
    assert "标题" in caught.value.text.zh
    assert "地点" in caught.value.text.zh
