"""The gate against attackers who were not told how it works, and against bare thresholds, which they break."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from federation.disclosure import PROTECTS, TOO_SMALL, Cell, Key, Relation, find_exact, protect
from federation.errors import InputRefused
from tests.attacks.attacker import narrow_by_program, possible_tables, worth_protecting
from tests.attacks.colleges import System, college, cross, nine_universities

KEY = b"a secret of this node"


def thresholds(cells: Sequence[Cell]) -> set[Key]:
    """What a node without the gate would withhold: its small cells, and nothing else."""
    return {cell.key for cell in cells if cell.public and cell.is_small}


def small_sums(system: System, withheld: set[Key]) -> list[Relation]:
    """Return the relations whose published cells give away a small sum that no published decision covers."""
    cells = {cell.key: cell for cell in system[0]}
    found = []
    for relation in system[1]:
        hidden = [key for key in relation.parts if not cells[key].public or key in withheld]
        if not cells[relation.total].public or relation.total in withheld or not hidden:
            continue
        if len(hidden) == len(relation.parts) and cells[relation.total].minimum == 0:
            continue
        if 0 < sum(cells[key].persons for key in hidden) < max(cells[key].minimum for key in hidden):
            found.append(relation)
    return found


@pytest.mark.parametrize(("size", "seed"), [(8, 1), (25, 2), (25, 3), (120, 4), (900, 5)])
def test_no_withheld_cell_of_a_college_comes_back(size: int, seed: int) -> None:
    system = college(size, seed)
    protection = protect(*system, KEY)
    withheld = set(protection.withheld)
    assert thresholds(system[0]) <= withheld
    for floor in (0, 1):
        assert narrow_by_program(*system, withheld, floor) == ([], [])
    assert find_exact(*system, withheld) == []
    assert small_sums(system, withheld) == []
    exact, narrow = narrow_by_program(*system, thresholds(system[0]))
    assert len(exact) + len(narrow) > 10, "the same attack breaks bare thresholds"
    assert set(find_exact(*system, thresholds(system[0]))) >= {*exact, *narrow}


@pytest.mark.parametrize("titles", [3, 4])
def test_nine_universities_lose_most_cells_to_bare_thresholds_and_none_here(
    titles: int, attack: Callable[..., None]
) -> None:
    systems = nine_universities(titles)
    bare = [thresholds(system[0]) for system in systems.values()]
    exact = [len(narrow_by_program(*system, open_)[0]) for system, open_ in zip(systems.values(), bare, strict=True)]
    assert (sum(exact), sum(len(keys) for keys in bare)) == {3: (34, 46), 4: (25, 55)}[titles]
    attack(
        "titles by gender of nine real universities, a linear program",
        product="0 cells exact or narrow",
        control=f"{sum(exact)} of {sum(map(len, bare))} withheld cells exactly, with thresholds alone",
    )
    for name, system in systems.items():
        withheld = set(protect(*system, KEY).withheld)
        assert narrow_by_program(*system, withheld, 1) == ([], []), name
        assert small_sums(system, withheld) == [], name


@st.composite
def tables(draw: st.DrawFn) -> System:
    """Return a cross table with margins, perhaps a part of each cell and its complement beside it."""
    rows, columns = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    counts = [[draw(st.sampled_from((0, 0, 1, 2, 3, 4, 5, 6, 9, 30))) for _ in range(columns)] for _ in range(rows)]
    minimum = draw(st.sampled_from((5, 5, 10)))
    system = cross("A", counts, minimum=minimum)
    if draw(st.booleans()):
        parts = [[draw(st.integers(0, count)) for count in row] for row in counts]
        rest = [[count - part for count, part in zip(*pair, strict=True)] for pair in zip(counts, parts, strict=True)]
        part, complement = (
            cross("B", parts, minimum=minimum),
            cross("C", rest, minimum=minimum, public=draw(st.booleans())),
        )
        links = [Relation(cell.key, (("B", *cell.key[1:]), ("C", *cell.key[1:]))) for cell in system[0]]
        system = [*system[0], *part[0], *complement[0]], [*system[1], *part[1], *complement[1], *links]
    return system


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.binary(min_size=1, max_size=8))
@example(cross("A", [[1, 0], [0, 0]]), b"k")
@example(cross("A", [[0, 0], [0, 0]]), b"k")
@example(cross("A", [[1, 9, 9], [9, 9, 9], [9, 9, 9]]), b"k")
def test_no_linked_table_gives_a_cell_away(system: System, key: bytes) -> None:
    protection = protect(*system, key)
    withheld = set(protection.withheld)
    assert thresholds(system[0]) <= withheld
    assert narrow_by_program(*system, withheld, 1) == ([], [])
    assert small_sums(system, withheld) == []
    for cell in system[0]:
        if cell.key in withheld:
            assert protection.withheld[cell.key] == (TOO_SMALL if cell.is_small else PROTECTS)
        if cell.key in protection.ranges:
            low, high = protection.ranges[cell.key]
            assert low <= cell.persons <= (cell.persons if high is None else high)
    assert set(protection.ranges) == {cell.key for cell in system[0] if cell.key in withheld or not cell.public}


def test_bare_thresholds_fall_to_the_same_attack_on_random_tables() -> None:
    chance = random.Random(7)  # noqa: S311
    broken = 0
    for _ in range(40):
        system = cross("A", [[chance.choice((0, 1, 3, 6, 9, 30)) for _ in range(3)] for _ in range(3)])
        exact, narrow = narrow_by_program(*system, thresholds(system[0]))
        broken += bool(exact or narrow)
    assert broken >= 30


def test_whole_tables_stay_possible_at_both_ends() -> None:
    """Fractions are not persons: list all tables of whole numbers and look at what is left to each cell."""
    chance = random.Random(11)  # noqa: S311
    for _ in range(25):
        system = cross("A", [[chance.choice((0, 1, 2, 3, 6, 8)) for _ in range(3)] for _ in range(3)], total_minimum=0)
        withheld = set(protect(*system, KEY).withheld)
        if ("A", "", "") in withheld:
            continue  # then nothing bounds the table
        found = list(possible_tables(*system, withheld))
        assert {cell.key: cell.persons for cell in system[0]} in found
        for cell in worth_protecting(system[0], withheld):
            counts = {table[cell.key] for table in found}
            assert max(counts) - min(counts) >= cell.minimum - 2


def test_order_of_input_and_repetition_change_nothing() -> None:
    cells, relations = college(60, 8)
    first = protect(cells, relations, KEY)
    chance = random.Random(1)  # noqa: S311
    for _ in range(3):
        chance.shuffle(cells)
        chance.shuffle(relations)
        mixed = [Relation(relation.total, relation.parts[::-1]) for relation in relations]
        assert protect(cells, [*mixed, mixed[0]], KEY) == first
    assert list(first.withheld) == sorted(first.withheld)


def test_another_process_answers_the_same() -> None:
    code = (
        "import json; from tests.attacks.colleges import college; from federation.disclosure import protect;"
        f"print(json.dumps(list(protect(*college(60, 8), {KEY!r}).withheld)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [tuple(key) for key in json.loads(run.stdout)] == list(protect(*college(60, 8), KEY).withheld)


def test_the_key_breaks_ties() -> None:
    system = cross("A", [[1, 9, 9, 9], [9, 9, 9, 9], [9, 9, 9, 9]])
    answers = {tuple(protect(*system, bytes([n])).withheld) for n in range(20)}
    assert len(answers) > 5
    assert {len(answer) for answer in answers} == {4}, "a rectangle is enough, whichever"


def test_the_choice_of_companions_does_not_see_what_they_count() -> None:
    """Numbers that are large enough in any case may change without the pattern changing."""
    patterns = {
        tuple(protect(*cross("A", [[1, n, n + 3], [n + 7, n, n + 1], [n, n + 2, n]]), KEY).withheld)
        for n in (9, 30, 500)
    }
    assert len(patterns) == 1


def test_zeros_and_large_cells_are_published_where_nothing_is_small() -> None:
    assert protect(*cross("A", [[0, 5, 0], [12, 0, 900]]), KEY).withheld == {}
    assert protect([], [], KEY).withheld == {}


def test_a_minimum_of_ten_hides_nine_and_leaves_room() -> None:
    system = cross("A", [[9, 40, 50], [30, 40, 50], [10, 70, 60]], minimum=10)
    protection = protect(*system, KEY)
    assert ("A", "0", "0") in protection.withheld
    assert narrow_by_program(*system, set(protection.withheld), 1) == ([], [])
    low, high = protection.ranges["A", "0", "0"]
    assert high is None or high - low >= 8


def test_known_cells_are_never_withheld_and_protect_nobody() -> None:
    cells, relations = cross("A", [[3, 0, 9], [9, 9, 9]])
    zero = ("A", "0", "1")
    cells = [Cell(c.key, c.persons, c.minimum, known=c.key == zero, weight=1 if c.key == zero else 50) for c in cells]
    withheld = protect(cells, relations, KEY).withheld
    assert zero not in withheld
    assert ("A", "0", "0") in withheld
    assert narrow_by_program(cells, relations, set(withheld), 1) == ([], [])


def test_the_parts_of_a_known_zero_are_known() -> None:
    total, parts = ("A", "total"), [("A", "x"), ("A", "y")]
    cells = [Cell(total, 0, 5, known=True), *(Cell(part, 0, 5) for part in parts)]
    other = [Cell(("B", "total"), 12, 0), Cell(("B", "x"), 3, 5), Cell(("B", "y"), 9, 5, weight=50)]
    relations = [Relation(total, tuple(parts)), Relation(("B", "total"), (("B", "x"), ("B", "y"), *parts))]
    assert set(protect([*cells, *other], relations, KEY).withheld) == {("B", "x"), ("B", "y")}


def test_what_is_public_by_decision_goes_last() -> None:
    by_decision = [Cell(("t",), 40, 0, weight=1), Cell(("a",), 3, 5), *(Cell((k,), 37, 5, weight=50) for k in "b")]
    assert set(protect(by_decision, [Relation(("t",), (("a",), ("b",)))], KEY).withheld) == {("a",), ("b",)}
    assert ("A", "", "") not in protect(*cross("A", [[2, 3], [4, 1]], total_minimum=0), KEY).withheld
    tiny = cross("A", [[1, 0], [0, 1]], total_minimum=0)
    assert ("A", "", "") in protect(*tiny, KEY).withheld, "two persons cannot hide behind their own number"


def test_a_small_complement_keeps_the_rate_back_though_nobody_publishes_it() -> None:
    cells = [Cell(("STAFF",), 40, 0, weight=1000), Cell(("ON",), 38, 5), Cell(("NON",), 2, 5, public=False)]
    relations = [Relation(("STAFF",), (("ON",), ("NON",)))]
    assert find_exact(cells, relations, set()) == [("NON",)]
    assert set(protect(cells, relations, KEY).withheld) == {("ON",)}
    exempt = [*cells[:2], Cell(("NON",), 2, 0, public=False)]
    assert protect(exempt, relations, KEY).withheld == {}


def test_a_sum_of_withheld_cells_is_not_small_itself() -> None:
    """Widths alone would be content with 4 and 0 behind a difference of 4."""
    cells = [Cell(("t",), 34, 0, weight=1000), Cell(("a",), 4, 5), Cell(("b",), 0, 5), Cell(("c",), 30, 5, weight=50)]
    system = cells, [Relation(("t",), (("a",), ("b",), ("c",)))]
    assert find_exact(*system, {("a",), ("b",)}) == []
    withheld = set(protect(*system, KEY).withheld)
    assert {("a",), ("c",)} <= withheld
    assert small_sums(system, withheld) == []


def test_a_zero_that_nobody_sees_is_no_company_for_four() -> None:
    cells = [Cell(("t",), 34, 0), Cell(("a",), 4, 5), Cell(("h",), 0, 5, public=False), Cell(("d",), 30, 5)]
    system = cells, [Relation(("t",), (("a",), ("h",), ("d",)))]
    assert find_exact(*system, {("a",)}) == []
    assert set(protect(*system, KEY).withheld) == {("a",), ("d",)}


def test_a_companion_makes_no_small_sum_in_its_other_relation() -> None:
    """x follows from two relations at once; c is its company, and 7 persons are few beside a minimum of ten."""
    cells = [Cell(("W",), 49, 0, weight=1000), Cell(("X",), 9, 5, public=False), Cell(("e",), 40, 5, weight=1000)]
    cells += [Cell(("x",), 2, 5, public=False), Cell(("c",), 7, 5)]
    cells += [Cell(("T",), 37, 0, weight=1000), Cell(("h",), 0, 10, public=False), Cell(("d",), 30, 5)]
    relations = [Relation(("W",), (("X",), ("e",))), Relation(("X",), (("x",), ("c",)))]
    system = cells, [*relations, Relation(("T",), (("h",), ("c",), ("d",)))]
    withheld = set(protect(*system, KEY).withheld)
    assert withheld == {("c",), ("d",)}
    assert small_sums(system, withheld) == []


@pytest.mark.parametrize(
    ("cells", "relations", "code"),
    [
        ([Cell(("a",), 1, 5), Cell(("a",), 1, 5)], [], "gate-cells"),
        ([Cell(("a",), -1, 5)], [], "gate-cells"),
        ([Cell((), 1, 5)], [], "gate-cells"),
        ([Cell(("a",), 1, 5)], [Relation(("a",), (("b",),))], "gate-relations"),
        ([Cell(("a",), 7, 5), Cell(("b",), 6, 5)], [Relation(("a",), (("b",),))], "gate-unbalanced"),
        ([Cell(("a",), 3, 5, known=True)], [], "gate-cannot-protect"),
        ([Cell(("a",), 3, 5), Cell(("b",), 3, 0, known=True)], [Relation(("b",), (("a",),))], "gate-cannot-protect"),
        (
            [Cell(("t",), 2, 0, known=True), Cell(("a",), 1, 5), Cell(("b",), 1, 5)],
            [Relation(("t",), (("a",), ("b",)))],
            "gate-cannot-protect",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_code(cells: list[Cell], relations: list[Relation], code: str) -> None:
    with pytest.raises(InputRefused) as caught:
        protect(cells, relations, KEY)
    assert caught.value.code == code
    assert not any(str(cell.persons) in caught.value.text.en for cell in cells if cell.persons > 0)


def test_a_release_is_protected_in_seconds_and_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    for size in (25, 900):
        system = college(size, 9)
        start = time.process_time()
        protect(*system, KEY)
        assert time.process_time() - start < 10, "two at most on a quiet machine"
    assert capfd.readouterr() == ("", ""), "standard output belongs to the command's JSON"


def test_what_is_shown_near_by_holds_against_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large releases are looked at block by block; here a small one is, and the attacker sees all of it."""
    monkeypatch.setattr("federation.outsider._LARGE", 0)
    cells, relations = college(120, 5)
    blocks = {"ON": ("ON", "STAFF", "MEM"), "NON": ("ON", "STAFF", "MEM"), "RET": ("ON", "STAFF", "MEM")}
    parted = [replace(cell, block=blocks.get(cell.key[0], (cell.key[0],))) for cell in cells]
    withheld = set(protect(parted, relations, b"k", insiders=2).withheld)
    for known in (0, 2):
        assert narrow_by_program(cells, relations, withheld, known) == ([], [])
    assert find_exact(parted, relations, withheld) == []
    bare = {cell.key for cell in cells if cell.public and cell.is_small}
    assert find_exact(parted, relations, bare) == find_exact(cells, relations, bare) != []
