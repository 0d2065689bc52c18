"""A request is answered once: after a restart, with clocks off or stepping back, and after a restore."""

from dataclasses import replace
from datetime import datetime
from functools import partial

import httpx
import pytest
from sqlmodel import select

from federation.envelope import join_page
from node.db import Database
from node.exchange import nonces
from node.stream.models import UsedNonce

from .conftest import World


def _ping(world: World, **changes: object) -> bytes:
    return join_page([world.request(world.college, "ping", {}, **changes)])  # type: ignore[attr-defined]


@pytest.fixture
def joined(world: World) -> World:
    world.college = world.add_college()  # type: ignore[attr-defined]
    return world


def _code(response: httpx.Response) -> object:
    return response.json()["code"] if response.status_code != 200 else "answered"


def test_a_replay_after_a_restart_is_refused(joined: World) -> None:
    body = _ping(joined)
    assert _code(joined.post("ping", body)) == "answered"
    reopened = Database(joined.hub.database.engine.url.render_as_string(hide_password=False))
    joined.app.state.node = replace(joined.hub, database=reopened)
    assert _code(joined.post("ping", body)) == "request-replayed"
    assert _code(joined.post("ping", _ping(joined))) == "answered"
    reopened.close()


@pytest.mark.parametrize("minutes", [40, -40])
def test_a_clock_forty_minutes_off_is_refused_both_ways(joined: World, minutes: int) -> None:
    body = _ping(joined)
    joined.clock.forward(minutes=minutes)
    problem = joined.post("ping", body).json()
    assert (problem["code"], problem["skew_seconds"]) == ("clock-skew", -60 * minutes)
    joined.clock.forward(minutes=-minutes)  # the step back: it was not used up by having been refused
    assert _code(joined.post("ping", body)) == "answered"
    assert _code(joined.post("ping", body)) == "request-replayed"


@pytest.mark.parametrize("ahead_days", [0.5, 3])
def test_a_clock_that_jumps_ahead_and_back_opens_no_window(
    joined: World, monkeypatch: pytest.MonkeyPatch, ahead_days: float
) -> None:
    monkeypatch.setattr(nonces, "_FORGET_EVERY", 1)
    body = _ping(joined)
    assert _code(joined.post("ping", body)) == "answered"
    joined.clock.forward(days=ahead_days)
    assert _code(joined.post("ping", _ping(joined))) == "answered"
    joined.clock.forward(days=-ahead_days)
    assert _code(joined.post("ping", body)) == ("request-replayed" if ahead_days < 1 else "request-outdated")
    joined.clock.forward(days=ahead_days, minutes=1)
    assert _code(joined.post("ping", _ping(joined))) == "answered"


def test_nonces_are_forgotten_when_the_floor_stands_above_them(joined: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "_FORGET_EVERY", 1)
    for _ in range(3):
        assert _code(joined.post("ping", _ping(joined))) == "answered"
    joined.clock.forward(days=2)
    assert _code(joined.post("ping", _ping(joined))) == "answered"
    with joined.hub.database.read() as session:
        assert len(session.exec(select(UsedNonce)).all()) == 1


def test_after_a_restore_nothing_is_answered_that_was_issued_before_it(joined: World) -> None:
    before = _ping(joined)
    restored_at: datetime = joined.clock.at
    joined.clock.forward(minutes=1)
    window = joined.hub.settings.exchange.request_window_seconds
    for at in (joined.clock(), restored_at):  # it is never lowered
        joined.hub.database.note(partial(nonces.refuse_issued_before, at=at, window_seconds=window))
    assert _code(joined.post("ping", before)) == "request-outdated"
    assert _code(joined.post("ping", _ping(joined))) == "answered"
