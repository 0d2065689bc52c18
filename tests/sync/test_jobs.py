"""Jobs run when due, note how it went, and never log an error's words."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from federation.errors import StorageError
from node import jobs
from node.access.permissions import SYSTEM
from node.clock import now
from node.context import Node
from node.exchange.status import SYNC_JOB, sync_status
from node.stream.leases import find_lease, take_lease
from node.stream.models import Lease
from tests.exchange.conftest import World

from .conftest import Net


def _lease(node: Node, name: str) -> Lease:
    with node.database.read() as session:
        row = find_lease(session, name)
    assert row is not None
    return row


def test_the_sync_job_runs_when_due_and_says_when_next(net: Net, world: World) -> None:
    college = net.college()
    net.address(college, world.hub, "http://127.0.0.1:1")
    job, _ = jobs.default_jobs(college, world.handlers)
    assert jobs.run_if_due(college, job)
    assert not jobs.run_if_due(college, job)
    row = _lease(college, SYNC_JOB)
    assert (row.holder, row.error) == ("", "peer-unreachable")
    assert row.due_at is not None
    wait = (row.due_at - world.clock()).total_seconds()
    assert college.settings.sync.interval_seconds <= wait <= college.settings.sync.interval_seconds + 60
    told = sync_status(college, SYSTEM)
    assert (told["next_run_at"], told["last_run_error"]) == (row.due_at, "peer-unreachable")
    world.clock.at = row.due_at
    assert jobs.run_if_due(college, job)


def test_a_failing_job_is_logged_without_its_words(net: Net, world: World, caplog: pytest.LogCaptureFixture) -> None:
    college = net.college()

    def bug(_: Node) -> NoReturn:
        raise RuntimeError("Zhang San 110101199001011234")

    def full(_: Node) -> NoReturn:
        raise StorageError("disk-full", "磁盘已满。", "The disk is full.")

    with caplog.at_level(logging.DEBUG):
        assert jobs.run_if_due(college, jobs.Job("job:bug", bug, 60))
        assert jobs.run_if_due(college, jobs.Job("job:full", full, 60))
    assert "Zhang" not in caplog.text
    assert "RuntimeError at test_jobs.py:" in caplog.text
    assert (_lease(college, "job:bug").error, _lease(college, "job:full").error) == ("internal", "disk-full")
    assert not jobs.run_if_due(college, jobs.Job("job:bug", bug, 60))
    world.clock.forward(seconds=60)
    assert jobs.run_if_due(college, jobs.Job("job:bug", bug, 60))


def test_a_long_job_keeps_its_lease(net: Net) -> None:
    college = net.college()
    lease = take_lease(college.database, now, "job:long", seconds=1.2)
    assert lease is not None
    with jobs._kept(lease):
        time.sleep(1.7)
        assert take_lease(college.database, now, "job:long", seconds=1) is None
    time.sleep(1.3)
    assert take_lease(college.database, now, "job:long", seconds=1) is not None


def test_the_scheduler_starts_and_stops(net: Net, world: World) -> None:
    college = net.college()
    ran = threading.Event()

    def work(_: Node) -> str:
        ran.set()
        return ""

    with college.database.write() as session:  # nothing for the sync job to do in this test
        session.add(Lease(name=SYNC_JOB, due_at=world.clock() + timedelta(days=1)))
    scheduler = jobs.start_jobs(college, world.handlers, [jobs.Job("job:work", work, 1)])
    assert ran.wait(20)
    scheduler.shutdown()


def test_a_clock_that_jumps_is_not_counted_after(net: Net) -> None:
    """At boot a machine without a battery believes in 1970, until it hears the time."""
    ticks: list[datetime] = []
    at = datetime(1970, 1, 1, tzinfo=UTC)
    tick = jobs._Tick(seconds=1, timezone=UTC)
    while at <= now() and len(ticks) < 3:
        ticks.append(at)
        at = tick.get_next_fire_time(at, now())
    assert len(ticks) == 1
    assert tick.get_next_fire_time(at, at) - at == timedelta(seconds=1)
