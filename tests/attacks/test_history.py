"""Everything a college ever published, pooled: what one release holds back, another must not give away.

Each attack has its control: the same attacker on releases that were each protected for themselves finds cells.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from federation.catalogue import dims_key, load_catalogue
from federation.disclosure import Cell, Link, Relation, protect
from federation.documents import read_object
from federation.errors import InputRefused
from federation.periods import read_period
from node.context import Node
from node.db import last_number
from node.indicators.compute import compute_figures, load_figures
from node.indicators.drafting import Order, draft_contents
from node.indicators.gate import counts_of
from node.indicators.past import list_published
from node.stream.service import read_content
from tests.attacks.attacker import narrow_by_program
from tests.attacks.colleges import college
from tests.attacks.pooling import NARROW, Name, Pool
from tests.releases.conftest import Office, open_office, roster_text

PERIODS = ("2025-07", "2025-08", "2025-09", "2025-Q3", "2025U")
Content = dict[str, Any]


def roster(persons: int, seed: int, *, joined: int = 0, left: int = 0, rose: int = 0) -> str:
    """Return a roster, and how it is after so many joined, left and became associate professors."""
    head, *lines = roster_text(persons, seed).splitlines()
    rows = [line.split(",") for line in lines]
    members = [row for row in rows if row[9] == "是"]
    rows = [row for row in rows if row not in members[:left]]
    for row in [row for row in members[left:] if row[4] == "讲师"][:rose]:
        row[4] = "副教授"
    newcomer = "女,1996-05-11,助教,硕士,专任教师,在编,在职,是,2025-09-03,"
    rows += [[f"9{number:03d}", f"新{number}", *newcomer.split(",")] for number in range(joined)]
    return "\n".join([head, *(",".join(row) for row in rows)])


@pytest.fixture
def make_office(make_node: Callable[..., Node]) -> Callable[..., Office]:
    def make(persons: int, seed: int, **moves: int) -> Office:
        office = open_office(replace(make_node(), secret=b"a key that ties the same way in each run"))
        office.load(roster(persons, seed))
        office.load(roster(persons, seed, **moves), date(2025, 9, 10))
        return office

    return make


def each_for_itself(office: Office, periods: Sequence[str]) -> list[Content]:
    """Return what the node would publish if every release were protected for itself."""
    node, found = office.node, []
    with node.database.write() as session:
        for label in periods:
            period, known_at = read_period(label), last_number(session, "data")
            figures = load_figures(session, compute_figures(session, period, known_at, node.clock()))
            drafts = draft_contents(session, node, load_catalogue(), period, figures, (), Order(known_at))
            found += [read_object(draft.content) for draft in drafts.values()]
    return found


def published(office: Office, periods: Sequence[str]) -> list[Content]:
    """Publish the periods one after the other; return what anybody may then read."""
    for label in periods:
        office.approve(office.prepare(label))
    with office.node.database.read() as session:
        return [read_content(record) for record in list_published(session, office.node)]


@pytest.mark.parametrize(("persons", "seed"), [(60, 4), (150, 2)])
def test_months_quarter_and_year_together_give_no_cell_away(
    make_office: Callable[..., Office], persons: int, seed: int, attack: Callable[..., None]
) -> None:
    """A stock of one day stands in all three; who joined and who left ties it to the one before."""
    office = make_office(persons, seed, joined=1, left=1, rose=1)
    periods = PERIODS if persons == 150 else PERIODS[2:]
    alone = Pool(each_for_itself(office, periods)).pinned()
    pooled = Pool(published(office, periods)).pinned()
    attack("all releases of a college", product=f"{len(pooled)} cells", control=f"{len(alone)} cells, each for itself")
    assert pooled == {}
    assert len(alone) > 20, "the attack works"


def test_stocks_do_not_tell_the_one_who_joined_nor_a_month_the_small_cells_of_the_month_before(
    make_office: Callable[..., Office], attack: Callable[..., None]
) -> None:
    """Nobody left, so what the stock grew by joined; and who guesses that little moved reads last month off this."""
    office = make_office(150, 2, joined=1, rose=1)
    alone = each_for_itself(office, ("2025-08", "2025-09"))
    together = published(office, ("2025-08", "2025-09"))
    assert Pool(alone).pinned()["2025-09", "MEM_JOIN_CNT", ""] == (1, 1), "the attack works"
    assert Pool(together).pinned() == {}
    before, now = guessed(office, alone), guessed(office, together)
    attack(
        "two months, and the guess that little moved",
        product=f"the joiner hidden, {len(now)} cells guessed",
        control=f"the joiner, {len(before)} cells guessed",
    )
    assert len(before) > 2, "so does this one"
    assert now == []


def guessed(office: Office, contents: list[Content]) -> list[Name]:
    """Return the small cells of August that September lets somebody guess within less than three persons."""
    [before, after] = [Pool([item for item in contents if item["period"] == label]) for label in ("2025-08", "2025-09")]
    now = {name[1:]: value for name, value in after.fixed.items()}
    guess = {
        name: (max(now[name[1:]] - 1, 0), now[name[1:]] + 1)
        for name in before.unknown
        if name[1] == "MEM_CNT" and name[1:] in now
    }
    then = truth(office, "2025-08")
    right = {name: span for name, span in guess.items() if span[0] <= then[name[1:]] <= span[1]}
    ranges = before.ranges(right)
    return [name for name, (low, high) in ranges.items() if 0 < then[name[1:]] < 5 and high - low < NARROW - 1e-6]


def truth(office: Office, label: str) -> dict[tuple[str, str], int]:
    with office.node.database.write() as session:
        known_at = last_number(session, "data")
        return counts_of(
            load_figures(session, compute_figures(session, read_period(label), known_at, office.node.clock()))
        )


def differences(contents: list[Content]) -> list[int]:
    """Return by how much the cells differ that two revisions both publish, totals left aside."""
    first, second = (
        {
            (told["indicator"], dims_key(told["dims"])): told["value"]
            for content in contents
            if content["reason"] == reason
            for told in content["observations"]
            if told["dims"] and "value" in told
        }
        for reason in ("", "更正")
    )
    return [second[name] - first[name] for name in first.keys() & second.keys() if first[name] != second[name]]


def test_a_correction_of_one_person_is_refused_or_made_coarse(
    make_office: Callable[..., Office], attack: Callable[..., None]
) -> None:
    office = make_office(300, 2)
    published(office, ["2025U"])
    rows = roster(300, 2).splitlines()
    place = next(n for n, row in enumerate(rows) if ",讲师," in row and row.split(",")[9] == "是")
    rows[place] = rows[place].replace(",讲师,", ",教授,")
    office.load("\n".join(rows), date(2025, 9, 10))
    with pytest.raises(InputRefused, match="difference-tells") as refused:
        office.prepare("2025U", reason="更正")
    assert {"MEM_STAFF_CNT T", "MEM_CNT T"} <= {*refused.value.params["tables"]}
    office.approve(office.prepare("2025U", reason="更正", coarser=True))
    with office.node.database.read() as session:
        contents = [read_content(record) for record in list_published(session, office.node)]
    assert differences(contents) == []
    bare = [content for content in contents if content["reason"] == ""]
    bare += [content | {"reason": "更正"} for content in each_for_itself(office, ["2025U"])]
    moved = differences(bare)
    attack("both revisions", product="0 cells differ", control=f"{len(moved)} cells differ by one person")
    assert sorted(set(moved)) == [-1, 1], "two revisions that were each protected for itself tell"


@pytest.mark.parametrize(("size", "seed"), [(25, 2), (120, 4)])
def test_who_knows_two_persons_of_each_cell_learns_nothing_of_the_others(
    size: int, seed: int, attack: Callable[..., None]
) -> None:
    system = college(size, seed)
    withheld = set(protect(*system, b"k", insiders=2).withheld)
    for known in (0, 1, 2):
        assert narrow_by_program(*system, withheld, known) == ([], [])
    exact, narrow = narrow_by_program(*system, set(protect(*system, b"k").withheld), 2)
    attack(
        "one release, and two persons of each cell by name",
        product="0 cells",
        control=f"{len(exact) + len(narrow)} cells, where only strangers were thought of",
    )
    assert len(exact) + len(narrow) > 40, "what holds against a stranger falls to an insider"


def test_the_past_stays_closed_and_what_it_opens_by_itself_asks_for_nothing() -> None:
    """Last time 3 and 12 were withheld in a row of 30; now 12 is as it was and 3 has grown to 6."""

    def row(name: str, counts: Sequence[int], past: Sequence[str]) -> list[Cell]:
        total = Cell((name, ""), sum(counts), 0, past="published" if any(past) else "", weight=100)
        return [total, *(Cell((name, str(n)), c, 5, past=p) for n, (c, p) in enumerate(zip(counts, past, strict=True)))]

    def related(name: str) -> Relation:
        return Relation((name, ""), tuple((name, str(n)) for n in range(3)))

    old = row("old", (3, 12, 15), ("held", "held", "published"))
    new = row("new", (6, 12, 15), ("", "", ""))
    loose = [Link((("new", str(n)),), (("old", str(n)),), 3 if n == 0 else 1, loose=True) for n in range(2)]
    relations = [related("old"), related("new")]
    assert not protect([*old, *new], relations, b"k").withheld, "without the link nothing stays back"
    found = protect([*old, *new], relations, b"k", loose)
    assert set(found.withheld) >= {("new", "1")}
    assert found.lost == ()
    bare = row("old", (3, 12, 15), ("held", "published", "published"))  # somebody's mistake, long ago
    found = protect([*bare, *new], relations, b"k", loose[:1])
    assert (found.lost, found.withheld) == ((("old", "0"),), {})
