"""A stored record with one byte changed at its origin lands refused, and the hub's total does not move.

With the processes of a real demo: two colleges, the hub, everything over HTTP; only the byte is changed behind the
college's back, in its database.
"""

import sqlite3
import sys
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from node.demo.crew import Crew
from node.demo.report import build_report
from node.demo.rosters import Roster, find_rosters
from node.demo.show import Show
from node.demo.stage import Stage
from tests.forked import Forked

DAY = date(2024, 9, 30)
PERIOD = "2024U"


def _write_roster(file: Path, persons: int) -> Path:
    rows = [f"{number:04d},{'男' if number % 2 else '女'},在职" for number in range(persons)]
    file.write_text("\n".join(["工号,性别,状态", *rows]), encoding="utf-8")
    return file


def _change_one_byte(database: Path) -> str:
    """Change one byte of the payload of the newest release; return the record's id."""
    with sqlite3.connect(database) as connection:
        identity, envelope = connection.execute(
            "SELECT id, envelope FROM stored_record WHERE kind = 'release' ORDER BY position DESC LIMIT 1"
        ).fetchone()
        changed = bytearray(envelope)
        place = changed.index(b'"payload":"') + len(b'"payload":"') + 400
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        assert sum(a != b for a, b in zip(envelope, changed, strict=True)) == 1
        connection.execute("UPDATE stored_record SET envelope = ? WHERE id = ?", (bytes(changed), identity))
    return str(identity)


def _total(stage: Stage) -> int:
    rows = [row for row in stage.hub.rollup(PERIOD) if row["indicator"] == "MEM_STAFF_CNT" and not row["dims"]]
    assert [row["status"] for row in rows] == ["value"]
    return int(rows[0]["value"])


def test_one_changed_byte_is_refused(tmp_path: Path, forked: Forked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", forked.python)  # what the demo starts
    folder = tmp_path / "rosters"
    folder.mkdir()
    _write_roster(folder / "甲学院.csv", 40)
    _write_roster(folder / "乙学院.csv", 60)
    with Crew() as crew, Show(Console(quiet=True)) as show:
        stage = Stage(crew, show, find_rosters(folder, DAY), today=date(2024, 12, 1), interval=86_400)
        stage.found()
        stage.release()
        stage.exchange()
        assert _total(stage) == 100
        college = stage.colleges[0]
        college.take_roster(Roster(_write_roster(tmp_path / "更正.csv", 55), DAY))
        college.approve(college.prepare(PERIOD, reason="补录 15 人"))
        _change_one_byte(college.node.config.with_name("gonghui.db"))
        delivered = college.sync()
        assert [result["refused"] for result in delivered] == [1]
        assert _total(stage) == 100
        report = build_report(stage, PERIOD, 0.0)
        assert report["refused"] == 1
        assert report["accepted"] == 2
        stage.fetch()
        assert _total(stage) == 100
