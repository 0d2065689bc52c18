"""What somebody who sees only the published cells can work out about the others: one linear program, kept hot.

Every cell is a column, every relation a row. A published cell is fixed at its value, an unknown one may be any count
from its floor on. All that changes between two questions is the objective or the bounds of one column, so the solver
goes on from where it stood. Each solution is a whole table that fits everything published, hence a witness for all
unknown cells at once: a cell is asked about only while the witnesses seen do not yet show enough room.

Nothing here knows thresholds, indicators or reasons; `disclosure` decides with it. It counts persons, never rates.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import highspy

from federation.errors import GonghuiError

_EPSILON = 1e-6
_PRIMAL = 4  # after a change of the objective the last solution is still feasible

Row = tuple[Sequence[int], Sequence[int], int]  # left less right is no more than the slack, either way


class QuietSolver(highspy.Highs):
    """A solver that never writes to standard output, where a command's JSON goes."""

    def enableCallbacks(self) -> None:  # noqa: N802  called by the constructor, before an option could be set outside
        """Be silent before the first call that would print the solver's heading."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


class Outsider:
    """The linear program over all cells, and the widest range that witnesses have shown for each unknown one."""

    def __init__(
        self,
        values: Sequence[float],
        floors: Sequence[int],
        relations: Sequence[tuple[int, Sequence[int]]],
        links: Sequence[Row] = (),
        ceilings: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Take counts and floors by cell, relations (total, parts) and links by index; all is published at first.

        `values` is any whole table that fits: the truth inside the node, what `find_point` found for a stranger.
        `ceilings` bound some cells where they are unknown.
        """
        self._values = values
        self._floors = list(floors)
        self._ceilings = dict(ceilings)
        # Far above every count: a cell that reaches it has no bound that says anything.
        self._beyond = 2 * math.ceil(max(values, default=0)) + 1000
        self.unknown: set[int] = set()
        self.solved = 0
        self._low: dict[int, tuple[float, Sequence[float]]] = {}
        self._high: dict[int, tuple[float, Sequence[float]]] = {}
        self._objective: int | None = None
        self._model = self._build([*((((total,), parts, 0)) for total, parts in relations), *links])

    def _build(self, rows: Sequence[Row]) -> QuietSolver:
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
        program.num_col_ = len(self._values)
        program.num_row_ = len(rows)
        program.col_cost_ = [0.0] * len(self._values)
        program.col_lower_ = program.col_upper_ = [float(value) for value in self._values]
        program.row_lower_ = [-float(slack) for _, _, slack in rows]
        program.row_upper_ = [float(slack) for _, _, slack in rows]
        starts, columns, signs = [0], list[int](), list[float]()
        for left, right, _ in rows:
            columns += [*left, *right]
            signs += [1.0] * len(left) + [-1.0] * len(right)
            starts.append(len(columns))
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_, program.a_matrix_.index_, program.a_matrix_.value_ = starts, columns, signs
        model.passModel(program)
        return model

    def withhold(self, cells: Iterable[int]) -> None:
        """Make cells unknown. Witnesses stay witnesses: whoever knows less can exclude less."""
        for cell in cells:
            self._model.changeColBounds(cell, self._floors[cell], self._ceiling_of(cell))
            self.unknown.add(cell)
            self._low[cell] = self._high[cell] = (float(self._values[cell]), self._values)

    def loosen(self, cell: int, floor: int) -> None:
        """Take from an unknown cell what was told of it: it has this floor and no ceiling from now on."""
        self._floors[cell] = floor
        self._ceilings.pop(cell, None)
        self._model.changeColBounds(cell, floor, self._ceiling_of(cell))

    def _ceiling_of(self, cell: int) -> float:
        return self._ceilings.get(cell, self._values[cell] + self._beyond)

    def publish(self, cell: int, check: Iterable[tuple[int, int]]) -> bool:
        """Make a cell known if each (cell, width) of `check` stays that wide; else leave everything as it was."""
        before = dict(self._low), dict(self._high)
        value = self._values[cell]
        self._model.changeColBounds(cell, value, value)
        self.unknown.discard(cell)
        for seen in (self._low, self._high):
            del seen[cell]
            for other, (_, witness) in seen.items():
                if abs(witness[cell] - value) > _EPSILON:
                    seen[other] = (float(self._values[other]), self._values)
        if all(self.find_binding(other, width) is None for other, width in check):
            return True
        self._model.changeColBounds(cell, self._floors[cell], self._ceiling_of(cell))
        self.unknown.add(cell)
        self._low, self._high = before
        return False

    def range_of(self, cell: int) -> tuple[int, int | None]:
        """Return the counts that witnesses have shown possible, rounded inward; None: no bound that says anything."""
        low, high = math.ceil(self._low[cell][0] - _EPSILON), math.floor(self._high[cell][0] + _EPSILON)
        return low, None if high >= self._values[cell] + self._beyond // 2 else high

    def find_binding(self, cell: int, width: int) -> list[int] | None:
        """Look for witnesses until `cell` has this width: None; or return the cells whose being known forbids it.

        Those are the cells with a reduced cost that are known, or have a ceiling: without one the optimum would stay if
        all of them were unknown.
        """
        binding: dict[int, None] = {}
        for sign in (-1.0, 1.0):  # upward first: there is usually more room
            if self._width_of(cell) >= width:
                return None
            for column, dual in enumerate(self._solve(cell, sign)):
                if abs(dual) > _EPSILON and (column not in self.unknown or column in self._ceilings):
                    binding[column] = None
        return None if self._width_of(cell) >= width else list(binding)

    def _width_of(self, cell: int) -> int:
        """Return how far apart the counts are that witnesses have shown possible."""
        return math.floor(self._high[cell][0] + _EPSILON) - math.ceil(self._low[cell][0] - _EPSILON)

    def _solve(self, cell: int, sign: float) -> Sequence[float]:
        """Minimise `sign` times the cell; remember the witness, return the reduced costs."""
        if self._objective is not None:
            self._model.changeColCost(self._objective, 0.0)
        self._model.changeColCost(cell, sign)
        self._objective = cell
        self._model.run()
        if self._model.getModelStatus() != highspy.HighsModelStatus.kOptimal:  # a hot start may end nowhere
            self._model.clearSolver()
            self._model.run()
        self.solved += 1
        if self._model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise GonghuiError(
                "gate-solver",
                "保密审查的求解器没有得到结果，未发布任何数据。请重试；若再次出现，请把错误码告诉维护者。",
                "The gate's solver came to no result; nothing was released. Try again; report the code if it stays.",
                status=str(self._model.getModelStatus()),
            )
        solution = self._model.getSolution()
        witness = list(solution.col_value)
        for other in self.unknown:
            value = witness[other]
            if value < self._low[other][0]:
                self._low[other] = (value, witness)
            if value > self._high[other][0]:
                self._high[other] = (value, witness)
        return list(solution.col_dual)


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
    return found[: len(fixed)], [place for place, missed in enumerate(spare) if missed > _EPSILON]
