"""Protecting one release of the program's own catalogue, against one plain audit of the result.

The plain audit asks, for each withheld cell and for each small one that is never published, two linear programs for the
lowest and the highest possible count. Choosing, auditing and publishing again what was not needed rests on many such
audits; the ratio tells what witnesses and a hot model save.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highspy

from bench.indicator_bench import NOW, PERIOD, fill
from bench.telling import tell
from federation.catalogue import load_catalogue
from federation.disclosure import Cell, Protection, Relation, protect
from federation.linkage import join_new
from federation.periods import read_period
from federation.programs import QuietSolver
from node.config import PrivacySection
from node.db import Database
from node.indicators import gate
from node.indicators.compute import compute_figures, load_figures

SIZES = {"small": 60, "large": 900}
TIE_KEY = b"bench"
Problem = tuple[list[Cell], list[Relation]]


def make_problem(staff: int) -> Problem:
    """Return the cells and relations that the program itself gives its gate for a college of this size."""
    period, catalogue = read_period(PERIOD), load_catalogue()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder)}/bench.db")
        database.create_tables()
        with database.write() as session:
            fill(session, staff)
            figures = load_figures(session, compute_figures(session, period, 2, NOW))
        database.close()
    new = gate.new_publication(figures, period, 2, PrivacySection())
    problem = join_new(catalogue, (), new)
    return list(problem.cells), list(problem.relations)


def audit_plainly(cells: list[Cell], relations: list[Relation], protection: Protection) -> int:
    """Solve both ends of every range; return how many linear programs that took."""
    solver = QuietSolver()  # type: ignore[no-untyped-call]
    column = {cell.key: place for place, cell in enumerate(cells)}
    for cell in cells:
        value = float(cell.persons)
        is_open = not cell.known and (not cell.public or cell.key in protection.withheld)
        solver.addVar(0.0 if is_open else value, highspy.kHighsInf if is_open else value)
    for relation in relations:
        keys = (relation.total, *relation.parts)
        signs = [1.0] + [-1.0] * len(relation.parts)
        solver.addRow(0.0, 0.0, len(keys), [column[key] for key in keys], signs)
    targets = [cell for cell in cells if cell.key in protection.withheld or (not cell.public and cell.is_small)]
    for cell in targets:
        for sense in (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize):
            solver.changeColCost(column[cell.key], 1.0)
            solver.changeObjectiveSense(sense)
            solver.run()
        solver.changeColCost(column[cell.key], 0.0)
    return 2 * len(targets)


def _seconds(work: Callable[[], Any], times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def run() -> dict[str, float]:
    """Return the ratio and the seconds it comes from."""
    result: dict[str, float] = {}
    for name, staff in SIZES.items():
        cells, relations = make_problem(staff)
        protection = protect(cells, relations, TIE_KEY)
        result |= {
            f"{name}_staff": staff,
            f"{name}_cells": len(cells),
            f"{name}_withheld": len(protection.withheld),
            f"{name}_protect_seconds": _seconds(lambda: protect(cells, relations, TIE_KEY)),  # noqa: B023
            f"{name}_audit_programs": audit_plainly(cells, relations, protection),
            f"{name}_audit_seconds": _seconds(lambda: audit_plainly(cells, relations, protection)),  # noqa: B023
        }
    result["ratio"] = result["small_protect_seconds"] / result["small_audit_seconds"]
    return {name: round(value, 4) for name, value in result.items()}


LIMITS = {"ratio": 5.0}


def main() -> None:
    """Print the ratios; end with 1 where one is above its limit."""
    tell(run, LIMITS, __doc__)


if __name__ == "__main__":
    main()
