"""Linear programs over unknown counts, one for each group of cells that hang together, kept hot.

Unknown cells hang together where a row has several of them; an unknown cell may be any count from its floor on. All
that changes between two questions is the objective or some bounds, so the solver goes on from where it stood.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import highspy
import numpy as np
from numpy.typing import NDArray

from federation.errors import GonghuiError

EPSILON = 1e-6
_PRIMAL = 4  # after a change of the objective the last solution is still feasible
_WITNESSES = 400  # of one group, before those are dropped that show no cell at its lowest or highest

Row = tuple[Sequence[int], Sequence[int], int]  # left less right is no more than the slack, either way
Numbers = NDArray[np.float64]
Seen = tuple[Numbers, Numbers, Numbers]  # witnesses, lowest and highest


class QuietSolver(highspy.Highs):
    """A solver that never writes to standard output, where a command's JSON goes."""

    def enableCallbacks(self) -> None:  # noqa: N802  called by the constructor, before an option could be set outside
        """Be silent before the first call that would print the solver's heading."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


class Problem:
    """Cells and rows by index. All counts are differences to the values: a table of zeros fits every row."""

    def __init__(
        self,
        values: Sequence[float],
        floors: list[int],
        rows: Sequence[Row],
        ceilings: dict[int, int],
        never: Collection[int],
    ) -> None:
        self.values = values
        self.never = never
        self.floors = floors
        self.ceilings = ceilings
        self.rows = rows
        # Far above every count: a cell that reaches it has no bound that says anything.
        self.beyond = 2 * math.ceil(max(values, default=0)) + 1000
        self.gaps: list[tuple[float, float]] = []  # what each row leaves
        self.rows_of: list[list[int]] = [[] for _ in values]
        for number, (left, right, slack) in enumerate(rows):
            gap = sum(values[cell] for cell in left) - sum(values[cell] for cell in right) if slack else 0.0
            self.gaps.append((-slack - gap, slack - gap))
            for cell in (*left, *right):
                self.rows_of[cell].append(number)

    def bounds_of(self, cell: int) -> tuple[float, float]:
        """Return by how much an unknown cell may differ from its value."""
        value = self.values[cell]
        return self.floors[cell] - value, self.ceilings.get(cell, value + self.beyond) - value

    def signed(self, number: int) -> Iterator[tuple[int, float]]:
        """Yield the cells of a row with their signs."""
        left, right, _ = self.rows[number]
        yield from ((cell, 1.0) for cell in left)
        yield from ((cell, -1.0) for cell in right)

    def may_be_left(self, cell: int) -> bool:
        """Tell whether a cell, never published, stands in one exact row alone: no column, but what the row leaves."""
        numbers = self.rows_of[cell]
        return cell in self.never and len(numbers) == 1 and not self.rows[numbers[0]][2]


class Scope:
    """The groups of unknown cells, within blocks or over all."""

    def __init__(self, problem: Problem, unknown: set[int], blocks: Sequence[int]) -> None:
        self.problem = problem
        self.unknown = unknown
        self.blocks = blocks
        self.groups: dict[int, Group] = {}
        self.stale: dict[int, Group] = {}  # groups that grew since, for what they have seen

    def is_near(self, cell: int, other: int) -> bool:
        """Tell whether two cells may belong to one group."""
        return self.blocks[cell] == self.blocks[other]

    def find_group(self, cell: int) -> "Group | None":
        """Return the program of a cell's group if there is one."""
        group = self.groups.get(cell)
        if group is not None:
            group.take_in()
        return group

    def group_of(self, cell: int) -> "Group":
        """Return the program of the group that an unknown cell belongs to."""
        if cell not in self.groups:
            cells, numbers = self._reach(cell)
            older = {id(self.stale[c]): self.stale.pop(c) for c in cells if c in self.stale}
            group = Group(self, cells, numbers, list(older.values()))
            self.groups |= dict.fromkeys(cells, group)
        self.groups[cell].take_in()
        return self.groups[cell]

    def withhold(self, cell: int) -> None:
        """Let the groups around a cell that became unknown take it in, or be built anew when they are asked next."""
        near = [other for other in self._around(cell) if not self.problem.may_be_left(other)]
        groups = {id(found): found for other in near if (found := self.groups.get(other)) is not None}
        if len(groups) == 1 and all(other in self.groups for other in near):
            [group] = groups.values()
            if not any(self.groups.get(other, group) is not group for other in self._around(cell)):
                group.add(cell)
                self.groups |= dict.fromkeys(group.index, group)
                return
        around = (self.groups.get(other) for other in (cell, *self._around(cell)))
        for found in {id(found): found for found in around if found is not None}.values():
            self.forget(found)

    def _around(self, cell: int) -> dict[int, None]:
        """Return the unknown cells that share a row with one."""
        rows = (self.problem.rows[number] for number in self.problem.rows_of[cell])
        return {
            other: None
            for left, right, _ in rows
            for other in (*left, *right)
            if other != cell and other in self.unknown and self.is_near(cell, other)
        }

    def forget_around(self, cell: int, kept: Sequence["Group"]) -> None:
        """Forget the groups around a cell, but for those that are kept."""
        found = (self.groups.get(other) for other in self._around(cell))
        for group in {id(group): group for group in found if group is not None and group not in kept}.values():
            self.forget(group)

    def forget(self, group: "Group") -> None:
        """Let a group be built anew when one of its cells is asked about."""
        for inside in group.index:
            self.groups.pop(inside, None)
            self.stale[inside] = group

    def _reach(self, cell: int) -> tuple[list[int], list[int]]:
        """Return the unknown cells that hang together with one, and the rows that tie them."""
        cells, numbers, pending = {cell}, set[int](), [cell]
        while pending:
            for number in self.problem.rows_of[pending.pop()]:
                if number not in numbers:
                    numbers.add(number)
                    left, right, _ = self.problem.rows[number]
                    fresh = [
                        other
                        for other in (*left, *right)
                        if other in self.unknown and other not in cells and self.is_near(cell, other)
                    ]
                    cells.update(fresh)
                    pending += fresh
        return sorted(cells), sorted(numbers)


