"""Combination of many nodes' observations of one cell, with coverage; missing is never zero.

    value           every node that reported published its figure; the coverage says how many of how many reported
    noisy           a value, and some of it was moved by chance: the variances add up
    exact           of a sum: who withheld its figure put it into a secret sum, whose total was opened
    lower-bound     of a sum: a part is withheld, so the truth is at least this (nothing that is added up is negative)
    partial         of a rate: a part is withheld; this is the rate among those who published, bound of nothing
    withheld        whoever reported withheld it
    missing         nobody reported it
    not-applicable  whoever reported says it does not apply, or a rate has nobody in its denominator
    not-combined    such figures (a median) have no total

Counts add, rates are the sum of numerators over the sum of denominators and never an average of rates, yes and no are
counted. Only nodes that are expected take part, so that k of n never exceeds n. Pure, exact, and knows no catalogue.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction

from federation.statuses import (
    DOES_NOT_APPLY,
    EXACT,
    LOWER_BOUND,
    MISSING,
    NOISY,
    NOT_COMBINED,
    PARTIAL,
    VALUE,
    WITHHELD,
)

REPORTED, NO_REPORT, NOT_APPLICABLE, KEPT_BACK = "A", "O", "M", "Q"  # SDMX CL_OBS_STATUS, as on the wire
WORDS = {REPORTED: VALUE, NO_REPORT: MISSING, NOT_APPLICABLE: DOES_NOT_APPLY, KEPT_BACK: WITHHELD}  # of one node

SUM, RATIO, COUNT_YES, NONE = "sum", "ratio", "count_yes", "none"
MIN_PEERS = 5  # with fewer, a quartile is nearly one college's own value


@dataclass(frozen=True)
class Part:
    """One node's observation of the cell. With status A: `value`, or of a rate `numerator` and `denominator`."""

    origin: str
    status: str
    value: Decimal | None = None
    numerator: int | None = None
    denominator: int | None = None
    variance: Decimal | None = None  # of each count in it, where chance moved them


@dataclass(frozen=True)
class Coverage:
    """Who stands behind a figure: `reported` of `expected` nodes, of which `withheld` kept theirs back.

    `persons` is the staff of the nodes whose values are in the figure; None where one of them has told no total.
    """

    reported: int
    expected: int
    withheld: int = 0
    persons: int | None = None


@dataclass(frozen=True)
class Combined:
    """A combined figure: `value` of a sum or count, `numerator` and `denominator` of a rate; none without a value.

    `variance` is that of the sum, or of numerator and denominator each; None where chance had no part in it.
    """

    status: str
    coverage: Coverage
    value: Decimal | None = None
    numerator: int | None = None
    denominator: int | None = None
    variance: Decimal | None = None


@dataclass(frozen=True)
class Exact:
    """The total of a secret sum, and whose figures are in it."""

    value: int
    contributors: frozenset[str]


@dataclass(frozen=True)
class Band:
    """The quartiles of the peers' values, and how many peers they are."""

    lower: Fraction
    median: Fraction
    upper: Fraction
    peers: int


def combine(
    rollup: str, parts: Iterable[Part], expected: Collection[str], persons: Mapping[str, int] | None = None
) -> Combined:
    """Combine one cell of many nodes by `sum`, `ratio`, `count_yes` or `none`.

    `expected` are the nodes that should report, `persons` the staff total of each that told it. Raise ValueError where
    a node stands twice, or a value cannot be combined so.
    """
    by_origin: dict[str, Part] = {}
    for part in parts:
        if part.origin in by_origin:
            raise ValueError("one node reports a cell twice")
        by_origin[part.origin] = part
    told = [part for origin, part in by_origin.items() if origin in expected and part.status != NO_REPORT]
    given = [part for part in told if part.status == REPORTED]
    withheld = sum(part.status == KEPT_BACK for part in told)
    coverage = Coverage(len(told), len(expected), withheld, _persons(given, persons or {}))
    if rollup == NONE:
        return Combined(NOT_COMBINED if given else _without_value(told, withheld), coverage)
    if not given:
        return Combined(_without_value(told, withheld), coverage)
    if rollup == RATIO:
        return _combine_rates(given, coverage)
    if rollup not in {SUM, COUNT_YES}:
        raise ValueError(f"no such roll-up: {rollup}")
    values = [_value_of(part, only_yes_or_no=rollup == COUNT_YES) for part in given]
    with localcontext(prec=60):  # the wire bears 30 digits
        total = sum(values, Decimal(0))
        variance = _variance(given)
    whole = VALUE if variance is None else NOISY
    return Combined(LOWER_BOUND if withheld else whole, coverage, total, variance=variance)


