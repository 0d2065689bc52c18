"""Figures that were moved by chance, held against everything that is public beside them.

A moved figure leaves its count between two bounds. Together with margins, other periods and what is published exactly,
bounds can leave less than they seem to: many months of one stable cell, or a total and its parts that were moved apart.
So each is held to the width of its class like a withheld count, also against somebody who knows a few persons of each
by name, and moved figures that take the width away stay back: of those whose bounds do, the cheapest, then by name.
"""

from collections.abc import Collection, Mapping

from federation.disclosure import PUBLISHED, Cell, Key
from federation.linkage import Problem
from federation.outsider import Outsider, Row


def find_narrowing(problem: Problem, new: str, withheld: Collection[Key], insiders: int = 0) -> set[Key]:
    """Return the moved figures of the release `new` that have to stay back beside the cells `withheld` already.

    What is narrow without any moved figure of it is for `disclosure`, and asks for nothing here.
    """
    cells = problem.cells
    moved = {
        place: _floor(cell, insiders)
        for place, cell in enumerate(cells)
        if cell.key[0] == new and cell.between is not None and _is_unknown(cell, withheld)
    }
    wanted = [place for place, cell in enumerate(cells) if _is_owed(cell) and _is_unknown(cell, withheld)]
    told = _outsider(problem, withheld, insiders)
    narrow = [place for place in wanted if told.find_binding(place, cells[place].width) is not None] if moved else []
    if not narrow:
        return set()
    silent = _outsider(problem, withheld, insiders)
    _loosen(silent, moved)
    back: dict[int, int] = {}
    for place in narrow:
        width = cells[place].width
        if silent.find_binding(place, width) is not None:
            continue
        while (binding := told.find_binding(place, width)) is not None:
            free = sorted((cells[i].weight, cells[i].key, i) for i in binding if i in moved and i not in back)
            more = {free[0][2]: moved[free[0][2]]} if free else moved
            _loosen(told, more)
            back |= more
    return {cells[place].key for place in back}


def _loosen(outsider: Outsider, floors: Mapping[int, int]) -> None:
    for place, floor in floors.items():
        outsider.loosen(place, floor)


def _floor(cell: Cell, insiders: int) -> int:
    """Return what an insider knows of a cell that was shown, or is shown but for this release's decision."""
    shown = cell.public or cell.between is not None
    return min(max(1, insiders), cell.persons) if shown else 0


def _is_owed(cell: Cell) -> bool:
    """Tell whether a cell may not be left narrow when it is unknown."""
    return bool(cell.minimum) and (cell.is_small or cell.public or cell.between is not None)


def _is_unknown(cell: Cell, withheld: Collection[Key]) -> bool:
    if cell.known or cell.past == PUBLISHED:
        return False
    return not cell.public or bool(cell.past) or cell.key in withheld


def _outsider(problem: Problem, withheld: Collection[Key], insiders: int) -> Outsider:
    """Return somebody who knows what is published and the bounds of every moved figure."""
    cells = problem.cells
    index = {cell.key: place for place, cell in enumerate(cells)}
    relations = [(index[row.total], [index[key] for key in row.parts]) for row in problem.relations]
    links: list[Row] = [
        ([index[key] for key in row.left], [index[key] for key in row.right], row.slack)
        for row in problem.links
        if not row.loose
    ]
    between = {place: cell.between for place, cell in enumerate(cells) if cell.between is not None}
    floors = [max(between.get(place, (0, None))[0], _floor(cell, insiders)) for place, cell in enumerate(cells)]
    ceilings = {place: high for place, (_, high) in between.items() if high is not None}
    outsider = Outsider([cell.persons for cell in cells], floors, relations, links, ceilings)
    outsider.withhold(place for place, cell in enumerate(cells) if _is_unknown(cell, withheld))
    return outsider
