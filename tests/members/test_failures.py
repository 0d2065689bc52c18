"""An import killed, on a full disk, a locked database, in a read-only folder: nothing lost, nothing half done."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import func, select

from federation.errors import StorageError
from node.access.permissions import OFFICER, Actor
from node.clock import now
from node.context import NODE_ID, Node
from node.db import Database, Meta
from node.intake.models import DataChange, ImportFile
from node.members import roster
from node.members.models import Person, PersonFact, StaffSpell

ANN = Actor("a1", "Ann", OFFICER)
FILE = ("工号,姓名,性别\n" + "".join(f"{n:05d},某{n},女\n" for n in range(2000))).encode("gb18030")

CHILD = """
import sys, time
from pathlib import Path
from sqlalchemy import event
from federation.keys import new_private_pem, read_signer
from node import tables
from node.access.permissions import OFFICER, Actor
from node.config import Settings
from node.context import Node
from node.db import Database
from node.members import roster

database = Database(sys.argv[1])
node = Node(Path(sys.argv[2]), Settings(), database, "n-1", read_signer(new_private_pem()), b"k" * 32)
actor = Actor("a1", "Ann", OFFICER)
shown = roster.preview(node, actor, sys.argv[3])

def stop(connection, cursor, statement, parameters, context, executemany):
    if statement.startswith("INSERT INTO staff_spell"):
        print("half-way", flush=True)
        time.sleep(60)

event.listen(database.engine, "after_cursor_execute", stop)
roster.confirm(node, actor, shown)
"""


def stage(node: Node) -> str:
    return roster.stage(node, ANN, file_name="a.csv", data=FILE, as_of=date(2026, 1, 1), complete=True)


def count(node: Node, *models: Any) -> list[int]:
    with node.database.read() as session:
        return [session.exec(select(func.count()).select_from(model)).one() for model in models]


def test_an_import_killed_half_way_leaves_nothing_and_can_be_repeated(
    make_node: Callable[..., Node], database: Database
) -> None:
    node = make_node(database=database)
    import_id = stage(node)
    command = [sys.executable, "-c", CHILD, database.engine.url.render_as_string(hide_password=False)]
    with subprocess.Popen([*command, str(node.folder), import_id], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half-way\n"
        os.kill(child.pid, signal.SIGKILL)
    assert count(node, Person, PersonFact, StaffSpell, DataChange) == [0, 0, 0, 0]
    assert roster.get_import(node, ANN, import_id).state == "staged"
    assert roster.confirm(node, ANN, roster.preview(node, ANN, import_id)).number == 1
    assert count(node, Person, StaffSpell) == [2000, 2000]


def test_a_full_disk_during_import_leaves_nothing_half_done(make_node: Callable[..., Node]) -> None:
    node = make_node()
    shown = roster.preview(node, ANN, stage(node))
    pages = 0

    def limit(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        used = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {used + pages}")

    pages = 40
    event.listen(node.database.engine, "connect", limit)
    node.database.engine.dispose()
    with pytest.raises(StorageError) as caught:
        roster.confirm(node, ANN, shown)
    assert caught.value.code == "disk-full"
    assert count(node, Person, StaffSpell, DataChange) == [0, 0, 0]
    pages = 100_000
    node.database.engine.dispose()
    assert roster.confirm(node, ANN, shown).number == 1


def test_a_locked_database_refuses_and_the_import_can_be_repeated(
    make_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.db.BUSY_SECONDS", 0.1)
    node = make_node()
    shown = roster.preview(node, ANN, stage(node))
    other = Database(node.database.url)
    with other.write(), pytest.raises(StorageError) as caught:
        roster.confirm(node, ANN, shown)
    assert caught.value.code == "database-locked"
    other.close()
    assert roster.confirm(node, ANN, shown).number == 1


@pytest.fixture
def read_only_folder() -> Any:
    """Give a folder where this process may write nothing, also when the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Database(f"sqlite:///{folder}/gonghui.db")
        made.create_tables()
        with made.write() as session:
            session.add(Meta(name=NODE_ID, value="n-1"))
        made.close()
        folder.chmod(0o555)
        (folder / "gonghui.db").chmod(0o444)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield folder
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_read_only_folder_is_named(make_node: Callable[..., Node], request: pytest.FixtureRequest) -> None:
    node = make_node()
    folder = request.getfixturevalue("read_only_folder")
    with pytest.raises(StorageError) as caught:
        stage(replace(node, folder=folder))
    assert caught.value.code == "staging-not-writable"
    database = Database(f"sqlite:///{folder}/gonghui.db")
    with pytest.raises(StorageError) as refused, database.write() as session:
        session.add(
            ImportFile(
                id="i", source="", file_name="", sha256="", as_of=date(2026, 1, 1), complete=True, created_at=now()
            )
        )
        session.flush()
    assert refused.value.code in {"database-read-only", "database-unreachable"}
    database.close()
