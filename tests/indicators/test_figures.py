"""Every computed figure against an independent count from the raw rows, in polars, over random histories."""

import itertools
import random
from datetime import date
from typing import Any

import polars as pl
import pytest
from sqlmodel import select

from federation.catalogue import UNKNOWN, Indicator, load_catalogue, read_dims
from federation.periods import Period, read_period
from node.db import Database
from node.indicators.compute import Figures, compute_figures, load_figures
from node.members.models import MemberSpell, PersonFact, StaffSpell
from tests.indicators.rosters import LAST, NOW, scatter

PERIODS = ("2026-09", "2025-10", "2026-Q3", "2025-Q4", "2025", "2026U", "2025U", "2024-12")
COLUMNS = {"G": "gender", "A": "band", "T": "title_level", "C": "employ_form", "K": "staff_category", "E": "education",
           "D": "unit_type", "Y": "leave_reason"}  # fmt: skip
ON_JOB = pl.col("status").is_in(["11", "12", "13", "14", "15", "16"])
MANDATORY = ("gender", "title_level", "education", "staff_category", "employ_form", "unit_type")


def frames(database: Database, known_at: int) -> dict[str, pl.DataFrame]:
    with database.read() as session:
        found = {}
        for name, model in (("fact", PersonFact), ("job", StaffSpell), ("member", MemberSpell)):
            rows = [row.model_dump() for row in session.exec(select(model)).all()]
            frame = pl.DataFrame(rows, infer_schema_length=None)
            found[name] = frame.filter(
                (pl.col("learnt") <= known_at) & (pl.col("unlearnt").is_null() | (pl.col("unlearnt") > known_at))
            ).drop("id", "learnt", "unlearnt")
        return found


def band(born: date | None, day: date) -> str:
    if born is None:
        return UNKNOWN
    age = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return "Y_LT35" if age < 35 else "Y35T44" if age < 45 else "Y45T54" if age < 55 else "Y_GE55"


def on(frame: pl.DataFrame, day: date) -> pl.DataFrame:
    return frame.filter((pl.col("valid_from") <= day) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > day)))


def people(database: Database, period: Period, known_at: int) -> dict[str, pl.DataFrame]:
    """Return who is counted by each indicator, with everything they are counted by."""
    found = frames(database, known_at)
    born = found["fact"]["birth_date"].to_list()
    fact = found["fact"].with_columns(pl.Series("band", [band(day, period.end) for day in born], dtype=pl.String))
    job, member = found["job"], found["member"]
    inside = {
        name: member.filter((pl.col(name) >= period.start) & (pl.col(name) <= period.end))
        for name in ("valid_from", "valid_to")
    }
    now = on(job, period.end).drop("valid_from", "valid_to")
    staff = now.join(fact, on="person_id", how="left").filter(ON_JOB)
    members = on(member, period.end).join(now, on="person_id", how="left").join(fact, on="person_id", how="left")
    joined = inside["valid_from"].join(now, on="person_id", how="left").join(fact, on="person_id", how="left")
    last = inside["valid_to"].with_row_index("spell").join(job, on="person_id", how="inner", suffix="_job").filter(
        (pl.col("valid_from_job") < pl.col("valid_to"))
        & (pl.col("valid_to_job").is_null() | (pl.col("valid_to_job") >= pl.col("valid_to")))
    )  # fmt: skip
    extra = [name for name in job.columns if name not in {"person_id", "valid_from", "valid_to"}]
    left = (
        inside["valid_to"]
        .with_row_index("spell")
        .join(last.select("spell", *extra), on="spell", how="left")
        .join(fact, on="person_id", how="left")
    )
    signed = (pl.col("employ_form") == "ESTAB") | (pl.col("contract_end") >= period.end)
    return {
        "MEM_STAFF_CNT": staff,
        "MEM_CNT": members,
        "MEM_ON_STAFF_CNT": members.filter(ON_JOB),
        "MEM_NONSTD_CNT": members.filter(pl.col("employ_form").is_in(["AGENCY", "CONTRACT", "DISPATCH", "EXTERNAL"])),
        "MEM_JOIN_CNT": joined,
        "MEM_LEAVE_CNT": left,
        "CON_SIGNED_CNT": staff.filter(signed),
    }


