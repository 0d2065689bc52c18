"""Noise that can be averaged away or subtracted is none: who has several answers, or two tables."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from statistics import fmean

from sqlmodel import Session, select

from federation.catalogue import load_catalogue
from federation.cellkey import perturb, possible_counts, record_key
from federation.errors import Conflict, InputRefused
from federation.periods import read_period
from federation.protection import PRIVACY, Choice, scale_of
from federation.publications import Name as Count
from node.context import Node
from node.indicators.budget import draw_noise, noise_of
from node.indicators.compute import compute_figures, load_figures
from node.indicators.models import Figure, Release
from node.indicators.noise import Frame, move_figures
from tests.attacks.pooling import NARROW, Name, Pool
from tests.attacks.test_history import published
from tests.releases.conftest import Office, open_office, roster_text
from tests.releases.test_noise import CELLS, agree, contents, without_contracts

MINIMUM = 5
ANSWERS = 400
DRAFTS = 100
SAME_DAY = ("2025-09", "2025-Q3", "2025U")


def keys_of(persons: int, secret: bytes) -> list[int]:
    return [record_key(secret, f"p{number}") for number in range(persons)]


def test_repeated_answers_about_the_same_persons_are_not_averaged(attack: Callable[..., None]) -> None:
    dice = random.Random(5)  # noqa: S311  a test's dice
    keys = keys_of(4000, b"secret")
    cells = [dice.sample(keys, dice.randint(1, 60)) for _ in range(60)]
    once = [fmean(perturb(len(cell), sum(cell), MINIMUM) for _ in range(ANSWERS)) for cell in cells]
    anew = [fmean(perturb(len(cell), dice.getrandbits(64), MINIMUM) for _ in range(ANSWERS)) for cell in cells]
    found, control = (sum(round(mean) == len(cell) for mean, cell in zip(means, cells, strict=True))
                      for means in (once, anew))  # fmt: skip
    attack(
        f"{ANSWERS} answers about each of {len(cells)} cells, and their mean",
        product=f"{found} cells right, as often as one answer is",
        control=f"{control} cells right, where each answer has noise of its own",
    )
    assert found < 25
    assert control == len(cells)


def test_a_table_with_and_without_one_person_does_not_tell_by_how_many_it_moved(attack: Callable[..., None]) -> None:
    keys = keys_of(4000, b"secret")
    by_persons = by_name = 0
    for number in range(300):
        cell = keys[number * 7 : number * 7 + 12 + number % 20]
        more, name = [*cell, keys[-1 - number]], record_key(b"secret", f"cell {number}")
        by_persons += perturb(len(more), sum(more), MINIMUM) - perturb(len(cell), sum(cell), MINIMUM) == 1
        by_name += perturb(len(more), name, MINIMUM) - perturb(len(cell), name, MINIMUM) == 1
    attack(
        "300 cells with and without one person, and their difference",
        product=f"{by_persons} of 300 differ by one; that somebody moved is seen, by how many is not",
        control=f"{by_name} of 300 differ by one, where the noise hangs on the cell's name",
    )
    assert by_persons < 75
    assert by_name > 290


def test_a_correction_of_one_person_is_refused_under_noise_too(
    make_node: Callable[..., Node], attack: Callable[..., None]
) -> None:
    office = open_office(make_node())
    text = without_contracts(roster_text(60, seed=2))
    office.load(text)
    agree(office, CELLS)
    office.approve(office.prepare())
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if "副教授" in line)
    office.load("\n".join(line.replace("副教授", "教授") if n == place else line for n, line in enumerate(lines)))
    with suppress(Conflict):  # where the title's table stays back already there is nothing to correct
        office.approve(_corrected(office))
    before, *after = [
        {(told["indicator"], *told["dims"].items()): told.get("value") for told in content["observations"]}
        for content in contents(office)
        if content["dataflow"] == "MEM.all"
    ]
    pairs = [(before[name], told[name]) for told in after for name in told]
    seen = [pair for pair in pairs if None not in pair and pair[0] != pair[1]]
    with office.node.database.write() as session:
        nodes = [replace(office.node, secret=secret * 32) for secret in (b"a", b"b", b"c")]
        told = [(_told(session, node, 1), _told(session, node, 2)) for node in nodes]
    changed = {name for first, second in told for name in first if first[name] != second[name]}
    attack(
        "two revisions of one day with noise, of which one person's title differs",
        product=f"refused or coarser: {len(seen)} cells are seen to differ",
        control=f"{len(changed)} cells differ under three secrets, all of them by title: the person's",
    )
    assert not seen
    assert changed
    assert all("T=" in key for _, key in changed)


def _corrected(office: Office) -> Release:
    """Prepare a correction, coarser where it is refused."""
    try:
        return office.prepare(reason="职称更正")
    except InputRefused as error:
        if error.code != "difference-tells":
            raise
        return office.prepare(reason="职称更正", coarser=True)


def test_all_moved_figures_of_one_day_together_pin_no_count(
    make_node: Callable[..., Node], attack: Callable[..., None]
) -> None:
    office = open_office(make_node())
    office.load(without_contracts(roster_text(60, seed=4)))
    agree(office, CELLS)
    pool = Pool(published(office, SAME_DAY))
    wanted = {name for name in pool.bounds if name[1] == "MEM_CNT" and name[2].count("=") < 2}
    found = _pinned(pool, wanted)
    with office.node.database.read() as session:
        true = {(figure.indicator, figure.dims): figure for figure in session.exec(select(Figure)).all()}
    dice = random.Random(5)  # noqa: S311  a test's dice
    for name in wanted:
        count = int(true[name[1:]].value)
        lows, highs = zip(
            *(possible_counts(perturb(count, dice.getrandbits(64), MINIMUM), MINIMUM) for _ in range(12)), strict=True
        )
        pool.bounds[name] = max(lows), min(highs)
    control = _pinned(pool, wanted)
    attack(
        "month, quarter and year that end on one day, with their bounds, and a linear program",
        product=f"{found} counts of somebody pinned or narrow",
        control=f"{control}, where each of twelve answers has noise of its own",
    )
    assert not found
    assert control


def _pinned(pool: Pool, wanted: set[Name]) -> int:
    """Return how many counts of somebody are left less than the width that a small one is owed."""
    found = pool.ranges(moved=wanted)
    return sum(low > 0 and high - low < NARROW for name, (low, high) in found.items() if name in wanted)


def test_drafts_and_revisions_do_not_average_the_noise_that_was_paid_for(
    make_node: Callable[..., Node], attack: Callable[..., None]
) -> None:
    office = open_office(make_node())
    catalogue, period, choice = load_catalogue(), read_period("2025U"), Choice(PRIVACY, Decimal(41))
    with office.node.database.write() as session:
        drafts, again, next_one = (
            noise_of(session, catalogue, "MEM.all", period, revision, choice, office.node.clock())
            for revision in (1, 1, 2)
        )
    scale = scale_of(catalogue, "MEM.all", "A", choice.epsilon)
    anew = [draw_noise(len(drafts), scale) for _ in range(DRAFTS)]
    averaged = sum(round(fmean(values)) == 0 for values in zip(*anew, strict=True))
    same = sum(value == 0 for value in drafts.values())
    attack(
        f"{DRAFTS} drafts of one release, and their mean",
        product=f"{same} of {len(drafts)} counts right, as often as one draft is",
        control=f"{averaged} right, where each draft has noise of its own",
    )
    assert drafts == again
    assert averaged > 0.98 * len(drafts)
    assert same < 0.7 * len(drafts)
    twins = random.Random(7), random.Random(7)  # noqa: S311  a generator that gives the same bytes again
    stuck = sum(twins[0].gauss(0, scale) == twins[1].gauss(0, scale) for _ in drafts)
    moved = sum(drafts[name] == next_one[name] for name in drafts)
    attack(
        "two revisions, whose difference is that of their counts where the noise is the same",
        product=f"{moved} of {len(drafts)} cells have the same noise, by chance",
        control=f"{stuck}, where the generator gives the same again",
    )
    assert moved < 0.7 * len(drafts)
    assert stuck == len(drafts)


def _told(session: Session, node: Node, known_at: int) -> Mapping[Count, int]:
    """Return what would be told of a change of data if nobody asked what is public already."""
    period, catalogue = read_period("2025U"), load_catalogue()
    figures = load_figures(session, compute_figures(session, period, known_at, node.clock()))
    return move_figures(session, node, catalogue, Frame(period, known_at, 1, {"S1": 5, "S2": 10}), figures)[
        "MEM.all"
    ].told
