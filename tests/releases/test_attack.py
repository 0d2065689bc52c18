"""An outsider reads the signed bytes of a whole release, knows every definition, and solves a linear program.

The attacker is written from the published documents and the catalogue alone; nothing of the gate is used. The same
attack on bare thresholds (only what counts 1 to 4 is hidden) must find cells exactly, or it could not find any.
"""

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import highspy
import pytest
from sqlmodel import select

from federation.catalogue import Catalogue, Indicator, dims_key, load_catalogue
from node.context import Node
from node.indicators.compute import load_figures
from node.indicators.models import FigureSet, ReleaseItem
from tests.releases.conftest import Office, open_office, roster_text

Name = tuple[str, str]  # indicator, dims key
CATALOGUE: Catalogue = load_catalogue()
NARROW = 3


class Attacker:
    """Unknown counts, what is published of them, and every equation that the catalogue implies."""

    def __init__(self, observations: list[dict[str, Any]]) -> None:
        self.fixed: dict[Name, int] = {}
        self.unknown: set[Name] = set()
        self.equations: list[list[tuple[Name, int]]] = []  # sums that are zero
        for told in observations:
            self._read(told)
        for name in sorted({*self.fixed, *self.unknown}):
            self._margins(*name)
        self._parts()

    def _read(self, told: dict[str, Any]) -> None:
        indicator = CATALOGUE.get(told["indicator"])
        key = dims_key(told["dims"])
        if told["status"] == "O":
            return
        codes = (indicator.numerator, indicator.denominator) if indicator.kind == "ratio" else (indicator.code,)
        numbers = (told.get("numerator"), told.get("denominator")) if len(codes) == 2 else (told.get("value"),)
        if told["status"] == "M":  # a rate of nobody
            numbers = (0, 0)
        for code, number in zip(codes, numbers, strict=True):
            if number is not None:
                self.fixed[code, key] = int(number)
                self.unknown.discard((code, key))
            elif (code, key) not in self.fixed:
                self.unknown.add((code, key))

    def _margins(self, code: str, key: str) -> None:
        """A cell is the sum of the cells of each table that has one more dimension."""
        dims = dict(part.split("=") for part in key.split(";")) if key else {}
        for letter, dimension in CATALOGUE.dimensions.items():
            if letter in dims:
                continue
            parts = [(code, dims_key({**dims, letter: item.code})) for item in dimension.codes]
            if all(part in self.fixed or part in self.unknown for part in parts):
                self.equations.append([((code, key), -1), *((part, 1) for part in parts)])

    def _parts(self) -> None:
        """What is part of something is no more than it; and where the filter is met by the cell, it is all of it."""
        for part in CATALOGUE.indicators.values():
            for code, key in [name for name in {*self.fixed, *self.unknown} if name[0] == part.code]:
                dims = dict(item.split("=") for item in key.split(";")) if key else {}
                if any(dims[letter] not in part.possible.get(letter, (dims[letter],)) for letter in dims):
                    self.fixed[code, key] = 0
                    self.unknown.discard((code, key))
                for whole in part.part_of:
                    if (whole, key) not in self.fixed and (whole, key) not in self.unknown:
                        continue
                    rest = (f"{whole}-{code}", key)
                    self.unknown.add(rest)
                    self.equations.append([((whole, key), -1), ((code, key), 1), (rest, 1)])
                    if part.subject == CATALOGUE.get(whole).subject and everybody(part, CATALOGUE.get(whole), dims):
                        self.fixed[rest] = 0
                        self.unknown.discard(rest)

    def ranges(self) -> dict[Name, tuple[float, float]]:
        """Return lowest and highest possible count of each unknown."""
        names = sorted(self.unknown)
        column = {name: place for place, name in enumerate(names)}
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.setOptionValue("output_flag", False)
        for _ in names:
            solver.addVar(0, highspy.kHighsInf)
        for equation in self.equations:
            terms: dict[int, int] = {}
            right = 0
            for name, sign in equation:
                if name in self.fixed:
                    right -= sign * self.fixed[name]
                else:
                    terms[column[name]] = terms.get(column[name], 0) + sign
            if terms:
                solver.addRow(right, right, len(terms), list(terms), list(terms.values()))
        found = {}
        for name, place in column.items():
            ends = []
            for sense in (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize):
                solver.changeColCost(place, 1)
                solver.changeObjectiveSense(sense)
                solver.run()
                status = solver.getModelStatus()
                assert status != highspy.HighsModelStatus.kInfeasible, "the attacker's model must hold for the truth"
                optimal = status == highspy.HighsModelStatus.kOptimal
                ends.append(solver.getInfo().objective_function_value if optimal else float("inf"))
            solver.changeColCost(place, 0)
            found[name] = (ends[0], ends[1])
        return found


