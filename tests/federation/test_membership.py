"""The member list against rollback, freeze, mixtures, short signatures and expiry: refused, and the old list stays."""

import pytest

from federation.anchor import build_anchor, read_anchor
from federation.changes import add_member, suspend
from federation.membership import open_list, refresh
from tests.federation.conftest import Circle, entry_of, new_signer


def test_a_newcomer_reads_the_list_from_its_anchor_alone(circle: Circle) -> None:
    member = entry_of(new_signer(), "甲学院", code="12345", groups=("counties",), transport="relay")
    circle.change(add_member(member))
    anchor = read_anchor(build_anchor(circle.latest.roll, circle.root))
    found = refresh(anchor.root, {}, circle.served.get, federation=anchor.federation, now=circle.now)
    assert found.members[member.id] == member
    assert (anchor.hub, anchor.hub_keyid) == (found.roll.hub, circle.hub.public_key.keyid)
    assert anchor.urls == ("https://hub.example.edu",)
    assert found.files == circle.served  # verbatim: whoever read the list can serve it


def test_a_change_reaches_a_reader_and_a_suspension_counts(circle: Circle) -> None:
    member = entry_of(new_signer())
    circle.change(add_member(member))
    assert circle.read().status_of(member.id, circle.now) == "active"
    circle.change(suspend(member.id))
    assert circle.read().status_of(member.id, circle.now) == "suspended"


def test_a_held_list_can_be_opened_after_its_expiry(circle: Circle) -> None:
    circle.read()
    circle.pass_days(46)
    circle.refused("list-expired")
    opened = open_list(circle.root, circle.held, federation=circle.federation, now=circle.now)
    assert opened.expired(circle.now)
    circle.resign()
    assert not circle.read().expired(circle.now)


@pytest.mark.parametrize(("days", "roles"), [(0, set()), (23, {"timestamp", "snapshot"})])
def test_half_a_life_is_told(circle: Circle, days: int, roles: set[str]) -> None:
    found = circle.read()
    circle.pass_days(days)
    assert set(found.ageing(circle.now)) == roles
