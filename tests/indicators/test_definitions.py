"""The engine reads definitions: another indicator needs no Python, an unknown thing is missing and never zero."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest

from federation.catalogue import Catalogue, load_catalogue, read_catalogue, read_dims
from federation.errors import InputRefused
from federation.periods import period_of, read_period
from node.db import Database
from node.indicators.compute import Figures, compute_figures, figures_of, load_figures
from node.indicators.reasons import explain_reason
from node.indicators.told import Telling, Told
from node.indicators.vocabulary import FIELDS, years_before
from schemas import load_data, load_schema
from tests.indicators.rosters import FIELDS as TOLD
from tests.indicators.rosters import LAST, NOW, scatter

BASE: dict[str, Any] = {
    "name": {"zh": "新", "en": "new"}, "definition": {"zh": "新", "en": "new"}, "unit": {"zh": "人", "en": "persons"},
    "kind": "stock", "subject": "member", "measure": "persons", "dims": [], "tables": [[]], "released": [],
    "frequencies": ["A"], "sensitivity": "S1", "sources": [], "mode": "micro", "report": "D", "rollup": "sum",
}  # fmt: skip


def totals(figures: Figures) -> dict[str, tuple[str, str, str]]:
    return {code: (cells[""].status, cells[""].value, cells[""].reason) for code, cells in figures.items()}


def test_another_indicator_needs_no_python(database: Database) -> None:
    young = {"code": "MEM_DOCTOR_WOMEN", "filters": [{"field": "gender", "in": ["2"]}, {"field": "education", "in":
             ["11"]}], "tables": [[], ["A"], ["T"], ["G", "A"]], "part_of": ["MEM_CNT"]}  # fmt: skip
    loose = {"code": "MEM_LOOSE", "filters": [{"any": [{"field": "employ_form", "in": ["DISPATCH"]}, {"field":
             "contract_end", "from": "period_start"}]}]}  # fmt: skip
    rate = {"code": "MEM_DOCTOR_RATE", "kind": "ratio", "numerator": "MEM_DOCTOR_WOMEN", "denominator":
            "MEM_CNT", "tables": [[], ["A"]], "rollup": "ratio"}  # fmt: skip
    twice = {"code": "MEM_TWICE", "kind": "formula", "decimals": 2, "formula":
             [{"indicator": "MEM_CNT", "factor": "2"}, {"indicator": "MEM_LOOSE", "factor": "-0.5"}]}  # fmt: skip
    catalogue = read_with(young, loose, rate, twice)
    with database.write() as session:
        scatter(session, random.Random(5), 200)  # noqa: S311  a test's dice
        set_id = compute_figures(session, read_period("2026U"), LAST, NOW, catalogue=catalogue)
        figures = load_figures(session, set_id)
        usual = compute_figures(session, read_period("2026U"), LAST, NOW)
        assert usual != set_id, "another catalogue has other figures"
        assert "MEM_LOOSE" not in load_figures(session, usual)
    women = figures["MEM_DOCTOR_WOMEN"]
    by_age = [int(f.value) for key, f in women.items() if tuple(read_dims(key)) == ("A",)]
    by_both = {key: int(f.value) for key, f in women.items() if tuple(read_dims(key)) == ("G", "A")}
    assert int(women[""].value) == sum(by_age) == sum(by_both.values()) > 0
    assert all(number == 0 for key, number in by_both.items() if "G=2" not in key)
    assert catalogue.indicators["MEM_DOCTOR_WOMEN"].possible == {"G": ("2",), "E": ("11",)}
    assert figures["MEM_DOCTOR_RATE"][""].numerator == int(women[""].value)
    loose_number, members = int(figures["MEM_LOOSE"][""].value), int(figures["MEM_CNT"][""].value)
    assert 0 < loose_number < members
    assert figures["MEM_TWICE"][""].value == f"{2 * members - loose_number / 2:.2f}"


def read_with(*items: dict[str, Any]) -> Catalogue:
    """Extend the catalogue; a rate or formula has no measure of its own."""
    value = json.loads(load_data("catalogue"))
    value["version"] = "1.0.1"
    for item in items:
        base = {name: part for name, part in BASE.items() if name != "measure" or "kind" not in item}
        value["indicators"].append({**base, **item})
    return read_catalogue(json.dumps(value).encode(), load_data("codelists"))


def test_every_word_of_the_vocabulary_has_a_meaning() -> None:
    definitions = load_schema("indicator-catalogue.v1")["$defs"]
    words = set(definitions["plain"]["properties"]["field"]["enum"])
    words |= set(definitions["indicator"]["properties"]["fields"]["items"]["enum"])
    catalogue = load_catalogue()
    for indicator in catalogue.indicators.values():
        if indicator.kind in {"stock", "flow"}:
            words |= {catalogue.dimension(indicator, letter).field for table in indicator.tables for letter in table}
    assert words <= set(FIELDS)


def test_what_nobody_told_is_missing_and_never_zero(database: Database) -> None:
    """An empty node has no zero anywhere, in any kind of period."""
    with database.write() as session:
        for label in ("2026-09", "2026-Q3", "2026", "2026U"):
            figures = load_figures(session, compute_figures(session, read_period(label), 0, NOW))
            for code, cells in figures.items():
                assert {(f.status, f.value, f.numerator) for f in cells.values()} == {("O", "", None)}, code
                assert all(figure.reason for figure in cells.values())
            told = totals(figures)
            assert told["MEM_STAFF_CNT"][2] == "no-source:staff"
            assert told["MEM_CNT"][2] == told["MEM_JOIN_CNT"][2] == "no-source:membership"
            assert told["MEM_DENSITY"][2] == "no-source:staff"
        assert told["FIN_ALLOC_DUE"][2] == told["FIN_WAGE_BASE"][2] == "not-entered"
        assert told["ORG_GROUP_CNT"][2] == "no-source:union_unit"
    public = {code for code in figures if not load_catalogue().indicators[code].internal}
    yearly = {i.code for i in load_catalogue().indicators.values() if "A" in i.frequencies and not i.internal}
    assert public == yearly | {"DQ_COMPLETE_RATE"}


def test_a_dimension_nobody_told_is_missing_not_unknown(database: Database) -> None:
    with database.write() as session:
        fields = ",".join(set(TOLD) - {"education", "employ_form"})
        first = {"as_of": date(2020, 1, 1), "fields": fields}
        second = {"as_of": date(2026, 10, 15), "fields": f"{fields},education"}
        scatter(session, random.Random(3), 60, first, second)  # noqa: S311  a test's dice
        figures = load_figures(session, compute_figures(session, read_period("2026U"), 2, NOW))
        later = load_figures(session, compute_figures(session, read_period("2026-11"), 2, NOW))
    assert figures["MEM_STAFF_CNT"]["E=11"].reason == "before-first:education"
    assert later["MEM_STAFF_CNT"]["E=11"].status == "A"
    assert {f.reason for k, f in figures["MEM_CNT"].items() if k.startswith("C=")} == {"no-source:employ_form"}
    assert totals(figures)["MEM_NONSTD_CNT"][2] == "no-source:employ_form"
    assert totals(figures)["CON_SIGN_RATE"][2] == "no-source:employ_form"
    assert figures["MEM_STAFF_CNT"]["G=2"].status == figures["MEM_STAFF_CNT"][""].status == "A"
    assert figures["DQ_COMPLETE_RATE"][""].status == "A", "what was never told is a gap in the data"


U2026 = read_period("2026U")


def told(*rows: tuple[date, str, bool]) -> Told:
    return Told(Telling(day, frozenset(fields.split()), complete) for day, fields, complete in rows)


@pytest.mark.parametrize(
    ("rows", "start", "end"),
    [
        ([], "no-source:membership", "no-source:membership"),
        ([(date(2025, 9, 30), "membership", True)], "not-told-since:membership", "not-told-since:membership"),
        ([(date(2025, 9, 30), "membership", True), (date(2026, 9, 30), "membership", True)], "", ""),
        ([(date(2025, 9, 30), "membership", True), (date(2025, 10, 1), "membership", True)],
         "not-told-since:membership", "not-told-since:membership"),
        ([(date(2025, 9, 30), "membership", True), (date(2025, 10, 2), "membership", True)], "", ""),
        ([(date(2025, 9, 30), "membership", False), (date(2026, 9, 30), "membership", True)], "no-baseline",
         "no-baseline"),
        ([(date(2025, 10, 1), "membership", True), (date(2026, 9, 30), "membership", True)], "no-baseline", ""),
        ([(date(2026, 9, 30), "membership", True)], "no-baseline", "no-baseline"),
        ([(date(2026, 9, 30), "membership member_since", True)], "", "no-baseline"),
        ([(date(2026, 3, 1), "membership", False), (date(2026, 9, 30), "membership member_since", True)],
         "no-baseline", "no-baseline"),
        ([(date(2026, 10, 8), "membership member_since", True)], "before-first:membership",
         "before-first:membership"),
    ],
)  # fmt: skip
def test_flows_need_to_know_who_was_there_before(rows: list[Any], start: str, end: str) -> None:
    assert told(*rows).why_no_flow("start", U2026) == start
    assert told(*rows).why_no_flow("end", U2026) == end


def test_a_union_year_ends_on_the_last_of_september() -> None:
    assert str(period_of(date(2026, 9, 30), "A")) == "2026U"
    assert str(period_of(date(2026, 10, 1), "A")) == "2027U"


def test_ages_are_full_years() -> None:
    assert years_before(date(2026, 9, 30), 35) == date(1991, 9, 30)
    assert years_before(date(2028, 2, 29), 35) == date(1993, 2, 28)
    assert years_before(date(2028, 2, 29), 40) == date(1988, 2, 29)


def test_a_change_that_has_not_happened_is_refused(database: Database) -> None:
    with database.write() as session, pytest.raises(InputRefused, match="known-at-unknown"):
        compute_figures(session, U2026, 1, NOW)


def test_the_same_key_is_computed_once(database: Database) -> None:
    with database.write() as session:
        scatter(session, random.Random(2), 40)  # noqa: S311  a test's dice
        first = compute_figures(session, U2026, 2, NOW)
        assert compute_figures(session, U2026, 2, NOW.replace(year=2027)) == first
        assert compute_figures(session, U2026, 3, NOW) != first
        assert compute_figures(session, read_period("2026-Q3"), 2, NOW) != first


def test_many_at_once_compute_one_set(database: Database) -> None:
    """Pages, a command and the scheduler may ask for the same figures at the same moment."""
    with database.write() as session:
        scatter(session, random.Random(6), 60)  # noqa: S311  a test's dice

    def ask(_: int) -> int:
        with database.write() as session:
            return compute_figures(session, U2026, LAST, NOW)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_every_table_adds_up_to_its_margins(database: Database) -> None:
    with database.write() as session:
        scatter(session, random.Random(8), 90)  # noqa: S311  a test's dice
        figures = figures_of(session, load_catalogue(), U2026, LAST)
    for code in ("MEM_STAFF_CNT", "MEM_CNT", "MEM_JOIN_CNT", "MEM_LEAVE_CNT", "MEM_NONSTD_CNT"):
        sums: dict[tuple[str, ...], int] = {}
        for key, figure in figures[code].items():
            table = tuple(read_dims(key))
            sums[table] = sums.get(table, 0) + int(figure.value)
        assert set(sums.values()) == {int(figures[code][""].value)}, code
        assert set(sums) == set(load_catalogue().indicators[code].tables)


def test_every_reason_is_a_sentence_in_both_languages() -> None:
    reasons = {f"no-source:{indicator.lacks}" for indicator in load_catalogue().indicators.values() if indicator.lacks}
    reasons |= {f"before-first:{field.source}" for field in FIELDS.values()}
    reasons |= {"no-baseline", "not-entered", "nobody", "not-told-since:membership", "not-due:MEM_CNT"}
    for reason in reasons:
        zh, en = explain_reason(reason)
        assert reason not in (zh, en)
        assert "{" not in zh + en
        about = reason.partition(":")[2]
        assert about in {"", "MEM_CNT"} or about not in zh