def expected(indicator: Indicator, table: tuple[str, ...], frame: pl.DataFrame) -> dict[tuple[str, ...], int]:
    """Count one table the plain way."""
    catalogue = load_catalogue()
    codes = [[code.code for code in catalogue.dimension(indicator, letter).codes] for letter in table]
    if not table:
        return {(): frame.height}
    known = frame.with_columns(
        pl.when(pl.col(COLUMNS[letter]).is_in(known)).then(pl.col(COLUMNS[letter])).otherwise(pl.lit(UNKNOWN))
        .alias(COLUMNS[letter])
        for letter, known in zip(table, codes, strict=True)
    )  # fmt: skip
    names = [COLUMNS[letter] for letter in table]
    counts = {tuple(row[:-1]): row[-1] for row in known.group_by(names).len().select(*names, "len").iter_rows()}
    return {cell: counts.get(cell, 0) for cell in itertools.product(*codes)}


def actual(figures: Figures, code: str, table: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
    found = {}
    for key, figure in figures[code].items():
        dims = read_dims(key)
        if tuple(dims) == table:
            assert figure.status == "A", (code, key, figure.reason)
            found[tuple(dims.values())] = int(figure.value)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_every_table_of_every_period_is_what_the_rows_say(database: Database, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  a test's dice
    with database.write() as session:
        scatter(session, dice, 160)
    catalogue, cells = load_catalogue(), 0
    for label in PERIODS:
        period, known_at = read_period(label), dice.randint(2, LAST)
        with database.write() as session:
            figures = load_figures(session, compute_figures(session, period, known_at, NOW))
        counted = people(database, period, known_at)
        for code, frame in counted.items():
            indicator = catalogue.indicators[code]
            for table in indicator.tables:
                assert actual(figures, code, table) == expected(indicator, table, frame), (label, code, table)
                cells += 1
        staff = counted["MEM_STAFF_CNT"]
        filled = sum(int((staff[name].fill_null("") != UNKNOWN).sum()) for name in MANDATORY)
        filled += int(staff["birth_date"].is_not_null().sum())
        assert [int(figures[code][""].value) for code in ("DQ_FILLED_CNT", "DQ_FIELD_CNT")] == [
            filled,
            staff.height * (len(MANDATORY) + 1),
        ]
        check_rates(figures, counted)
        if label != "2024-12":
            assert counted["MEM_JOIN_CNT"].height + counted["MEM_LEAVE_CNT"].height > 0
    assert cells > 300


def check_rates(figures: Figures, counted: dict[str, pl.DataFrame]) -> None:
    catalogue = load_catalogue()
    for code in ("MEM_DENSITY", "CON_SIGN_RATE"):
        rate = catalogue.indicators[code]
        for table in rate.tables:
            above = expected(rate, table, counted[rate.numerator])
            below = expected(rate, table, counted[rate.denominator])
            for key, figure in figures[code].items():
                dims = read_dims(key)
                if tuple(dims) != table:
                    continue
                cell = tuple(dims.values())
                if below[cell] == 0:
                    assert (figure.status, figure.numerator, figure.denominator) == ("M", None, None)
                else:
                    assert (figure.status, figure.numerator, figure.denominator) == ("A", above[cell], below[cell])
                assert figure.value == "", "a rate has no value of its own, only its parts"


@pytest.mark.parametrize("seed", range(2))
def test_stock_joiners_and_leavers_add_up(database: Database, seed: int) -> None:
    """members(end) = members(before) + joined - left, in every union year and month."""
    with database.write() as session:
        scatter(session, random.Random(seed), 120)  # noqa: S311  a test's dice
    for label in ("2026U", "2025U", "2025-10", "2026-Q1"):
        period = read_period(label)
        with database.write() as session:
            now, before = (
                load_figures(session, compute_figures(session, p, LAST, NOW)) for p in (period, period.previous())
            )
        value = {code: int(now[code][""].value) for code in ("MEM_CNT", "MEM_JOIN_CNT", "MEM_LEAVE_CNT")}
        assert int(before["MEM_CNT"][""].value) + value["MEM_JOIN_CNT"] - value["MEM_LEAVE_CNT"] == value["MEM_CNT"]
