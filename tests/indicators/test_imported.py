"""From roster files to figures: real imports, corrections and undos, counted independently from the files' own rows."""

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlmodel import Session

from federation.catalogue import load_catalogue
from federation.errors import Conflict, InputRefused, NotPermitted
from federation.periods import read_period
from node.access.permissions import ADMIN, ANALYST, APPROVER, OFFICER, VIEWER, Actor
from node.context import Node
from node.db import Database
from node.indicators import service
from node.indicators.compute import figures_of
from node.indicators.models import Release, ReleaseItem
from node.members import roster
from tests.indicators.rosters import NOW

ANN = Actor("a1", "Ann", OFFICER)
HEADER = "工号,性别,出生日期,职称级别,用人方式,教职工类别,人员状态,是否会员,入会时间\n"
Row = tuple[str, ...]


@pytest.fixture
def node(make_node: Callable[..., Node], database: Database) -> Node:
    return make_node(database=database)


def take(node: Node, rows: list[Row], as_of: str, *, header: str = HEADER) -> str:
    """Import a full roster; whoever is absent has retired."""
    text = header + "".join(",".join(row) + "\n" for row in rows)
    day = date.fromisoformat(as_of)
    import_id = roster.stage(node, ANN, file_name="r.csv", data=text.encode(), as_of=day, complete=True)
    shown = roster.preview(node, ANN, import_id)
    assert not shown.counts["refused"], shown.errors
    roster.confirm(node, ANN, shown, leavers={leaver.person_id: "RETIRE" for leaver in shown.leavers})
    return import_id


def row(dice: random.Random, number: int, since: date = date(2018, 1, 1)) -> Row:
    joined = since + timedelta(dice.randrange(360))
    member = dice.random() < 0.8
    return (
        f"{number:05d}",
        dice.choice("男女女"),
        str(date(1965, 1, 1) + timedelta(dice.randrange(12000))),
        dice.choice(["正高", "副高", "中级", "初级", "无", ""]),
        dice.choice(["在编", "在编", "人事代理", "劳务派遣"]),
        dice.choice(["专任教师", "行政人员", ""]),
        dice.choice(["在职", "在职", "在职", "长病假", "退休"]),
        "是" if member else "否",
        str(joined) if member else "",
    )


def on_job(rows: list[Row]) -> list[Row]:
    return [r for r in rows if r[6] in {"在职", "长病假"}]


def members(rows: list[Row]) -> list[Row]:
    return [r for r in rows if r[7] == "是"]


def value(shown: service.Shown, code: str, key: str = "") -> Any:
    figure = shown.figures[code][key]
    return int(figure.value) if figure.value else (figure.numerator, figure.denominator)


def test_figures_are_those_of_the_files(node: Node) -> None:
    dice = random.Random(11)  # noqa: S311  a test's dice
    first = [row(dice, n) for n in range(120)]
    first[:30] = [(*r[:6], "在职", *r[7:]) for r in first[:30]]  # only those on the job are proposed as leavers
    again = {r[0]: row(dice, int(r[0])) for r in first}
    # the second file: thirty have gone, others have another title and employment; dates of birth and entry stay
    second = [(*r[:3], *again[r[0]][3:6], *r[6:]) for r in first[30:]]
    second += [row(dice, n, date(2025, 10, 1)) for n in range(200, 240)]
    take(node, first, "2025-09-30")
    take(node, second, "2026-09-30")
    for label, rows in (("2025U", first), ("2025-Q3", first), ("2026", second), ("2026U", second)):
        shown = service.compute_period(node, ANN, read_period(label))
        assert value(shown, "MEM_STAFF_CNT") == len(on_job(rows)), label
        assert value(shown, "MEM_CNT") == len(members(rows))
        assert value(shown, "MEM_DENSITY") == (len(members(on_job(rows))), len(on_job(rows)))
        for code, name in (("SENIOR", "正高"), ("NONE", "无"), ("_U", "")):
            assert value(shown, "MEM_STAFF_CNT", f"T={code}") == sum(r[3] == name for r in on_job(rows))
            women = [r for r in members(rows) if r[1] == "女" and r[3] == name]
            assert value(shown, "MEM_CNT", f"G=2;T={code}") == len(women)
        assert value(shown, "MEM_NONSTD_CNT") == sum(r[4] in {"人事代理", "劳务派遣"} for r in members(rows))
        assert value(shown, "MEM_STAFF_CNT", "K=_U") == sum(r[5] == "" for r in on_job(rows))
        assert shown.figures["MEM_STAFF_CNT"]["E=11"].reason == "no-source:education"
        assert shown.figures["MEM_STAFF_CNT"]["D=TEACH"].reason == "no-source:unit_type"
    for label in ("2026U", "2026-Q1", "2026-02"):
        period = read_period(label)
        shown = service.compute_period(node, ANN, period)
        everybody = {r[0]: r for r in (*first, *second)}.values()
        joined = [r for r in members(list(everybody)) if period.start <= date.fromisoformat(r[8]) <= period.end]
        assert value(shown, "MEM_JOIN_CNT") == len(joined), label
        assert value(shown, "MEM_JOIN_CNT", "G=2") == sum(r[1] == "女" for r in joined)
        left = members(first[:30]) if period.end >= date(2026, 9, 30) else []
        assert value(shown, "MEM_LEAVE_CNT") == len(left)
        assert value(shown, "MEM_LEAVE_CNT", "Y=RETIRE") == len(left)
        assert value(shown, "MEM_LEAVE_CNT", "T=SENIOR") == sum(r[3] == "正高" for r in left)