def expected_error(figure: Part | Combined) -> float | None:
    """Return the standard error of a figure that chance has moved, of a rate as a share of 1; None of any other.

    Numerator and denominator were moved apart, so a rate's variance is (v + r² v) / denominator², to first order.
    """
    if figure.variance is None or (figure.value is None and not figure.denominator):
        return None
    if figure.denominator:
        rate = (figure.numerator or 0) / figure.denominator
        return math.sqrt(float(figure.variance) * (1 + rate * rate)) / figure.denominator
    return math.sqrt(figure.variance)


def complete(
    combined: Combined, parts: Iterable[Part], exact: Exact, persons: Mapping[str, int] | None = None
) -> Combined:
    """Return a sum that lacks withheld figures with the exact total of those who put theirs into a secret sum.

    Who reported and is not in the total is added where it published; where it withheld, the sum is a lower bound still.
    A total over somebody who has not reported says something else than this sum, and is not used.
    """
    told = {part.origin: part for part in parts if part.status != NO_REPORT}
    if combined.status not in {LOWER_BOUND, WITHHELD} or not exact.contributors <= set(told):
        return combined
    others = [part for origin, part in told.items() if origin not in exact.contributors]
    given = [part for part in others if part.status == REPORTED]
    withheld = sum(part.status == KEPT_BACK for part in others)
    inside = [*given, *(told[origin] for origin in exact.contributors)]
    coverage = replace(combined.coverage, withheld=withheld, persons=_persons(inside, persons or {}))
    value = exact.value + sum((_value_of(part, only_yes_or_no=False) for part in given), Decimal(0))
    variance = _variance(given)
    whole = EXACT if variance is None else NOISY
    return Combined(LOWER_BOUND if withheld else whole, coverage, value, variance=variance)


def quartiles(values: Sequence[Fraction]) -> Band | None:
    """Return the band of the peers' values (one's own left out), None for fewer than five peers.

    Quartiles lie linearly between the two neighbours in order (type 7, as a spreadsheet's QUARTILE).
    """
    if len(values) < MIN_PEERS:
        return None
    ordered = sorted(values)
    return Band(_quantile(ordered, 1), _quantile(ordered, 2), _quantile(ordered, 3), len(ordered))


def number_of(part: Part) -> Fraction | None:
    """Return what a node's figure is when compared with others': its value or its rate; None without one."""
    if part.status != REPORTED:
        return None
    if part.value is not None:
        return Fraction(part.value)
    return Fraction(part.numerator or 0, part.denominator) if part.denominator else None


def written(number: Fraction, decimals: int) -> str:
    """Return a number with so many decimals, half away from zero: `57.8`."""
    scaled = abs(number) * 10**decimals
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    digits = f"{whole:0{decimals + 1}d}"
    sign = "-" if number < 0 and whole else ""
    return sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)


def _without_value(told: list[Part], withheld: int) -> str:
    if withheld:
        return WITHHELD
    return DOES_NOT_APPLY if told else MISSING


def _combine_rates(given: list[Part], coverage: Coverage) -> Combined:
    pairs = [(part.numerator, part.denominator) for part in given]
    numerators = [numerator for numerator, _ in pairs if numerator is not None]
    denominators = [denominator for _, denominator in pairs if denominator is not None]
    if len(numerators) + len(denominators) != 2 * len(given):
        raise ValueError("a rate without its numerator or denominator cannot be combined")
    numerator, denominator = sum(numerators), sum(denominators)
    if not denominator:
        return Combined(WITHHELD if coverage.withheld else DOES_NOT_APPLY, coverage)
    with localcontext(prec=60):
        variance = _variance(given)
    whole = VALUE if variance is None else NOISY
    return Combined(PARTIAL if coverage.withheld else whole, coverage, None, numerator, denominator, variance)


def _variance(given: list[Part]) -> Decimal | None:
    moved = [part.variance for part in given if part.variance is not None]
    return sum(moved, Decimal(0)) if moved else None


def _value_of(part: Part, *, only_yes_or_no: bool) -> Decimal:
    value = part.value
    if value is None or value < 0 or (only_yes_or_no and value not in {0, 1}):
        raise ValueError("not a value that can be combined so")
    return value


def _persons(given: list[Part], persons: Mapping[str, int]) -> int | None:
    known = [persons[part.origin] for part in given if part.origin in persons]
    return sum(known) if len(known) == len(given) else None


def _quantile(ordered: Sequence[Fraction], quarter: int) -> Fraction:
    place = Fraction(quarter * (len(ordered) - 1), 4)
    below = int(place)
    if below == len(ordered) - 1:
        return ordered[below]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])