def everybody(part: Indicator, whole: Indicator, dims: dict[str, str]) -> bool:
    """Tell whether the definition says that all of the whole in this cell is in the part."""
    extra = [condition for condition in part.filters if condition not in whole.filters]
    return bool(extra) and all(
        any(
            CATALOGUE.dimensions[letter].field == choice.field and code in choice.codes
            for choice in (condition, *condition.any_of)
            for letter, code in dims.items()
        )
        for condition in extra
    )


def published(office: Office, release_id: str) -> list[dict[str, Any]]:
    """Return what anybody may read."""
    with office.node.database.read() as session:
        items = session.exec(select(ReleaseItem).where(ReleaseItem.release_id == release_id)).all()
    return [told for item in items for told in json.loads(item.content)["observations"]]


def truth(office: Office) -> dict[Name, int]:
    with office.node.database.read() as session:
        set_id = session.exec(select(FigureSet.id)).first()
        assert set_id is not None
        figures = load_figures(session, set_id)
    return {
        (code, key): int(figure.value)
        for code, cells in figures.items()
        for key, figure in cells.items()
        if figure.status == "A" and figure.value.isdecimal()
    }


def bare(office: Office, observations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same cells where only what counts 1 to 4 is hidden."""
    real = truth(office)

    def small(count: int) -> bool:
        return 0 < count < 5

    told = []
    for entry in observations:
        indicator, key = CATALOGUE.get(entry["indicator"]), dims_key(entry["dims"])
        plain = {"indicator": entry["indicator"], "dims": entry["dims"]}
        if entry["status"] in "OM":
            told.append(entry)
        elif indicator.kind == "ratio":
            above, below = real[indicator.numerator, key], real[indicator.denominator, key]
            hide = bool(key) and (small(above) or small(below) or small(below - above))
            told.append(
                plain | ({"status": "Q"} if hide else {"status": "A", "numerator": above, "denominator": below})
            )
        else:
            count = real[indicator.code, key]
            told.append(plain | ({"status": "Q"} if small(count) and key else {"status": "A", "value": count}))
    return told


def pinned(office: Office, observations: list[dict[str, Any]]) -> dict[Name, tuple[float, float]]:
    """Return the withheld figures that an outsider knows exactly or within less than NARROW persons.

    A rate is known when both its numerator and its denominator are; it is named by its widest part.
    """
    attacker = Attacker(observations)
    real, ranges = truth(office), attacker.ranges()
    for name, (low, high) in ranges.items():
        if name in real:
            assert low - 1e-6 <= real[name] <= high + 1e-6, "the truth is always possible"
    found = {}
    for told in observations:
        if told["status"] != "Q":
            continue
        indicator, key = CATALOGUE.get(told["indicator"]), dims_key(told["dims"])
        codes = (indicator.numerator, indicator.denominator) if indicator.kind == "ratio" else (indicator.code,)
        known = {code: attacker.fixed.get((code, key)) for code in codes}
        spans = [ranges[code, key] for code, number in known.items() if number is None]
        assert spans, "a withheld figure of which everything is published"
        low, high = max(spans, key=lambda span: span[1] - span[0])
        if high - low < NARROW - 1e-6:
            found[told["indicator"], key] = (low, high)
    return found


@pytest.mark.parametrize(("persons", "seed"), [*product((26, 60, 400), (1, 2)), (300, 2)])
def test_no_withheld_cell_of_a_release_can_be_worked_out(
    make_node: Callable[..., Node], persons: int, seed: int
) -> None:
    office = open_office(make_node())
    office.load(roster_text(persons, seed))
    release = office.prepare()
    observations = published(office, release.id)
    assert any(told["status"] == "Q" for told in observations)
    assert pinned(office, observations) == {}
    exact = [name for name, (low, high) in pinned(office, bare(office, observations)).items() if high - low < 0.5]
    assert len(exact) > 3, "the attack works"