def test_a_year_of_the_union_begins_on_the_first_of_october(node: Node) -> None:
    days = {"00001": "2025-09-30", "00002": "2025-10-01", "00003": "2026-09-30", "00004": "2025-08-31",
            "00005": "2010-01-01"}  # fmt: skip
    rows: list[Row] = [(n, "女", "1991-09-30", "中级", "在编", "教师", "在职", "是", day) for n, day in days.items()]
    rows[1] = ("00002", "女", "1991-10-01", *rows[1][3:])
    take(node, [rows[4]], "2024-09-30")
    take(node, rows, "2026-09-30")
    for label, number in (("2026U", 2), ("2025U", 2), ("2025-10", 1), ("2025-Q3", 2), ("2025", 3), ("2026-09", 1)):
        assert value(service.compute_period(node, ANN, read_period(label)), "MEM_JOIN_CNT") == number, label
    shown = service.compute_period(node, ANN, read_period("2026U"))
    assert (value(shown, "MEM_CNT", "A=Y_LT35"), value(shown, "MEM_CNT", "A=Y35T44")) == (1, 4), "35 on the last day"


def test_the_same_known_at_gives_the_same_whatever_came_later(node: Node) -> None:
    dice = random.Random(4)  # noqa: S311  a test's dice
    rows = [row(dice, n) for n in range(60)]
    take(node, rows, "2025-09-30")
    period = read_period("2026U")
    pictures = {1: _uncached(node, "2026U", 1)}
    kept = service.compute_period(node, ANN, period)
    import_id = take(node, [row(dice, int(r[0])) for r in rows[10:]], "2026-03-31")  # corrects births and genders too
    pictures[2] = _uncached(node, "2026U", 2)
    roster.undo(node, ANN, import_id)
    pictures[3] = _uncached(node, "2026U", 3)
    take(node, rows[:50], "2026-06-30")
    pictures[4] = _uncached(node, "2026U", 4)
    assert {number: _uncached(node, "2026U", number) for number in pictures} == pictures
    assert pictures[3] == pictures[1] != pictures[2]
    again = service.compute_period(node, ANN, period, 1)
    assert _plain(again.figures) == _plain(kept.figures)
    assert service.compute_period(node, ANN, period).known_at == 4
    with pytest.raises(InputRefused, match="known-at-unknown"):
        service.compute_period(node, ANN, period, 5)


def _plain(figures: Any) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (code, key): (f.status, f.value, f.numerator, f.denominator, f.reason)
        for code, cells in figures.items()
        for key, f in cells.items()
    }


def _uncached(node: Node, label: str, known_at: int) -> dict[tuple[str, str], tuple[Any, ...]]:
    with node.database.read() as session:
        return _plain(figures_of(session, load_catalogue(), read_period(label), known_at))


