"""Moved figures against what stands beside them: bounds that narrow each other are found and stay back."""

from federation.disclosure import PUBLISHED, Cell, Link, Relation
from federation.linkage import Problem
from federation.noisy import find_narrowing

NEW, OLD = "new", "old"


def moved(release: str, name: str, persons: int, told: int, *, past: str = "") -> Cell:
    return Cell((release, name, ""), persons, 5, public=False, past=past, between=(max(told - 5, 0), told + 5))


def key(release: str, name: str) -> tuple[str, str, str]:
    return release, name, ""


def test_a_total_and_parts_that_were_moved_apart_stay_back_where_they_bound_each_other() -> None:
    relation = Relation(key(NEW, "all"), (key(NEW, "a"), key(NEW, "b")))
    near = Problem((moved(NEW, "all", 24, 24), moved(NEW, "a", 14, 14), moved(NEW, "b", 10, 10)), (relation,), ())
    assert find_narrowing(near, NEW, ()) == set()
    apart = Problem((moved(NEW, "all", 24, 29), moved(NEW, "a", 14, 9), moved(NEW, "b", 10, 5)), (relation,), ())
    assert find_narrowing(apart, NEW, ()), "29-5 = 9+5 + 5+5: there is one table that fits"


def test_months_of_a_cell_whose_flows_are_public_do_not_pin_it() -> None:
    """It is 20 after one joined; what was told before and is told now leaves one count between them."""

    def problem(before: int) -> Problem:
        cells = (
            moved(OLD, "stock", 19, before, past="moved"),
            Cell(key(NEW, "joins"), 1, 0, past=PUBLISHED),
            moved(NEW, "stock", 20, 25),
        )
        link = Link((key(NEW, "stock"),), (key(OLD, "stock"), key(NEW, "joins")))
        return Problem(cells, (), (link,))

    assert find_narrowing(problem(19), NEW, ()) == set()
    assert find_narrowing(problem(14), NEW, ()) == {key(NEW, "stock")}


def test_what_is_narrow_without_noise_asks_for_nothing() -> None:
    cells = (
        Cell(key(OLD, "whole"), 3, 0, past=PUBLISHED),
        moved(NEW, "a", 3, 0),
        Cell(key(OLD, "rest"), 0, 0, past=PUBLISHED),
    )
    link = Link((key(NEW, "a"), key(OLD, "rest")), (key(OLD, "whole"),))
    assert find_narrowing(Problem(cells, (), (link,)), NEW, ()) == set()


def test_a_withheld_exact_cell_is_not_given_away_by_a_moved_one() -> None:
    """A rest that is exact and withheld, of a public whole; its part is moved so that one count of it is left."""
    whole, rest = Cell(key(NEW, "whole"), 30, 0), Cell(key(NEW, "rest"), 4, 5)
    relation = Relation(whole.key, (key(NEW, "part"), rest.key))

    def back(low: int, high: int) -> set[tuple[str, ...]]:
        part = Cell(key(NEW, "part"), 26, 5, public=False, between=(low, high))
        return find_narrowing(Problem((whole, rest, part), (relation,), ()), NEW, {rest.key})

    assert back(21, 31) == set()
    assert back(25, 27) == {key(NEW, "part")}
