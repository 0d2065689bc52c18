"""Shares modulo 2^61 - 1 against Python's own integers, and what a single share or a spoiled sum tells."""

import secrets
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import InputRefused, TrustError
from federation.sharing import (
    MAX_CELL,
    MAX_TABLES,
    SEED_BYTES,
    P,
    add,
    add_all,
    check_sum,
    dot,
    expand,
    from_bytes,
    multiply,
    new_seed,
    powers,
    read_table,
    split,
    subtract,
    to_bytes,
    weigh,
    with_check,
)

numbers = st.integers(0, P - 1) | st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**60, P - 1])
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)


def _vector(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@given(pairs)
@settings(max_examples=150)
def test_arithmetic_is_that_of_integers_modulo_p(given_pairs: list[tuple[int, int]]) -> None:
    one, other = _vector([a for a, _ in given_pairs]), _vector([b for _, b in given_pairs])
    assert add(one, other).tolist() == [(a + b) % P for a, b in given_pairs]
    assert subtract(one, other).tolist() == [(a - b) % P for a, b in given_pairs]
    assert multiply(one, other).tolist() == [a * b % P for a, b in given_pairs]
    assert dot(one, weigh(other)) == sum(a * b for a, b in given_pairs) % P


def test_a_long_product_is_exact() -> None:
    """Of the largest numbers there are, over more than one stretch."""
    vector = np.full(1_100_000, P - 1, dtype=np.uint64)
    assert dot(vector, weigh(vector)) == 1_100_000 % P


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=23))
def test_many_vectors_add_up(rows: list[list[int]]) -> None:
    assert add_all(map(_vector, rows), 3).tolist() == [sum(column) % P for column in zip([0] * 3, *rows, strict=True)]


@given(numbers, st.integers(1, 70))
def test_powers(alpha: int, cells: int) -> None:
    for number in range(cells):
        unit = np.zeros(cells, dtype=np.uint64)
        unit[number] = 1
        assert dot(unit, powers(alpha, cells)) == pow(alpha, number + 1, P)


def test_the_largest_sum_that_is_allowed_does_not_wrap() -> None:
    assert MAX_CELL * MAX_TABLES < P


def test_shares_of_many_nodes_add_up_to_the_sum_of_their_tables() -> None:
    alphas = powers(secrets.randbelow(P), 50)
    tables = [[secrets.randbelow(MAX_CELL + 1) for _ in range(50)] for _ in range(40)]
    seeds = [secrets.token_bytes(SEED_BYTES) for _ in tables]
    rests = [to_bytes(split(with_check(read_table(t), alphas), s)) for t, s in zip(tables, seeds, strict=True)]
    first = add_all((expand(seed, 51) for seed in seeds), 51)
    second = add_all((from_bytes(rest, 51) for rest in rests), 51)
    assert check_sum(add(first, second), alphas, 40) == [sum(column) for column in zip(*tables, strict=True)]


def test_a_share_alone_looks_the_same_whatever_the_table_is() -> None:
    """One byte of the second share, over many splits of two very different tables: no more apart than chance."""
    found = []
    for value in (0, MAX_CELL):
        shares = [int(split(read_table([value]), secrets.token_bytes(32))[0]) >> 57 for _ in range(8_000)]
        found.append(Counter(shares))
    for counts in found:
        assert set(counts) == set(range(16))
        assert max(counts.values()) - min(counts.values()) < 200, "500 each, and a spread of 22"


@pytest.mark.parametrize("place", [0, 49, 50])
def test_a_sum_that_was_changed_is_spoiled(place: int) -> None:
    alphas = powers(secrets.randbelow(P - 2) + 1, 50)
    total = with_check(read_table([7] * 50), alphas)
    assert check_sum(total, alphas, 1) == [7] * 50
    total[place] += np.uint64(1)
    with pytest.raises(TrustError, match="sum-spoiled"):
        check_sum(total, alphas, 1)


def test_a_sum_larger_than_all_tables_can_be_is_spoiled() -> None:
    alphas = powers(3, 1)
    total = with_check(_vector([2 * MAX_CELL + 1]), alphas)
    with pytest.raises(TrustError, match="sum-spoiled"):
        check_sum(total, alphas, 2)


@pytest.mark.parametrize("value", [-1, MAX_CELL + 1, 2**64])
def test_a_cell_out_of_range_is_refused_without_its_value(value: int) -> None:
    with pytest.raises(InputRefused, match="share-cell-range") as caught:
        read_table([0, value])
    assert str(value) not in f"{caught.value} {caught.value.text} {caught.value.params}"


@pytest.mark.parametrize(
    ("data", "code"),
    [(bytes(15), "share-length"), (bytes(24), "share-length"), (bytes(8) + P.to_bytes(8, "little"), "share-range")],
)
def test_a_share_that_is_none_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(TrustError, match=code):
        from_bytes(data, 2)


def test_a_copied_machine_with_a_broken_generator_repeats_no_seed_for_another_table() -> None:
    broken = bytes(32)
    seeds = {
        new_seed(b"node", context, read_table([value]), broken) for context in (b"may", b"june") for value in range(3)
    }
    assert len(seeds) == 6
