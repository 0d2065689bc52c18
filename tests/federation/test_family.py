"""A family's layout, what may be opened by flags alone, and what an opened total may say."""

from dataclasses import replace
from typing import Any

import pytest

from federation.catalogue import load_catalogue
from federation.errors import GonghuiError
from federation.family import TOO_SMALL, Family, choose, find_family, lay_out, load_families, publish_totals, table_of
from federation.periods import read_period
from federation.publications import HELD, PUBLISHED, Name, Publication

CATALOGUE = load_catalogue()
PERIOD = read_period("2025U")
GENDERS = ("1", "2", "9", "_U")
SMALL: Family = replace(find_family("staff"), tables={"MEM_STAFF_CNT": ((), ("G",))})
LEAST = {"S0": 0, "S1": 5, "S2": 10}


def node(men: int, women: int) -> dict[Name, int]:
    """Return the counts of a node whose staff are so many men and women."""
    counts = {("MEM_STAFF_CNT", ""): men + women}
    by_gender = zip(GENDERS, (men, women, 0, 0), strict=True)
    return counts | {("MEM_STAFF_CNT", f"G={code}"): count for code, count in by_gender}


def release(counts: dict[Name, int], held: str = "") -> Publication:
    """Return its release; the genders in `held` stay back."""
    statuses = {name: HELD if name[1][2:] and name[1][2:] in held else PUBLISHED for name in counts}
    told = {name: value for name, value in counts.items() if statuses[name] == PUBLISHED}
    tables = {"MEM_STAFF_CNT": frozenset({(), ("G",)})}
    return Publication("r", PERIOD, 1, LEAST, told, statuses, tables=tables)


def test_a_layout_names_each_cell_once_totals_first_and_its_digest_is_its_cells() -> None:
    for family in load_families().values():
        whole = lay_out(CATALOGUE, family, PERIOD)
        assert len(set(whole.cells)) == len(whole.cells) > 50
        depths = [name[1].count("=") for name in whole.cells]
        assert depths == sorted(depths)
        assert lay_out(CATALOGUE, family, PERIOD).digest == whole.digest
        assert whole.keep(whole.cells[1:]).digest != whole.digest
    small = lay_out(CATALOGUE, SMALL, PERIOD)
    assert small.relations == ((0, (1, 2, 3, 4)),)
    assert small.keep(small.cells[1:]).relations == ()


def test_a_table_that_lacks_a_figure_is_no_table() -> None:
    small = lay_out(CATALOGUE, SMALL, PERIOD)
    counts = node(7, 3)
    assert table_of(small, counts) == [10, 7, 3, 0, 0]
    del counts["MEM_STAFF_CNT", "G=2"]
    with pytest.raises(GonghuiError, match="family-incomplete"):
        table_of(small, counts)


@pytest.mark.parametrize(
    ("change", "period", "code"),
    [
        ({}, "2025-09", "family-period"),
        ({"tables": {"MEM_STAFF_CNT": (("G", "E"),)}}, "2025U", "family-table"),
        ({"tables": {"NO_SUCH": ((),)}}, "2025U", "indicator-unknown"),
    ],
)
def test_what_the_catalogue_does_not_release_is_not_added_up(change: dict[str, Any], period: str, code: str) -> None:
    with pytest.raises(GonghuiError, match=code):
        lay_out(CATALOGUE, replace(SMALL, **change), read_period(period))
    with pytest.raises(GonghuiError, match="family-unknown"):
        find_family("other")


def test_a_total_that_three_nodes_withhold_is_not_opened_and_one_that_four_do_is() -> None:
    small = lay_out(CATALOGUE, SMALL, PERIOD)
    tables = {f"n{number}": node(20 + number, 4) for number in range(7)}

    def opened(withheld: int) -> set[str]:
        held = {name: "12" if number < withheld else "" for number, name in enumerate(tables)}
        return {name[1] for name in choose(small, {name: release(tables[name], held[name]) for name in tables}).cells}

    assert opened(3) == {"", "G=9", "G=_U"}
    assert opened(4) == {"", "G=1", "G=2", "G=9", "G=_U"}


def test_a_small_total_stays_back_and_so_does_one_that_leaves_a_node_no_room() -> None:
    """Six nodes hide who of few are women; seven women in all leave each of them a range, none at all leaves none."""
    small = lay_out(CATALOGUE, SMALL, PERIOD)

    def published(women: list[int]) -> tuple[set[str], set[str]]:
        tables = {f"n{number}": node(30, count) for number, count in enumerate(women)}
        released = {name: release(counts, "12") for name, counts in tables.items()}
        chosen = choose(small, released)
        totals = [sum(column) for column in zip(*(table_of(chosen, item) for item in tables.values()), strict=True)]
        told = publish_totals(CATALOGUE, chosen, totals, released)
        return {name[1] for name in told.published}, {n[1] for n, why in told.withheld.items() if why == TOO_SMALL}

    assert published([2, 1, 1, 1, 1, 1]) == ({"", "G=1", "G=2", "G=9", "G=_U"}, set())
    shown, small_ones = published([1, 1, 1, 0, 0, 0])
    assert small_ones == {"G=2"}
    assert "G=1" not in shown, "what is left of the total is the small one"
    assert published([0, 0, 0, 0, 0, 0])[0] == {"", "G=9", "G=_U"}, "a total of nobody tells of every node"


def test_only_what_every_node_tells_of_is_added_up() -> None:
    small = lay_out(CATALOGUE, SMALL, PERIOD)
    told = release(node(20, 9))
    brief = replace(told, statuses={("MEM_STAFF_CNT", ""): PUBLISHED})
    assert choose(small, {"a": told, "b": brief}).cells == (("MEM_STAFF_CNT", ""),)
    with pytest.raises(GonghuiError, match="family-not-released"):
        choose(small, {"a": told, "b": replace(told, statuses={})})


def test_a_detail_that_is_not_added_up_still_ties_others() -> None:
    """Six nodes give away how many are men or women together; the seventh does not, because it tells nothing of G=9.

    So the totals of men and of women together tell of the seventh alone: only one of them is opened.
    """
    small = lay_out(CATALOGUE, SMALL, PERIOD)
    tables = {f"n{number}": release(node(20, 9), "12") for number in range(7)}
    whole = {name[1] for name in choose(small, tables).cells}
    assert {"G=1", "G=2", "G=9"} <= whole
    told = {name: status for name, status in (tables["n6"].statuses or {}).items() if name[1] != "G=9"}
    assert {name[1] for name in choose(small, {**tables, "n6": replace(tables["n6"], statuses=told)}).cells} == {
        "",
        "G=1",
        "G=_U",
    }


def test_totals_that_no_tables_fit_are_refused() -> None:
    small = lay_out(CATALOGUE, SMALL, PERIOD)
    released = {f"n{number}": release(node(20, 9)) for number in range(6)}
    with pytest.raises(GonghuiError, match="total-contradicts"):
        publish_totals(CATALOGUE, small, [6 * 29 + 1, 120, 54, 0, 0], released)