class Group:
    """The program of unknown cells that hang together, and the witnesses it has found: a row a table, a column a cell.

    A cell that stands in one row alone is no column of the program, it is what the row leaves. A cell that is published
    later stays, fixed at zero.
    """

    def __init__(self, scope: Scope, cells: list[int], numbers: list[int], older: Sequence["Group"]) -> None:
        self.scope = scope
        self.problem = scope.problem
        self.index = {cell: place for place, cell in enumerate(cells)}
        self.column: dict[int, int] = {}
        self.row: dict[int, int] = {}
        self.left: dict[int, tuple[int, float]] = {}  # cell -> its row here, and its sign there
        self.limit = _WITNESSES
        self.witnesses: Numbers
        self.low: Numbers
        self.high: Numbers
        self.priced: list[int] = []
        self.waiting: list[int] = []
        self._see(self._inherit(older))
        self.model = self._build(cells, numbers)

    def _inherit(self, older: Sequence["Group"]) -> Numbers:
        """Return what smaller groups have seen."""
        found = [np.zeros((1, len(self.index)))]
        for group in older:
            theirs = [(cell, place) for cell, place in group.index.items() if place < len(group.low)]
            gone = [place for cell, place in theirs if cell not in self.index]
            fits = (np.abs(group.witnesses[:, gone]) <= EPSILON).all(axis=1)
            places = [(self.index[cell], place) for cell, place in theirs if cell in self.index]
            mine, old = [place for place, _ in places], [place for _, place in places]
            wider = np.zeros((int(fits.sum()), len(self.index)))
            wider[:, mine] = group.witnesses[fits][:, old]
            found.append(wider)
        return np.concatenate(found)

    def _build(self, cells: Sequence[int], numbers: Sequence[int]) -> QuietSolver:
        problem, numbers = self.problem, self._telling(numbers)
        rows = [self._take_row(number) for number in numbers]
        for cell in cells:
            if cell not in self.left:
                self.column[cell] = len(self.column)
        model = QuietSolver()  # type: ignore[no-untyped-call]
        options: dict[str, str | int] = {
            "parallel": "off",  # `threads` would fail where another user of the library chose another number
            "presolve": "off",
            "solver": "simplex",
            "simplex_strategy": _PRIMAL,
        }
        for option, value in options.items():
            model.setOptionValue(option, value)
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = len(self.column), len(rows)
        program.col_cost_ = [0.0] * len(self.column)
        ends = [problem.bounds_of(cell) for cell in self.column]
        program.col_lower_, program.col_upper_ = [low for low, _ in ends], [high for _, high in ends]
        program.row_lower_, program.row_upper_ = [low for low, _ in rows], [high for _, high in rows]
        starts, columns, signs = [0], list[int](), list[float]()
        for number in numbers:
            inside = [(self.column[cell], sign) for cell, sign in problem.signed(number) if cell in self.column]
            columns += [place for place, _ in inside]
            signs += [sign for _, sign in inside]
            starts.append(len(columns))
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_, program.a_matrix_.index_, program.a_matrix_.value_ = starts, columns, signs
        model.passModel(program)
        return model

    def _telling(self, numbers: Sequence[int]) -> list[int]:
        """Return the rows without those that bound one cell, by a rest elsewhere, less than another such row does."""
        ends: dict[tuple[int, bool], tuple[float, int]] = {}
        kept = []
        for number in numbers:
            mine = [(cell, sign) for cell, sign in self.problem.signed(number) if cell in self.index]
            left = self._rest_of(number)
            if len(mine) > 1 or left is None or left[0] in self.index:
                kept.append(number)
                continue
            [(cell, sign)] = mine
            low, high = _turned(self.problem.bounds_of(left[0]), left[1] * sign)
            for is_high, room in ((False, -low), (True, high)):
                ends[cell, is_high] = min(ends.get((cell, is_high), (room, number)), (room, number))
        return sorted({*kept, *(number for _, number in ends.values())})

    def _rest_of(self, number: int) -> tuple[int, float] | None:
        """Return the cell of any block that is what a row leaves, with its sign."""
        unknown, problem = self.scope.unknown, self.problem
        found = (
            (cell, sign)
            for cell, sign in problem.signed(number)
            if cell in unknown and cell not in self.column and problem.may_be_left(cell)
        )
        return next(found, None)

    def _take_row(self, number: int) -> tuple[float, float]:
        """Give a row its number here, find the cell of any block that is what it leaves; return the row's bounds."""
        self.row[number] = len(self.row)
        left = self._rest_of(number)
        if left is None:
            return self.problem.gaps[number]
        cell, sign = left
        if cell in self.index:
            self.left[cell] = self.row[number], sign
        return _turned(self.problem.bounds_of(cell), sign)

    def add(self, cell: int) -> None:
        """Promise to take in one more cell, which shares rows with no other group, and what its rows leave."""
        fresh = [cell, *(other for number in self.problem.rows_of[cell] for other in self._left_of(number))]
        for other in fresh:
            self.index.setdefault(other, len(self.index))
        self.waiting.append(cell)

    def _left_of(self, number: int) -> list[int]:
        """Return the cell of a new row that is what it leaves, if it belongs here."""
        found = None if number in self.row else self._rest_of(number)
        return [found[0]] if found and self.scope.is_near(found[0], next(iter(self.index))) else []

    def take_in(self) -> None:
        """Take in what waits."""
        if not self.waiting:
            return
        for cell in self.waiting:
            if cell in self.column or cell in self.left:  # it was published here
                self._bound(cell, self.problem.bounds_of(cell))
                continue
            self.column[cell] = len(self.column)
            signs: dict[int, float] = {}
            for number in self.problem.rows_of[cell]:
                if number not in self.row:
                    ends = self._take_row(number)
                    inside = {
                        self.column[c]: s for c, s in self.problem.signed(number) if c in self.column and c != cell
                    }
                    self.model.addRow(*ends, len(inside), list(inside), list(inside.values()))
                signs[self.row[number]] = next(sign for other, sign in self.problem.signed(number) if other == cell)
            self.model.addCol(0.0, *self.problem.bounds_of(cell), len(signs), list(signs), list(signs.values()))
        self.waiting.clear()
        more = len(self.index) - len(self.low)
        self.witnesses = np.pad(self.witnesses, ((0, 0), (0, more)))
        self.low, self.high = np.pad(self.low, (0, more)), np.pad(self.high, (0, more))

    def narrow(self, check: Mapping[int, int]) -> list[int]:
        """Return the cells that the witnesses of this group do not show to be as wide as `check` says."""
        values = np.array([self.problem.values[cell] for cell in self.index])
        widths = np.floor(values + self.high + EPSILON) - np.ceil(values + self.low - EPSILON)
        wanted = np.array([check.get(cell, 0) for cell in self.index])
        cells = list(self.index)
        return [cells[place] for place in np.flatnonzero(widths < wanted)]

    def fix(self, cell: int) -> Seen:
        """Publish a cell: keep the witnesses that agree, and mixtures that do; return what was seen before."""
        before = self.witnesses, self.low, self.high
        place = self.index[cell]
        self._bound(cell, (0.0, 0.0))
        there = self.witnesses[:, place]
        kept = [self.witnesses[np.abs(there) <= EPSILON]]
        above, below = int(there.argmax()), int(there.argmin())
        if there[above] > EPSILON and there[below] < -EPSILON:
            kept += [self._mix(there < -EPSILON, above, place), self._mix(there > EPSILON, below, place)]
        self._see(np.concatenate(kept))
        return before

    def _mix(self, chosen: NDArray[np.bool_], other: int, place: int) -> Numbers:
        """Return tables between each chosen witness and another one, where the cell at `place` has its value."""
        mine, theirs = self.witnesses[chosen], self.witnesses[other]
        share = theirs[place] / (theirs[place] - mine[:, [place]])
        mixed: Numbers = share * mine + (1 - share) * theirs
        mixed[:, place] = 0.0
        return mixed

    def free(self, cell: int, seen: Seen) -> None:
        """Take the publishing of a cell back."""
        self._bound(cell, self.problem.bounds_of(cell))
        self.witnesses, self.low, self.high = seen

    def _see(self, witnesses: Numbers) -> None:
        self.low, self.high = witnesses.min(axis=0), witnesses.max(axis=0)
        self._keep(witnesses)

    def _keep(self, witnesses: Numbers) -> None:
        if len(witnesses) > self.limit:
            witnesses = witnesses[np.unique([*witnesses.argmin(axis=0), *witnesses.argmax(axis=0)])]
            self.limit = max(_WITNESSES, 2 * len(witnesses))
        self.witnesses = witnesses

    def widen(self, cell: int) -> None:
        """Give a cell the bounds that it has now, no narrower than before."""
        self._bound(cell, self.problem.bounds_of(cell))

    def spread(self, wanted: Sequence[tuple[int, int]], sign: float) -> None:
        """Look for one table in which as many cells as possible are as far from their values as is wanted."""
        for cell, width in wanted:
            low, high = self.problem.bounds_of(cell)
            self._bound(cell, (low, min(high, width)) if sign < 0 else (max(low, -width), high))
        self._ask([cell for cell, _ in wanted], sign)
        for cell, _ in wanted:
            self._bound(cell, self.problem.bounds_of(cell))

    def _bound(self, cell: int, ends: tuple[float, float]) -> None:
        if cell in self.left:
            row, sign = self.left[cell]
            self.model.changeRowBounds(row, *_turned(ends, sign))
        else:
            self.model.changeColBounds(self.column[cell], *ends)

    def solve(self, cell: int, sign: float) -> list[int]:
        """Minimise `sign` times the cell; remember the witness, return the cells that have a reduced cost.

        Of those inside only the ones with a ceiling.
        """
        duals = self._ask([cell], sign)
        costs: dict[int, float] = {}
        if cell in self.left:
            row, there = self.left[cell]
            duals[row] += sign * there
        numbers = list(self.row)
        for row in np.flatnonzero(np.abs(duals) > EPSILON).tolist():
            for other, there in self.problem.signed(numbers[row]):
                costs[other] = costs.get(other, 0.0) + there * duals[row]
        costs[cell] = costs.get(cell, 0.0) - sign
        inside, bound = self.scope.unknown, self.problem.ceilings
        return [o for o, cost in costs.items() if abs(cost) > EPSILON and (o not in inside or o in bound)]

    def _ask(self, cells: Sequence[int], sign: float) -> list[float]:
        if not self.column:  # nothing but what a row leaves
            return [0.0] * len(self.row)
        costs: dict[int, float] = {}
        for cell in cells:
            if cell in self.left:
                row, there = self.left[cell]
                [number] = self.problem.rows_of[cell]
                for other, its in self.problem.signed(number):
                    if other in self.column:
                        place = self.column[other]
                        costs[place] = costs.get(place, 0.0) - sign * its * there
            else:
                costs[self.column[cell]] = costs.get(self.column[cell], 0.0) + sign
        for place in self.priced:
            if place not in costs:
                self.model.changeColCost(place, 0.0)
        for place, cost in costs.items():
            self.model.changeColCost(place, cost)
        self.priced = list(costs)
        self._run()
        solution = self.model.getSolution()
        witness = np.zeros(len(self.index))
        witness[[self.index[cell] for cell in self.column]] = solution.col_value
        activity = solution.row_value  # a copy each time it is asked for
        for cell, (row, there) in self.left.items():
            witness[self.index[cell]] = -there * activity[row]
        self.low, self.high = np.minimum(self.low, witness), np.maximum(self.high, witness)
        self._keep(np.concatenate([self.witnesses, witness[None, :]]))
        return list(solution.row_dual)

    def _run(self) -> None:
        self.model.run()
        if self.model.getModelStatus() != highspy.HighsModelStatus.kOptimal:  # a hot start may end nowhere
            self.model.clearSolver()
            self.model.run()
        if self.model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise GonghuiError(
                "gate-solver",
                "保密审查的求解器没有得到结果，未发布任何数据。请重试；若再次出现，请把错误码告诉维护者。",
                "The gate's solver came to no result; nothing was released. Try again; report the code if it stays.",
                status=str(self.model.getModelStatus()),
            )


def _turned(ends: tuple[float, float], sign: float) -> tuple[float, float]:
    """Return what the rest of a row may be where a cell with this sign may be within `ends`."""
    low, high = ends
    return (-high, -low) if sign > 0 else (low, high)
