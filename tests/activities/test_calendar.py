"""The feed as a calendar library's parser reads it, and its secret address."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
from icalendar import Calendar

from node.activities import service
from node.activities.calendar import find_subscriber, issue_feed, revoke_feed, write_calendar
from node.app import create_app
from node.context import Node
from tests.activities.conftest import actor
from tests.activities.test_notices import DRAFT, envelopes
from tests.exchange.conftest import World
from tests.transport import AppTransport


def moment(value: object) -> datetime:
    """Return a start or end, which is a time of day here and never a whole day."""
    assert isinstance(value, datetime)
    return value


def feed(node: Node, path: str) -> httpx.Response:
    with httpx.Client(transport=AppTransport(create_app(node)), base_url="http://node") as client:
        return client.get(path)


def test_the_feed_follows_a_notice_from_publication_to_cancellation(world: World) -> None:
    college = world.add_college()
    officer = actor(college, "officer")
    path = issue_feed(world.hub, actor(world.hub, "viewer"))
    notice = service.publish(college, officer, replace(DRAFT, details="自带球拍；\n有奖品, 欢迎"))
    service.update(college, officer, notice.id, replace(DRAFT, place="图书馆", ends="2026-12-12T18:00"))
    service.cancel(college, officer, notice.id, "天气原因")
    seen = []
    for envelope in envelopes(college):
        world.receive(world.hub, envelope)
        answer = feed(world.hub, path)
        assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
        calendar = Calendar.from_ical(answer.content)
        (event,) = calendar.events
        seen.append(
            (str(event["UID"]), event.sequence, str(event["STATUS"]), str(event["LOCATION"]), moment(event.end).hour)
        )
        assert event.start == datetime(2026, 12, 12, 14, tzinfo=ZoneInfo("Asia/Shanghai"))
        assert [str(zone["TZID"]) for zone in calendar.walk("VTIMEZONE")] == ["Asia/Shanghai"]
        assert calendar.errors == event.errors == []
    uid = f"{notice.id}@{college.node_id}"
    assert seen == [
        (uid, 0, "CONFIRMED", "体育馆", 17),
        (uid, 1, "CONFIRMED", "图书馆", 18),
        (uid, 2, "CANCELLED", "图书馆", 18),
    ]
    assert str(event["SUMMARY"]).startswith("【已取消】")
    assert "天气原因" in str(event["DESCRIPTION"])


def test_zones_with_summer_time_keep_their_hour(world: World) -> None:
    college = world.add_college()
    officer = actor(college, "officer")
    for month in ("01", "07"):
        day = f"2027-{month}-15"
        service.publish(
            college, officer, replace(DRAFT, zone="Europe/Berlin", starts=f"{day}T09:00", ends=f"{day}T10:00")
        )
    with college.database.read() as session:
        found = service.list_notices(session, college, officer)
    calendar = Calendar.from_ical(write_calendar(found, "活动"))
    starts = [moment(event.start) for event in calendar.events]
    assert [(start.hour, start.utcoffset()) for start in starts] == [(9, timedelta(hours=1)), (9, timedelta(hours=2))]


def test_long_chinese_text_is_folded_between_characters(world: World) -> None:
    college = world.add_college()
    officer = actor(college, "officer")
    service.publish(college, officer, replace(DRAFT, title="体" * 120, details="详" * 2000))
    with college.database.read() as session:
        data = write_calendar(service.list_notices(session, college, officer), "活动")
    assert max(len(line) for line in data.split(b"\r\n")) <= 75
    (event,) = Calendar.from_ical(data).events
    assert str(event["SUMMARY"]) == "体" * 120


def test_the_address_is_secret_revocable_and_dies_with_its_account(world: World) -> None:
    viewer = actor(world.hub, "viewer")
    first = issue_feed(world.hub, viewer)
    assert feed(world.hub, first).status_code == 200
    second = issue_feed(world.hub, viewer)
    assert feed(world.hub, first).status_code == 404
    secret = second.removeprefix("/calendar/").removesuffix(".ics")
    with world.hub.database.read() as session:
        assert find_subscriber(session, secret) == viewer
    assert revoke_feed(world.hub, viewer)
    assert not revoke_feed(world.hub, viewer)
    assert feed(world.hub, second).status_code == 404
    assert feed(world.hub, "/calendar/guess.ics").status_code == 404