def test_entry_dates_are_told_only_when_every_member_has_one(node: Node) -> None:
    dated = ("00001", "女", "1991-09-30", "中级", "在编", "教师", "在职", "是", "2026-03-01")
    import_id = take(node, [dated, ("00002", *dated[1:8], "")], "2026-09-30")
    shown = service.compute_period(node, ANN, read_period("2026U"))
    assert shown.figures["MEM_JOIN_CNT"][""].reason == "no-baseline", "the second may have been a member for years"
    roster.undo(node, ANN, import_id)
    take(node, [dated, ("00002", *dated[1:7], "否", "")], "2026-09-30")
    shown = service.compute_period(node, ANN, read_period("2026U"))
    assert value(shown, "MEM_JOIN_CNT") == 1
    assert shown.figures["MEM_LEAVE_CNT"][""].reason == "no-baseline"
    earlier = service.compute_period(node, ANN, read_period("2025U"))
    assert earlier.figures["MEM_CNT"][""].reason == "before-first:membership"
    assert {f.status for f in earlier.figures["MEM_JOIN_CNT"].values()} == {"O"}


def test_a_list_of_members_alone_knows_no_staff(node: Node) -> None:
    take(node, [("1", "男", "2010-01-01"), ("2", "女", "2011-01-01")], "2026-09-30", header="会员号,性别,入会时间\n")
    shown = service.compute_period(node, ANN, read_period("2026U"))
    assert (value(shown, "MEM_CNT"), value(shown, "MEM_CNT", "G=2")) == (2, 1)
    assert shown.figures["MEM_CNT"]["T=NONE"].reason == "no-source:title_level"
    assert shown.figures["MEM_DENSITY"][""].reason == shown.figures["MEM_STAFF_CNT"][""].reason == "no-source:staff"


def test_bare_figures_are_for_those_who_may_see_persons(node: Node) -> None:
    take(node, [("00001", "女", "1991-09-30", "中级", "在编", "教师", "在职", "是", "2020-01-01")], "2026-09-30")
    period = read_period("2026U")
    for role in (OFFICER, APPROVER):
        shown = service.read_figures(node, Actor("x", "x", role), period)
        assert (shown.bare, value(shown, "MEM_CNT", "G=2"), shown.known_at) == (True, 1, 1)
        assert shown.known_time is not None
        assert "MEM_ON_STAFF_CNT" not in shown.figures
    for role in (VIEWER, ANALYST, ADMIN):
        with pytest.raises(Conflict, match="figures-not-released"):
            service.read_figures(node, Actor("x", "x", role), period)
        with pytest.raises(NotPermitted):
            service.compute_period(node, Actor("x", "x", role), period)
        assert len(service.list_indicators(Actor("x", "x", role))) == 80
    with node.database.write() as session:
        _release(session, 1, "superseded", "4")
        _release(session, 2, "approved", "7")
        _release(session, 3, "draft", "9")
    shown = service.read_figures(node, Actor("x", "x", VIEWER), period)
    assert (shown.bare, value(shown, "MEM_CNT")) == (False, 7)
    assert shown.figures["MEM_CNT"]["G=2"].status == "Q"
    assert set(shown.figures) == {"MEM_CNT"}, "what goes to the hub alone is not for every account"


def _release(session: Session, revision: int, state: str, number: str) -> None:
    observations = [
        {"indicator": "MEM_CNT", "dims": {}, "status": "A", "value": int(number)},
        {"indicator": "MEM_CNT", "dims": {"G": "2"}, "status": "Q"},
    ]
    hidden = [{"indicator": "PSY_CONSULT_CNT", "dims": {}, "status": "A", "value": 12}]
    session.add(Release(id=f"r{revision}", period="2026U", revision=revision, known_at=1, state=state, prepared_at=NOW))
    session.flush()
    for dataflow, told in (("MEM.all", observations), ("PSY.hub", hidden)):
        content = json.dumps({"observations": told}).encode()
        session.add(ReleaseItem(release_id=f"r{revision}", dataflow=dataflow, content=content, digest="0"))


def test_a_rate_is_rounded_as_people_do() -> None:
    catalogue = load_catalogue()
    density, hours = catalogue.get("MEM_DENSITY"), catalogue.get("MEM_CNT")
    figure = service.Figure(set_id=0, indicator="MEM_DENSITY", dims="", status="A", numerator=1, denominator=16)
    assert service.shown_value(density, figure) == "6.3"
    figure.numerator = 16
    assert service.shown_value(density, figure) == "100.0"
    assert (
        service.shown_value(hours, service.Figure(set_id=0, indicator="MEM_CNT", dims="", status="A", value="3")) == "3"
    )


def test_a_period_that_is_not_over_is_preliminary(node: Node) -> None:
    assert service.is_over(node, read_period("2020U"))
    assert not service.is_over(node, read_period("2999"))
