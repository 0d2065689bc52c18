"""Two attackers who know all relations and every published cell, built without the product's own program.

`narrow_by_program` solves a linear program of its own for each end of each range. `possible_tables` lists every table
of whole numbers, which is the most that anybody can know without replaying the choice. `floor` is what the attacker
holds a withheld cell to have at least: 0, or 1 for one who guesses that the node shows its zeros.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import highspy

from federation.disclosure import Cell, Key, Relation
from federation.programs import QuietSolver

INFINITY = float("inf")


def unpublished(cells: Sequence[Cell], withheld: Collection[Key]) -> list[Cell]:
    return [cell for cell in cells if not cell.known and (not cell.public or cell.key in withheld)]


def worth_protecting(cells: Sequence[Cell], withheld: Collection[Key]) -> list[Cell]:
    """Return the cells that nobody may pin: the withheld ones, and the never published ones that are small."""
    return [cell for cell in unpublished(cells, withheld) if cell.public or 0 < cell.persons < cell.minimum]


def _optimum(solver: QuietSolver, sense: highspy.ObjSense) -> float:
    """Solve; a hot start after an unbounded question may end nowhere, so such an end is looked at once more, cold."""
    for _ in range(2):
        solver.run()
        if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            return float(solver.getObjectiveValue())
        solver.clearSolver()
    assert sense == highspy.ObjSense.kMaximize, "every count has a floor"
    return float(INFINITY)


def ranges(
    cells: Sequence[Cell],
    relations: Sequence[Relation],
    withheld: Collection[Key],
    wanted: Sequence[Cell],
    floor: int = 0,
    known: Mapping[Key, tuple[float, float]] | None = None,
) -> dict[Key, tuple[float, float]]:
    """Return the lowest and highest whole number that the linear program leaves to each wanted cell.

    `known` are bounds that the attacker has from elsewhere.
    """
    open_cells = unpublished(cells, withheld)
    column = {cell.key: place for place, cell in enumerate(open_cells)}
    value = {cell.key: cell.persons for cell in cells}
    solver = QuietSolver()  # type: ignore[no-untyped-call]
    for cell in open_cells:
        usual = (float(min(floor, cell.persons)) if cell.public else 0.0, INFINITY)
        solver.addVar(*(known or {}).get(cell.key, usual))
    for relation in relations:
        terms = [(relation.total, 1.0), *((part, -1.0) for part in relation.parts)]
        right = -sum(sign * value[key] for key, sign in terms if key not in column)
        inside = [(column[key], sign) for key, sign in terms if key in column]
        if inside:
            solver.addRow(right, right, len(inside), [place for place, _ in inside], [sign for _, sign in inside])
    found: dict[Key, tuple[float, float]] = {}
    for cell in wanted:
        ends = []
        for sense in (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize):
            solver.changeColCost(column[cell.key], 1.0)
            solver.changeObjectiveSense(sense)
            ends.append(_optimum(solver, sense))
        solver.changeColCost(column[cell.key], 0.0)
        upper = ends[1] if ends[1] == INFINITY else math.floor(ends[1] + 1e-6)
        found[cell.key] = (math.ceil(ends[0] - 1e-6), upper)
    return found


def narrow_by_program(
    cells: Sequence[Cell], relations: Sequence[Relation], withheld: Collection[Key], floor: int = 0
) -> tuple[list[Key], list[Key]]:  # fmt: skip
    """Return the cells that come back exactly, and those left with a range that is too narrow."""
    wanted = worth_protecting(cells, withheld)
    found = ranges(cells, relations, withheld, wanted, floor)
    widths = [(cell, found[cell.key][1] - found[cell.key][0]) for cell in wanted]
    exact = [cell.key for cell, width in widths if width < 1]
    return exact, [cell.key for cell, width in widths if 1 <= width < cell.minimum - 2]


def possible_tables(
    cells: Sequence[Cell], relations: Sequence[Relation], withheld: Collection[Key]
) -> Iterator[dict[Key, int]]:
    """Yield every table of whole numbers that fits what is published; for small tables whose total is published."""
    hidden = {cell.key for cell in unpublished(cells, withheld)}
    pending = [{cell.key: cell.persons for cell in cells if cell.key not in hidden}]
    while pending:
        table = pending.pop()
        if not _complete(table, relations):
            continue
        gaps = [
            (table[r.total] - sum(table.get(part, 0) for part in r.parts), r) for r in relations if r.total in table
        ]
        choices = [(gap, [part for part in r.parts if part not in table]) for gap, r in gaps]
        smallest = min(((gap, missing[0]) for gap, missing in choices if missing), default=None)
        if smallest is None:
            yield table
        else:
            pending += [{**table, smallest[1]: count} for count in range(smallest[0] + 1)]


def _complete(table: dict[Key, int], relations: Sequence[Relation]) -> bool:
    """Fill in what follows from the table; tell whether it can still be one of counts."""
    before = -1
    while before < len(table):
        before = len(table)
        for relation in relations:
            missing = [key for key in (relation.total, *relation.parts) if key not in table]
            gap = table.get(relation.total, 0) - sum(table.get(part, 0) for part in relation.parts)
            if len(missing) == 1:
                table[missing[0]] = -gap if missing[0] == relation.total else gap
            elif (not missing and gap) or (relation.total in table and missing and gap < 0):
                return False
        if min(table.values()) < 0:
            return False
    return True
