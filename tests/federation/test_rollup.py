"""Combining figures: on random nodes against a sum written out by hand, and on a real census with an absent group."""

import statistics
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.rollup import (
    COUNT_YES,
    DOES_NOT_APPLY,
    KEPT_BACK,
    LOWER_BOUND,
    MISSING,
    NO_REPORT,
    NONE,
    NOT_APPLICABLE,
    NOT_COMBINED,
    PARTIAL,
    RATIO,
    REPORTED,
    SUM,
    VALUE,
    WITHHELD,
    Coverage,
    Exact,
    Part,
    combine,
    complete,
    number_of,
    quartiles,
    written,
)
from federation.statuses import EXACT

CENSUS = Path(__file__).parents[1] / "data" / "census2004_union.tsv"


def part(origin: str, value: object = None, *, status: str = REPORTED) -> Part:
    if isinstance(value, tuple):
        return Part(origin, status, None, *value)
    return Part(origin, status, None if value is None else Decimal(str(value)))


def kept(origin: str) -> Part:
    return part(origin, status=KEPT_BACK)


# -- the census ----------------------------------------------------------------------------------------------------


def census() -> tuple[dict[str, Decimal], dict[str, dict[str, Decimal]]]:
    """Return the national row and the provinces: column -> figure."""
    head, *lines = CENSUS.read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")[1:]
    rows = {line.split("\t")[0]: dict(zip(columns, map(Decimal, line.split("\t")[1:]), strict=True)) for line in lines}
    return rows.pop("全国"), rows


REMAINDER = {"legal_units": "346128", "units_with_union": "89600", "employed_wan": "1223.30", "joined_wan": "803.40"}


@pytest.mark.parametrize("column", REMAINDER)
def test_the_census_with_an_absent_group(column: str) -> None:
    nation, provinces = census()
    assert len(provinces) == 26
    expected = {*provinces, "其余"}
    reports = [part(name, row[column]) for name, row in provinces.items()]
    absent = combine(SUM, reports, expected)
    assert (absent.status, absent.coverage) == (VALUE, Coverage(26, 27))
    assert absent.value is not None
    assert nation[column] - absent.value == Decimal(REMAINDER[column])
    kept_back = combine(SUM, [*reports, kept("其余")], expected)
    assert (kept_back.status, kept_back.value, kept_back.coverage) == (LOWER_BOUND, absent.value, Coverage(27, 27, 1))
    whole = combine(SUM, [*reports, part("其余", REMAINDER[column])], expected)
    assert (whole.status, whole.value, whole.coverage) == (VALUE, nation[column], Coverage(27, 27))


def test_the_census_density_is_no_average_of_densities() -> None:
    nation, provinces = census()
    rest = {"其余": {name: Decimal(figure) for name, figure in REMAINDER.items()}}
    pairs = {
        name: (int(row["joined_wan"] * 100), int(row["employed_wan"] * 100)) for name, row in (provinces | rest).items()
    }
    whole = combine(RATIO, [part(name, pair) for name, pair in pairs.items()], set(pairs))
    assert whole.numerator == int(nation["joined_wan"] * 100)
    assert whole.denominator == int(nation["employed_wan"] * 100)
    assert whole.denominator
    density = Fraction(100 * (whole.numerator or 0), whole.denominator)
    assert written(density, 2) == "57.81"
    average = sum((Fraction(100 * a, b) for a, b in pairs.values()), Fraction(0)) / len(pairs)
    assert written(average, 2) != "57.81"


# -- statuses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollup", "parts", "status", "coverage"),
    [
        (SUM, [], MISSING, Coverage(0, 3, 0, 0)),
        (SUM, [part("a", status=NO_REPORT)], MISSING, Coverage(0, 3, 0, 0)),
        (SUM, [kept("a"), kept("b")], WITHHELD, Coverage(2, 3, 2, 0)),
        (SUM, [kept("a"), part("b", status=NOT_APPLICABLE)], WITHHELD, Coverage(2, 3, 1, 0)),
        (SUM, [part("a", status=NOT_APPLICABLE)], DOES_NOT_APPLY, Coverage(1, 3, 0, 0)),
        (RATIO, [part("a", (0, 0))], DOES_NOT_APPLY, Coverage(1, 3, 0, 5)),
        (RATIO, [part("a", (0, 0)), kept("b")], WITHHELD, Coverage(2, 3, 1, 5)),
        (NONE, [part("a", "4.5")], NOT_COMBINED, Coverage(1, 3, 0, 5)),
        (NONE, [], MISSING, Coverage(0, 3, 0, 0)),
        (SUM, [part("stranger", 7)], MISSING, Coverage(0, 3, 0, 0)),
    ],
)
def test_without_a_value_the_status_says_why(rollup: str, parts: list[Part], status: str, coverage: Coverage) -> None:
    combined = combine(rollup, parts, {"a", "b", "c"}, {"a": 5, "b": 6})
    assert (combined.status, combined.coverage) == (status, coverage)
    assert (combined.value, combined.numerator, combined.denominator) == (None, None, None)


def test_a_rate_with_a_withheld_part_is_marked_as_partial() -> None:
    parts = [part("a", (9, 10)), part("b", (10, 40)), kept("c")]
    combined = combine(RATIO, parts, {"a", "b", "c", "d"}, {"a": 10, "b": 40, "c": 900})
    assert (combined.status, combined.numerator, combined.denominator) == (PARTIAL, 19, 50)
    assert combined.coverage == Coverage(3, 4, 1, 50)


