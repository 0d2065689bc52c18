"""Which totals may be opened: the traps of linked totals, and a search by brute force that shares no code."""

import random
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import pytest

from federation.disclosure import protect
from federation.openable import Candidate, find_openable
from tests.attacks.colleges import nine_universities

ALL = frozenset("abcdefghi")
MODULUS = 2**61 - 1
Relations = Sequence[tuple[Any, Sequence[Any]]]


def _reduce(row: dict[int, int], echelon: dict[int, dict[int, int]]) -> dict[int, int]:
    """Take the echelon's rows off a sparse row (column -> value modulo MODULUS) until none fits its first column."""
    while row and min(row) in echelon:
        lead = min(row)
        factor = row[lead]
        for column, value in echelon[lead].items():
            row[column] = (row.get(column, 0) - factor * value) % MODULUS
            if not row[column]:
                del row[column]
    return row


def _echelon(rows: list[dict[int, int]]) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for row in rows:
        left = _reduce(dict(row), found)
        if left:
            lead = min(left)
            inverse = pow(left[lead], -1, MODULUS)
            found[lead] = {column: value * inverse % MODULUS for column, value in left.items()}
    return found


def _is_in(place: int, echelon: dict[int, dict[int, int]]) -> bool:
    return not _reduce({place: 1}, echelon)


def finds_one(
    candidates: list[Candidate], relations: Relations, withheld: dict[str, set[Any]], known: tuple[str, ...] = ()
) -> bool:
    """Tell whether the totals, with all relations and the cells of `known` colluders, fix one node's cell exactly."""
    places = {(node, cell): n for n, (node, cell) in enumerate(
        (node, cell) for node, cells in withheld.items() if node not in known for cell in sorted(cells))}  # fmt: skip
    own = [
        {
            places[node, cell]: sign % MODULUS
            for cell, sign in ((total, 1), *((part, -1) for part in parts))
            if (node, cell) in places
        }
        for node in withheld
        for total, parts in relations
    ]
    rows = [{places[n, item.cell]: 1 for n in item.nodes if (n, item.cell) in places} for item in candidates]
    before, after = _echelon(own), _echelon(own + rows)
    return any(_is_in(place, after) and not _is_in(place, before) for place in places.values())


def test_four_sets_that_differ_by_three_or_four_give_one_node_exactly(attack: Callable[..., None]) -> None:
    """(T1 - T2 - T3 + T4) / 2 is node c; each pair of sets differs by 3 or 4."""
    sets = [ALL, ALL - set("abc"), ALL - set("cde"), ALL - set("abde")]
    candidates = [Candidate("x", nodes) for nodes in sets]
    withheld = {node: {"x"} for node in ALL}
    assert all(3 <= len(one ^ other) <= 4 for one, other in combinations(sets, 2)), "the rule of differences is content"
    assert finds_one(candidates, [], withheld), "the attack works"
    opened = find_openable(candidates, [], withheld)
    assert 0 < len(opened) < 4
    assert not finds_one(opened, [], withheld)
    attack(
        "every total that is opened",
        product=f"no node, of {len(opened)} totals opened",
        control="node c exactly, under the rule that sets differ by three",
    )


def test_two_tables_that_share_a_margin_are_one_problem() -> None:
    """Every node publishes its margin, one node its titles too: its genders hide only among those of four nodes."""
    relations = [("all", ("f", "m")), ("all", ("prof", "other"))]
    withheld = {node: {"f", "m", "prof", "other"} for node in ALL}
    withheld["a"] = {"f", "m"}
    candidates = [Candidate(cell, ALL) for cell in ("all", "f", "m", "prof", "other")]
    assert find_openable(candidates, relations, withheld) == candidates
    lonely = {node: {"f", "m"} if node == "a" else set() for node in ALL}
    assert find_openable(candidates, relations, lonely) == [candidates[0], *candidates[3:]]


def test_what_every_node_publishes_is_opened() -> None:
    candidates = [Candidate("x", ALL), Candidate("x", ALL - {"a"})]
    assert find_openable(candidates, [], {node: set() for node in ALL}) == candidates


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_total_withheld_by_a_few_is_not_opened(count: int) -> None:
    withheld = {node: {"x"} if place < count else set() for place, node in enumerate(sorted(ALL))}
    assert find_openable([Candidate("x", ALL)], [], withheld) == []


def test_a_companion_fixed_by_the_nodes_own_margin_does_not_hide_it() -> None:
    """Three withhold x, a fourth too; but the fourth's x follows from its own margin, so only three are mixed."""
    relations = [("sum", ("x", "y"))]
    withheld = {node: {"x", "y"} if node in "abc" else set() for node in ALL} | {"d": {"x"}}
    assert find_openable([Candidate("x", ALL)], relations, withheld) == []
    withheld["d"] = {"x", "y"}
    assert find_openable([Candidate("x", ALL)], relations, withheld) == [Candidate("x", ALL)]


def test_nine_universities(attack: Callable[..., None]) -> None:
    """Each release holds for itself; all totals together help two colluders, those that may be opened do not."""
    systems = nine_universities(4)
    cells = sorted({cell.key[1:] for cell in systems["osu"][0]})
    relations = [(r.total[1:], [part[1:] for part in r.parts]) for r in systems["osu"][1]]
    withheld = {name: {key[1:] for key in protect(*found, name.encode()).withheld} for name, found in systems.items()}
    candidates = [Candidate(cell, frozenset(systems)) for cell in cells]
    pairs = list(combinations(systems, 2))
    broken = sum(finds_one(candidates, relations, withheld, pair) for pair in pairs)
    assert broken
    opened = find_openable(candidates, relations, withheld)
    attack(
        "all releases of nine real universities, all totals, two colluding colleges",
        product=f"0 of {len(pairs)} pairs learn of a third, {len(opened)} of {len(cells)} totals opened",
        control=f"{broken} pairs, where all totals are opened",
    )
    assert len(opened) > 1
    assert not any(finds_one(opened, relations, withheld, pair) for pair in pairs)


@pytest.mark.parametrize("seed", range(12))
def test_no_two_colluders_find_a_third(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  a seed that can be repeated
    nodes = [f"n{number}" for number in range(chance.choice([6, 8]))]
    relations = [("t", ("a", "b", "c")), ("u", ("a", "d"))][: chance.randint(0, 2)]
    cells = ["a", "b", "c", "d", "t", "u"]
    share = chance.choice([0.4, 0.7, 0.9])
    withheld = {node: {cell for cell in cells if chance.random() < share} for node in nodes}
    sets = [frozenset(nodes), frozenset(nodes[: len(nodes) // 2]), frozenset(nodes[1:])]
    candidates = [Candidate(cell, chosen) for cell in cells for chosen in sets if chance.random() < 0.7]
    opened = find_openable(candidates, relations, withheld)
    for pair in [(), *combinations(nodes, 2)]:
        assert not finds_one(opened, relations, withheld, pair)
