"""What somebody who sees only the published cells can work out about the others.

Each solution of a linear program is a whole table that fits everything published, hence a witness for all unknown cells
at once, and so is each mixture of two: a cell is asked about only while the witnesses seen do not yet show enough room.
Most cells have their room near by: where many hang together a block is asked first (one table and its margins), then
with what it is part of, everything outside as it is, and the whole only where that is not enough.

Nothing here knows thresholds, indicators or reasons; `disclosure` decides with it. It counts persons, never rates.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import highspy

from federation.programs import EPSILON, Group, Problem, QuietSolver, Row, Scope

_LARGE = 300  # cells that hang together: fewer are asked about all at once
_ROUNDS = 4  # questions that look for room in many cells at once


class Outsider:
    """All cells and rows, which cells are unknown, and what was found out about them."""

    def __init__(
        self,
        values: Sequence[float],
        floors: Sequence[int],
        relations: Sequence[tuple[int, Sequence[int]]],
        links: Sequence[Row] = (),
        ceilings: Mapping[int, int] = MappingProxyType({}),
        *,
        blocks: Sequence[tuple[str, ...]] = (),
        never: Collection[int] = (),
    ) -> None:
        """Take counts and floors by cell, relations (total, parts) and links by index; all is published at first.

        `values` is any whole table that fits: the truth inside the node, what `find_point` found for a stranger.
        `ceilings` bound some cells where they are unknown. `blocks` says by cell where to look first: its own block,
        and the blocks above that may have to move with it. `never` are cells that nobody will publish.
        """
        self.unknown: set[int] = set()
        self.solved = 0
        rows = [*((((total,), parts, 0)) for total, parts in relations), *links]
        problem = Problem(values, list(floors), rows, dict(ceilings), never)
        self._problem = problem
        self._blocks = blocks
        self._whole = Scope(problem, self.unknown, [0] * len(values))
        labels = {block: place for place, block in enumerate(dict.fromkeys(names[0] for names in blocks if names))}
        self._near = [labels.get(names[0], -1) if names else -1 for names in blocks]
        first = Scope(problem, self.unknown, self._near) if len({*self._near}) > 1 else self._whole
        self._first = first
        self._above: dict[tuple[str, ...], Scope] = {}

    def _scopes(self) -> list[Scope]:
        """Return all that there are."""
        nearest = [] if self._first is self._whole else [self._first]
        return [*nearest, *self._above.values(), self._whole]

    def _scopes_of(self, cell: int, *, near: bool = False) -> list[Scope]:
        """Return where to look for a cell's room, the nearest first."""
        if self._first is self._whole or len(self._whole.group_of(cell).index) <= _LARGE:
            return [self._whole]
        found = [self._first]
        names = self._blocks[cell]
        if len(names) > 1:
            if names not in self._above:
                inside = [0 if mine and mine[0] in names else -place - 1 for place, mine in enumerate(self._blocks)]
                self._above[names] = Scope(self._problem, self.unknown, inside)
            found.append(self._above[names])
        return found if near else [*found, self._whole]

    def _groups_with(self, cell: int) -> list[Group]:
        """Return every program that has a cell: the nearest is made where there is none."""
        self._scopes_of(cell)[0].group_of(cell)
        return [found for scope in self._scopes() if (found := scope.find_group(cell))]

    def withhold(self, cells: Iterable[int]) -> None:
        """Make cells unknown. Witnesses stay witnesses: whoever knows less can exclude less."""
        for cell in cells:
            if cell not in self.unknown:
                self.unknown.add(cell)
                for scope in self._scopes():
                    scope.withhold(cell)

    def loosen(self, cell: int, floor: int) -> None:
        """Take from an unknown cell what was told of it: it has this floor and no ceiling from now on."""
        self._problem.floors[cell] = floor
        self._problem.ceilings.pop(cell, None)
        for scope in self._scopes():
            if group := scope.find_group(cell):
                group.widen(cell)

    def publish(self, cell: int, check: Mapping[int, int]) -> bool:
        """Make a cell known if each cell of `check` stays as wide as it says; else leave everything as it was."""
        groups = self._groups_with(cell)
        before = [group.fix(cell) for group in groups]
        self.unknown.discard(cell)
        suspects = dict.fromkeys(other for group in groups for other in group.narrow(check) if other != cell)
        if all(self.find_binding(other, check[other], near=True) is None for other in suspects):
            return True
        for group, seen in zip(groups, before, strict=True):
            group.free(cell, seen)
        self.unknown.add(cell)
        for scope in self._scopes():
            scope.forget_around(cell, groups)  # built while the cell was known
        return False

    def range_of(self, cell: int) -> tuple[int, int | None]:
        """Return the counts that witnesses have shown possible, rounded inward; None: no bound that says anything."""
        low, high = self._seen(cell)
        value = self._problem.values[cell]
        top = None if high >= self._problem.beyond // 2 else math.floor(value + high + EPSILON)
        return math.ceil(value + low - EPSILON), top

    def _seen(self, cell: int) -> tuple[float, float]:
        """Return by how much a cell can be lower and higher, as far as witnesses have shown."""
        groups = [found for scope in self._scopes_of(cell) if (found := scope.find_group(cell))]
        if not groups:
            return 0.0, 0.0
        return min(group.low[group.index[cell]] for group in groups), max(g.high[g.index[cell]] for g in groups)

    def _width_of(self, cell: int) -> int:
        low, high = self._seen(cell)
        value = self._problem.values[cell]
        return math.floor(value + high + EPSILON) - math.ceil(value + low - EPSILON)

    def look_around(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Look for witnesses that show each (cell, width) of many at once; what they do not show is asked later."""
        pairs = list(wanted)
        for depth, rounds in enumerate((_ROUNDS, 2, 1)):
            asked: dict[int, tuple[Group, list[tuple[int, int]]]] = {}
            for cell, width in pairs:
                scopes = self._scopes_of(cell)
                if depth < len(scopes) and self._width_of(cell) < width:
                    group = scopes[depth].group_of(cell)
                    asked.setdefault(id(group), (group, []))[1].append((cell, width))
            for group, inside in asked.values():
                for sign in (-1.0, 1.0) * rounds:
                    narrow = [(cell, width) for cell, width in inside if self._width_of(cell) < width]
                    if len(narrow) < 2:
                        break
                    self.solved += 1
                    group.spread(narrow, sign)

    def find_binding(self, cell: int, width: int, *, near: bool = False) -> list[int] | None:
        """Look for witnesses until `cell` has this width: None; or return the cells whose being known forbids it.

        Those are the cells with a reduced cost that are known, or have a ceiling: without one the optimum would stay if
        all of them were unknown.
        `near`: only in its own block and those above it.
        """
        binding: dict[int, None] = {}
        for scope in self._scopes_of(cell, near=near):
            binding = {}
            for sign in (-1.0, 1.0):  # upward first: there is usually more room
                if self._width_of(cell) >= width:
                    return None
                self.solved += 1
                binding |= dict.fromkeys(scope.group_of(cell).solve(cell, sign))
        bound = self._problem.ceilings
        told = [found for found in binding if found not in self.unknown or found in bound]
        return None if self._width_of(cell) >= width else told


def find_point(
    fixed: Sequence[int | None],
    relations: Sequence[tuple[int, Sequence[int]]],
    links: Sequence[Row],
    between: Mapping[int, tuple[int, int | None]] = MappingProxyType({}),
) -> tuple[list[float], list[int]] | None:
    """Return counts that fit every relation and break the links as little as can be, and the links they break.

    `fixed` is what is published of each cell, None where nothing is; `between` bounds some of the latter. None where
    the relations alone contradict it: then no table of counts is behind what was said.
    """
    model = QuietSolver()  # type: ignore[no-untyped-call]
    for place, value in enumerate(fixed):
        low, high = between.get(place, (0, None)) if value is None else (value, value)
        model.addVar(float(low), highspy.kHighsInf if high is None else float(high))
    for total, parts in relations:
        model.addRow(0.0, 0.0, 1 + len(parts), [total, *parts], [1.0] + [-1.0] * len(parts))
    for place, (left, right, slack) in enumerate(links):
        over, under = len(fixed) + 2 * place, len(fixed) + 2 * place + 1
        for column in (over, under):
            model.addVar(0.0, highspy.kHighsInf)
            model.changeColCost(column, 1.0)
        columns = [*left, *right, over, under]
        signs = [1.0] * len(left) + [-1.0] * len(right) + [-1.0, 1.0]
        model.addRow(-float(slack), float(slack), len(columns), columns, signs)
    model.run()
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    found = list(model.getSolution().col_value)
    spare = [found[len(fixed) + 2 * place] + found[len(fixed) + 2 * place + 1] for place in range(len(links))]
    return found[: len(fixed)], [place for place, missed in enumerate(spare) if missed > EPSILON]
