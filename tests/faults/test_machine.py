"""What a machine does to a node: disk full or read-only, database locked or gone, a commit that fails."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.faults.checks import check_healed
from tests.faults.conftest import LONG, long_form
from tests.faults.federation import Folder, Nodes, publish_notice
from tests.faults.process import Around
from tests.faults.steps import AFTER, BEFORE, FAIL, Stop

Copied = Callable[[Nodes], Nodes]
COMMITS = range(1, 9) if LONG else (3,)


def code_of(folder: Folder) -> str:
    [result] = json.loads(folder.sync().out)
    return str(result["code"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 8 MB, or say why there is none."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def move(folder: Folder, place: Path) -> None:
    """Let a node live on another disk."""
    shutil.copytree(folder.path, place / folder.name)
    folder.path = place / folder.name


def fill(place: Path) -> Path:
    """Fill a disk to the last byte."""
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


def test_a_full_disk_at_the_hub_is_told_and_heals_when_there_is_room(
    three: Nodes, copied: Copied, small_disk: Path
) -> None:
    nodes = copied(three)
    move(nodes.hub, small_disk)
    served = nodes.serve_hub()
    ann, ben = nodes["ann"], nodes["ben"]
    assert code_of(ann) == ""
    ann.work()
    with ann.opened() as node:
        for number in range(20):
            publish_notice(node, 200 + number, details=1900)
    filler = fill(small_disk)
    assert code_of(ann) in {"disk-full", "database-error"}
    assert served.process.is_alive()
    with ann.opened() as node, node.database.read() as session:
        delivered = session.execute(text("SELECT count(*) FROM outbox_item WHERE length(receipt) > 0")).scalar_one()
    with nodes.hub.opened() as node, node.database.read() as session:
        assert session.execute(text("SELECT count(*) FROM receipt")).scalar_one() >= delivered
    filler.unlink()
    assert code_of(ann) == ""
    ben.work()
    for folder in (ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)


@long_form
def test_a_full_and_then_read_only_disk_at_a_college(three: Nodes, copied: Copied, small_disk: Path) -> None:
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    move(ben, small_disk)
    nodes.serve_hub()
    ann.work()
    ben.work()
    with ann.opened() as node:
        for number in range(20):
            publish_notice(node, 200 + number, details=1900)
    assert code_of(ann) == ""
    filler = fill(small_disk)
    full = ben.sync()
    assert full.code == 8, (full.out, full.error)
    filler.unlink()
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(remount, check=False, capture_output=True).returncode == 0:
        ended = ben.sync()
        assert ended.code == 8, ended.error
        assert "Traceback" not in ended.error
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    for folder in (ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)


@long_form
def test_files_that_may_not_grow(three: Nodes, copied: Copied) -> None:
    """As a quota does: the same for a machine where nothing can be mounted."""
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    ann.work()
    ben.work()
    served = nodes.serve_hub(Around(file_bytes=65_536))
    assert code_of(ann) not in {"", "peer-unreachable"}
    assert served.process.is_alive()
    served.kill()
    nodes.serve_hub()
    for folder in (ann, ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)


@pytest.mark.parametrize("seconds", [2, 14] if LONG else [2])
def test_a_database_that_is_locked_is_waited_for_and_then_told(three: Nodes, copied: Copied, seconds: int) -> None:
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    nodes.serve_hub()
    ann.work()
    ben.work()
    locked = sqlite3.connect(nodes.hub.path / "gonghui.db", isolation_level=None, check_same_thread=False)
    locked.execute("BEGIN IMMEDIATE")
    release = threading.Timer(seconds, locked.rollback)
    release.start()
    begun = time.monotonic()
    code = code_of(ann)
    assert code == ("" if seconds < 10 else "database-locked")
    assert time.monotonic() - begun >= min(seconds, 10)
    release.join()
    locked.close()
    for folder in (ann, ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)


@long_form
def test_a_database_file_that_is_gone_and_comes_back(three: Nodes, copied: Copied) -> None:
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    nodes.serve_hub()
    ann.work()
    ben.work()
    away = ann.path / "away"
    away.mkdir()
    for file in ann.path.glob("gonghui.db*"):
        file.rename(away / file.name)
    gone = ann.sync()
    assert gone.code == 8, gone.error
    assert "Traceback" not in gone.error
    for file in ann.path.glob("gonghui.db*"):
        file.unlink()
    for file in away.iterdir():
        file.rename(ann.path / file.name)
    for folder in (ann, ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("call", COMMITS)
def test_a_commit_that_fails_at_the_hub_is_never_answered_as_done(
    three: Nodes, copied: Copied, tmp_path: Path, call: int, when: str
) -> None:
    """Before: it failed and was not stored. After: it was stored and is reported failed."""
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    ann.work()
    ben.work()
    told = tmp_path / "stopped"
    served = nodes.serve_hub(Around(stop=Stop("commit", call, when, FAIL), stopped=told))
    first = code_of(ann)
    assert told.exists()
    assert served.process.is_alive()
    assert first in {"database-error", "disk-full", "storage"}, first
    for folder in (ann, ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)


def test_a_database_server_that_is_gone_and_comes_back(on_server: Nodes, postgres_url: str) -> None:
    """Connections are cut and new ones refused; then the server is back, and so is the hub."""
    nodes = on_server
    served = nodes.serve_hub()
    ann, ben = nodes["ann"], nodes["ben"]
    assert code_of(ann) == ""
    ann.work()
    ben.work()
    with nodes.hub.opened() as hub:
        name = hub.database.engine.url.database
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(cut), {"name": name})
    assert code_of(ann) in {"database-unreachable", "database-error"}
    assert served.process.is_alive()
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
    server.dispose()
    for folder in (ann, ben, ann):
        assert code_of(folder) == ""
    check_healed(nodes)
