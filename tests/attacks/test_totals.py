"""Totals over nine real universities, from their rosters: which are opened and published, and what they give away.

The attacker reads the nine releases and the published totals and knows how cells add up; his program is his own.
"""

import csv
import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pytest

from federation.catalogue import load_catalogue
from federation.disclosure import Cell, Key, Relation
from federation.documents import read_object
from federation.family import Layout, choose, find_family, lay_out, publish_totals, table_of
from federation.periods import period_of
from federation.publications import PUBLISHED, Name, Publication, read_publication
from node.context import Node
from node.db import last_number
from node.demo.real import WAVES, load_tables
from node.indicators.compute import compute_figures, load_figures
from node.indicators.drafting import Order, draft_contents
from node.indicators.gate import counts_of
from tests.attacks.attacker import ranges
from tests.releases.conftest import Office, open_office

CATALOGUE = load_catalogue()
STAFF = find_family("staff")
PERIOD = period_of(WAVES[-1], "A")
NARROW = 3


@pytest.fixture
def make_office(make_node: Callable[..., Node]) -> Callable[[str], Office]:
    return lambda name: open_office(replace(make_node(), secret=name.encode()))


def release(office: Office) -> tuple[Publication, dict[Name, int]]:
    """Return what a node publishes of the period, and all its counts."""
    node = office.node
    with node.database.write() as session:
        known_at = last_number(session, "data")
        figures = load_figures(session, compute_figures(session, PERIOD, known_at, node.clock()))
        drafts = draft_contents(session, node, CATALOGUE, PERIOD, figures, (), Order(known_at))
    contents = [read_object(draft.content) for draft in drafts.values()]
    return read_publication(CATALOGUE, contents, "r"), counts_of(figures)


@pytest.fixture
def universities(make_office: Callable[[str], Office]) -> dict[str, tuple[Publication, dict[Name, int]]]:
    found = {}
    for key, day, table in load_tables():
        if day == WAVES[-1]:
            known = [place for place, name in enumerate(table.header) if name not in ("取得博士年份", "是否系主任")]
            text = io.StringIO()
            csv.writer(text).writerows([row[place] for place in known] for row in (table.header, *table.rows))
            office = make_office(key)
            office.load(text.getvalue(), day)
            found[key] = release(office)
    return found


def found_out(layout: Layout, totals: Mapping[Name, int], released: Mapping[str, Publication],
              truth: Mapping[str, Mapping[Name, int]]) -> set[Key]:  # fmt: skip
    """Return the withheld cells of any node that the attacker knows to within less than three persons."""
    cells: list[Cell] = []
    relations: list[Relation] = []
    wanted = []
    for node, publication in released.items():
        statuses = publication.statuses or {}
        for name in layout.cells:
            public = statuses.get(name) == PUBLISHED
            cell = Cell((node, *name), truth[node][name], 5, public=public)
            cells.append(cell)
            wanted += [] if public else [cell]
        for total, parts in layout.relations:
            keys = [(node, *layout.cells[place]) for place in (total, *parts)]
            relations.append(Relation(keys[0], tuple(keys[1:])))
    for name, value in totals.items():
        cells.append(Cell(("total", *name), value, 0))
        relations.append(Relation(("total", *name), tuple((node, *name) for node in released)))
    left = ranges(cells, relations, (), wanted)
    return {key for key, (low, high) in left.items() if high - low < NARROW}


def add(cells: Collection[Name], truth: Mapping[str, Mapping[Name, int]]) -> dict[Name, int]:
    return {name: sum(counts[name] for counts in truth.values()) for name in cells}


def test_totals_of_nine_universities_are_exact_and_give_no_cell_of_any_away(
    universities: dict[str, tuple[Publication, dict[Name, int]]], attack: Callable[..., None]
) -> None:
    released = {node: publication for node, (publication, _) in universities.items()}
    truth = {node: counts for node, (_, counts) in universities.items()}
    whole = lay_out(CATALOGUE, STAFF, PERIOD)
    chosen = choose(whole, released)
    tables = [table_of(chosen, counts) for counts in truth.values()]
    opened = [sum(column) for column in zip(*tables, strict=True)]
    told = publish_totals(CATALOGUE, chosen, opened, released)
    statuses = [publication.statuses or {} for publication in released.values()]
    local = [name for name in whole.cells if all(found.get(name) == PUBLISHED for found in statuses)]

    assert told.published == add(told.published, truth), "error 0"
    assert {*told.published, *told.withheld} == set(chosen.cells)
    assert len(local) < len(told.published), "more than local suppression lets anybody add up"
    before = found_out(whole, add(local, truth), released, truth)
    naive = found_out(whole, add(whole.cells, truth), released, truth) - before
    product = found_out(whole, told.published, released, truth) - before
    attack(
        "nine releases and the totals over them",
        product=f"{len(product)} cells, of {len(told.published)} totals published",
        control=f"{len(naive)} cells, every total published",
    )
    assert len(naive) > 3, "the attack works"
    assert product == set()
