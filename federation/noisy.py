"""Figures that were moved by chance, held against everything that is public beside them.

A moved figure leaves its count between two bounds. Together with margins, other periods and what is published exactly,
bounds can leave less than they seem to: many months of one stable cell, or a total and its parts that were moved apart.
So each is held to the width of its class like a withheld count, and the moved figures that take it away stay back.
Which ones is decided by what hangs together, by no count: those in a row with the cell, and where none is left, all.
"""

from collections.abc import Collection

from federation.disclosure import PUBLISHED, Cell, Key
from federation.linkage import Problem
from federation.outsider import Outsider, Row


def find_narrowing(problem: Problem, new: str, withheld: Collection[Key], insiders: int = 0) -> set[Key]:
    """Return the moved figures of the release `new` that have to stay back beside the cells `withheld` already.

    What is narrow without any moved figure of it is for `disclosure`, and asks for nothing here.
    """
    moved = {cell.key for cell in problem.cells if cell.key[0] == new and cell.between is not None and not cell.known}
    if not moved:
        return set()
    rows = [{row.total, *row.parts} for row in problem.relations]
    rows += [{*row.left, *row.right} for row in problem.links if not row.loose]
    narrow, back = set(_narrow(problem, withheld, (), insiders)), set[Key]()
    lost = set(_narrow(problem, withheld, moved, insiders)) if narrow else set()
    while narrow := narrow - lost:
        near = {key for row in rows if not narrow.isdisjoint(row) for key in row} | narrow
        back |= (near & moved) - back or moved
        if back >= moved:
            break
        narrow = set(_narrow(problem, withheld, back, insiders))
    return back


def _narrow(problem: Problem, withheld: Collection[Key], back: Collection[Key], insiders: int) -> list[Key]:
    """Return the cells that are left too narrow a range when these moved figures stay back."""
    cells = problem.cells
    index = {cell.key: place for place, cell in enumerate(cells)}
    relations = [(index[row.total], [index[key] for key in row.parts]) for row in problem.relations]
    links: list[Row] = [
        ([index[key] for key in row.left], [index[key] for key in row.right], row.slack)
        for row in problem.links
        if not row.loose
    ]
    told = {
        place: cell.between for place, cell in enumerate(cells) if cell.between is not None and cell.key not in back
    }
    unknown = [place for place, cell in enumerate(cells) if _is_unknown(cell, withheld)]
    floors = [
        max(told.get(place, (0, None))[0], min(max(1, insiders), cell.persons) if cell.public else 0)
        for place, cell in enumerate(cells)
    ]
    ceilings = {place: high for place, (_, high) in told.items() if high is not None}
    outsider = Outsider([cell.persons for cell in cells], floors, relations, links, ceilings)
    outsider.withhold(unknown)
    return [
        cells[place].key
        for place in unknown
        if cells[place].minimum
        and (cells[place].is_small or cells[place].public or cells[place].between is not None)
        and outsider.find_binding(place, cells[place].width) is not None
    ]


def _is_unknown(cell: Cell, withheld: Collection[Key]) -> bool:
    if cell.known or cell.past == PUBLISHED:
        return False
    return not cell.public or bool(cell.past) or cell.key in withheld
