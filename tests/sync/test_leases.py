"""Two processes on one database never do one thing twice; a killed one holds nobody up."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlmodel import select

from node.db import Database
from node.stream.leases import find_lease, take_lease
from node.stream.models import Lease
from tests.exchange.conftest import Turn

WORKER = """
import os, sys, threading, time
from datetime import datetime, UTC
from pathlib import Path
from node import tables
from node.clock import now
from node.config import Settings
from node.context import Node
from node.db import Database
from node import jobs
from federation.keys import new_private_pem, read_signer

url, log, start = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
settings = Settings.model_validate({"sync": {"interval_seconds": 1, "jitter_seconds": 0, "lease_seconds": 5}})
node = Node(log.parent, settings, Database(url), "n-1", read_signer(new_private_pem()), b"x" * 32, now)

def work(_node):
    with log.open("a") as file:
        file.write(f"{os.getpid()} begin {time.time()}\\n")
    time.sleep(0.2)
    with log.open("a") as file:
        file.write(f"{os.getpid()} end {time.time()}\\n")
    return ""

jobs.TICK_SECONDS = 0.05
time.sleep(max(0, start - time.time()))
scheduler = jobs.start_jobs(node, {}, [jobs.Job("job:work", work, 1.0)])
time.sleep(4.6)
scheduler.shutdown()
"""
HOLDER = """
import sys, time
from node import tables
from node.clock import now
from node.db import Database
from node.stream.leases import take_lease
assert take_lease(Database(sys.argv[1]), now, "thing", seconds=3600)
print("held", flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time_until_release_or_expiry(database: Database) -> None:
    clock = Turn(datetime(2026, 10, 10, tzinfo=UTC))
    first = take_lease(database, clock, "thing", seconds=10)
    assert first is not None
    assert take_lease(database, clock, "thing", seconds=10) is None
    assert take_lease(database, clock, "other", seconds=10) is not None
    clock.forward(seconds=9)
    assert first.renew()
    clock.forward(seconds=9)
    assert take_lease(database, clock, "thing", seconds=10) is None
    clock.forward(seconds=2)
    second = take_lease(database, clock, "thing", seconds=10)
    assert second is not None
    assert not first.renew()
    first.release(error="late")  # no longer its to give back
    assert take_lease(database, clock, "thing", seconds=10) is None
    second.release()
    assert take_lease(database, clock, "thing", seconds=10) is not None


def test_a_thing_is_done_when_due(database: Database) -> None:
    clock = Turn(datetime(2026, 10, 10, tzinfo=UTC))
    lease = take_lease(database, clock, "thing", seconds=10, only_when_due=True)
    assert lease is not None
    lease.release(due_at=clock() + timedelta(seconds=60), error="peer-timeout")
    assert take_lease(database, clock, "thing", seconds=10, only_when_due=True) is None
    with database.read() as session:
        row = find_lease(session, "thing")
        assert row is not None
        assert (row.error, row.due_at, row.holder) == ("peer-timeout", clock() + timedelta(seconds=60), "")
    clock.forward(seconds=60)
    assert take_lease(database, clock, "thing", seconds=10, only_when_due=True) is not None


def test_two_processes_do_each_job_once(database: Database, tmp_path: object) -> None:
    log = os.path.join(str(tmp_path), "log")  # noqa: PTH118
    start = str(time.time() + 3)
    command = [sys.executable, "-c", WORKER, database.url, log, start]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    with open(log, encoding="utf-8") as file:  # noqa: PTH123
        lines = [line.split() for line in file]
    assert [line[1] for line in lines] == ["begin", "end"] * (len(lines) // 2)  # never two at once
    assert all(one[0] == two[0] for one, two in zip(lines[::2], lines[1::2], strict=True))
    begins = [float(line[2]) for line in lines[::2]]
    assert 3 <= len(begins) <= 6  # once a second, not twice
    assert all(later - earlier > 0.9 for earlier, later in pairwise(begins))


def test_a_killed_holder_holds_nobody_up(database: Database) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, database.url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    clock = Turn(datetime.now(UTC))
    assert take_lease(database, clock, "thing", seconds=10) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert take_lease(database, clock, "thing", seconds=10) is not None
    with database.read() as session:
        assert len(session.exec(select(Lease)).all()) == 1