def test_yes_is_counted() -> None:
    combined = combine(COUNT_YES, [part("a", 1), part("b", 0), part("c", 1)], {"a", "b", "c", "d"})
    assert (combined.status, combined.value, combined.coverage) == (VALUE, Decimal(2), Coverage(3, 4, 0, None))


def test_persons_are_unknown_where_one_node_told_no_total() -> None:
    parts = [part("a", 5), part("b", 6)]
    assert combine(SUM, parts, {"a", "b"}, {"a": 100}).coverage.persons is None
    assert combine(SUM, parts, {"a", "b"}, {"a": 100, "b": 30, "c": 1}).coverage.persons == 130


def test_large_decimals_lose_no_digit() -> None:
    parts = [part("a", "123456789012345678901234567.89"), part("b", "0.01")]
    assert str(combine(SUM, parts, {"a", "b"}).value) == "123456789012345678901234567.90"


@pytest.mark.parametrize(
    ("rollup", "parts"),
    [
        (SUM, [part("a", 1), part("a", 1)]),
        (SUM, [part("a", -1)]),
        (SUM, [part("a", (1, 2))]),
        (COUNT_YES, [part("a", 2)]),
        (RATIO, [part("a", 5)]),
        ("average", [part("a", 5)]),
    ],
)
def test_what_cannot_be_combined_is_not_guessed(rollup: str, parts: list[Part]) -> None:
    with pytest.raises(ValueError, match=r"combined|twice|roll-up"):
        combine(rollup, parts, {"a"})


counts = st.one_of(st.none(), st.sampled_from((KEPT_BACK, NO_REPORT, NOT_APPLICABLE)), st.integers(0, 10**6))


@given(st.lists(counts, max_size=14), st.randoms(use_true_random=False))
def test_random_nodes(reports: list[object], chance: object) -> None:
    parts = [
        part(str(n), status=told) if isinstance(told, str) else part(str(n), told)
        for n, told in enumerate(reports)
        if told is not None
    ]
    expected = {str(n) for n in range(len(reports))}
    combined = combine(SUM, parts, expected)
    values = [told for told in reports if isinstance(told, int)]
    withheld = reports.count(KEPT_BACK)
    assert combined.coverage.expected == len(reports)
    assert combined.coverage.reported == len(values) + withheld + reports.count(NOT_APPLICABLE)
    if values:
        assert combined.value == sum(values)
        assert combined.status == (LOWER_BOUND if withheld else VALUE)
    else:
        assert combined.value is None
    chance.shuffle(parts)  # type: ignore[attr-defined]
    assert combine(SUM, parts, expected) == combined


# -- the band of peers ---------------------------------------------------------------------------------------------


def test_no_band_below_five_peers() -> None:
    assert quartiles([Fraction(n) for n in range(4)]) is None
    assert quartiles([Fraction(n) for n in range(5)]) is not None


@given(st.lists(st.integers(0, 10**6), min_size=5, max_size=40))
def test_the_band_is_that_of_a_spreadsheet(values: list[int]) -> None:
    band = quartiles([Fraction(value) for value in values])
    assert band is not None
    theirs = statistics.quantiles([Fraction(value) for value in values], n=4, method="inclusive")
    assert [band.lower, band.median, band.upper] == theirs
    assert band.peers == len(values)


def test_what_is_compared_is_the_value_or_the_rate() -> None:
    assert number_of(part("a", "2.50")) == Fraction(5, 2)
    assert number_of(part("a", (3, 4))) == Fraction(3, 4)
    assert number_of(part("a", (0, 0))) is None
    assert number_of(kept("a")) is None


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    [
        (Fraction(578, 10), 1, "57.8"),
        (Fraction(1, 20), 1, "0.1"),  # half away from zero, where floats would say 0.1 or 0.0 by chance
        (Fraction(-1, 20), 1, "-0.1"),
        (Fraction(-1, 50), 1, "0.0"),
        (Fraction(5, 2), 0, "3"),
        (Fraction(1, 3), 3, "0.333"),
        (Fraction(100), 1, "100.0"),
    ],
)
def test_numbers_are_written_exactly(number: Fraction, decimals: int, text: str) -> None:
    assert written(number, decimals) == text


ABC = frozenset({"a", "b", "c"})


@pytest.mark.parametrize(
    ("parts", "inside", "status", "value", "withheld"),
    [
        ([part("a", 9), kept("b"), kept("c")], ABC, EXACT, 20, 0),
        ([kept("a"), kept("b"), kept("c")], ABC, EXACT, 20, 0),
        ([part("a", 9), kept("b"), kept("c"), part("d", 7)], ABC, EXACT, 27, 0),
        ([part("a", 9), kept("b"), kept("c"), kept("d"), part("e", 7)], ABC, LOWER_BOUND, 27, 1),
        ([part("a", 9), part("b", 6), part("c", 5)], ABC, VALUE, 20, 0),
        ([part("a", 9), kept("b")], ABC, LOWER_BOUND, 9, 1),  # the total is over somebody who has not reported
    ],
)
def test_an_exact_total_takes_the_place_of_what_its_contributors_withheld(
    parts: list[Part], inside: frozenset[str], status: str, value: int, withheld: int
) -> None:
    expected, persons = set("abcde"), dict.fromkeys("abcde", 30)
    found = complete(combine(SUM, parts, expected, persons), parts, Exact(20, inside), persons)
    assert (found.status, found.value, found.coverage.withheld) == (status, Decimal(value), withheld)
    assert found.coverage.reported == len(parts)
    assert found.coverage.persons == 30 * (len(parts) - withheld)
