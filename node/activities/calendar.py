"""Notices as an iCalendar feed (RFC 5545), and the secret address under which a calendar program fetches it.

A cancelled event stays in the feed with STATUS:CANCELLED and a higher SEQUENCE: leaving it out would leave it standing
in calendars that have it. The address is a secret of one account, revocable, stored as a digest.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event
from sqlmodel import Session, select

from federation.errors import Text
from node.access.models import Account
from node.access.permissions import Actor, check_permission
from node.access.service import digest_of
from node.activities.draft import CANCELLED, KINDS
from node.activities.models import CalendarFeed
from node.activities.service import Shown
from node.audit import write_audit
from node.context import Node

FEED_PATH = "/calendar/"
CONTENT_TYPE = "text/calendar; charset=utf-8"


def write_calendar(notices: Iterable[Shown], name: str, language: str = "zh") -> bytes:
    """Return the feed; the same notice has the same UID in every revision and at every node."""
    calendar = Calendar()
    calendar.add("prodid", "-//gonghui-node//notices//ZH")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    calendar.add("refresh-interval", timedelta(hours=1), parameters={"VALUE": "DURATION"})
    for shown in notices:
        calendar.add_component(_event(shown, language))
    calendar.add_missing_timezones()
    return bytes(calendar.to_ical())


def _event(shown: Shown, language: str) -> Event:
    notice = shown.notice
    zone = ZoneInfo(notice.zone)
    cancelled = notice.state == CANCELLED
    title = Text("【已取消】", "[Cancelled] ").in_language(language) if cancelled else ""
    event = Event()
    event.add("uid", f"{notice.id}@{notice.origin}")
    event.add("sequence", notice.revision - 1)
    event.add("dtstamp", notice.issued_at)
    event.add("last-modified", notice.issued_at)
    event.add("summary", title + notice.title)
    event.add("dtstart", notice.starts_at.astimezone(zone))
    event.add("dtend", notice.ends_at.astimezone(zone))
    event.add("location", notice.place)
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    event.add("categories", [KINDS[notice.kind].in_language(language)])
    event.add("description", _description(shown, language))
    if notice.contact:
        event.add("contact", notice.contact)
    return event


def _description(shown: Shown, language: str) -> str:
    notice = shown.notice
    seats = str(notice.seats) if notice.seats else Text("不限", "not limited").in_language(language)
    lines = [
        (Text("主办", "Host"), shown.office),
        (Text("参加对象", "Who may come"), notice.who),
        (Text("名额", "Seats"), seats),
        (Text("联系", "Contact"), notice.contact),
        (Text("备注", "Note"), notice.note),
    ]
    colon = Text("：", ": ").in_language(language)
    told = [f"{label.in_language(language)}{colon}{value}" for label, value in lines if value]
    return "\n".join([*told, notice.details] if notice.details else told)


def issue_feed(node: Node, actor: Actor) -> str:
    """Return the path of a new calendar address of this account; the one before dies."""
    check_permission(actor, "notice.read")
    secret = secrets.token_urlsafe(32)
    with node.database.write() as session:
        session.merge(CalendarFeed(account_id=actor.account_id, digest=digest_of(secret), created_at=node.clock()))
        write_audit(session, account_id=actor.account_id, action="calendar.issue", at=node.clock())
    return f"{FEED_PATH}{secret}.ics"


def revoke_feed(node: Node, actor: Actor) -> bool:
    """Let this account's calendar address die; return whether there was one."""
    with node.database.write() as session:
        feed = session.get(CalendarFeed, actor.account_id)
        if feed is None:
            return False
        session.delete(feed)
        write_audit(session, account_id=actor.account_id, action="calendar.revoke", at=node.clock())
    return True


def has_feed(session: Session, actor: Actor) -> bool:
    """Tell whether this account has a calendar address."""
    return session.get(CalendarFeed, actor.account_id) is not None


def find_subscriber(session: Session, secret: str) -> Actor | None:
    """Return the account behind a calendar address; None where it was revoked or the account is closed."""
    feed = session.exec(select(CalendarFeed).where(CalendarFeed.digest == digest_of(secret))).first()
    account = session.get(Account, feed.account_id) if feed else None
    if account is None or not account.active:
        return None
    return Actor(account.id, account.name, account.role)
