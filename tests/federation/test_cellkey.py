"""The perturbation table: no bias, bounded, nobody stays nobody; and the same persons are told the same."""

import random
from fractions import Fraction

import pytest

from federation.cellkey import (
    MODULUS,
    bound_of,
    perturb,
    possible_counts,
    record_key,
    table_row,
    variance_of,
)


@pytest.mark.parametrize("minimum", [5, 6, 10])
def test_each_row_has_no_bias_and_keeps_bound_variance_and_small_counts(minimum: int) -> None:
    for count in range(2 * minimum + 1):
        row = table_row(count, minimum)
        assert sum(chance for _, chance in row) == pytest.approx(1)
        assert all(chance >= 0 for _, chance in row)
        assert sum(told * chance for told, chance in row) == pytest.approx(count)
        assert sum((told - count) ** 2 * chance for told, chance in row) <= variance_of(minimum) + 1e-6
        for told, _ in row:
            assert told == 0 or told >= minimum
            assert abs(told - count) <= bound_of(minimum)
            low, high = possible_counts(told, minimum)
            assert low <= count <= high
    assert table_row(0, minimum) == ((0, 1.0),)
    usual = table_row(2 * minimum, minimum)
    assert sum((told - 2 * minimum) ** 2 * p for told, p in usual) == pytest.approx(variance_of(minimum))


def test_what_is_told_follows_the_table() -> None:
    """Keys spread evenly over their whole range bring each figure about as often as its row says."""
    steps = 20_000
    for count in (1, 4, 7, 50):
        told = [perturb(count, step * (MODULUS // steps), 5) for step in range(steps)]
        assert abs(Fraction(sum(told), steps) - count) < Fraction(1, 500)
        offset = max(count - 10, 0)
        for number, chance in table_row(min(count, 10), 5):
            assert told.count(number + offset) / steps == pytest.approx(chance, abs=2 / steps)


def test_the_same_persons_are_the_same_figure_and_one_more_is_another_draw() -> None:
    secret = b"s" * 32
    keys = [record_key(secret, f"p{number}") for number in range(200)]
    assert len(set(keys)) == 200
    forward, backward = sum(keys[:40]), sum(reversed(keys[:40]))
    assert perturb(40, forward, 5) == perturb(40, backward, 5) == perturb(40, forward % MODULUS, 5)
    shifts = {perturb(41, forward + key, 5) - perturb(40, forward, 5) for key in keys[40:]}
    assert len(shifts) > 5, "a person more does not move the figure by one"
    assert record_key(b"t" * 32, "p0") != keys[0]


def test_parts_do_not_add_up_any_more() -> None:
    dice = random.Random(3)  # noqa: S311  a test's dice
    parts = [[record_key(b"k", f"{table}.{number}") for number in range(dice.randint(8, 30))] for table in range(30)]
    total = perturb(sum(map(len, parts)), sum(map(sum, parts)), 5)
    assert total != sum(perturb(len(part), sum(part), 5) for part in parts)
