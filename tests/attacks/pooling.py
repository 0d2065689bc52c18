"""An attacker who pools everything that one college ever published: all periods, revisions and audiences.

Written from the published documents and the catalogue alone, on its own linear program; nothing of the gate, of the
relations it draws or of the product's audit is used. He believes that nothing was corrected between two releases, which
holds in these tests.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import highspy

from federation.catalogue import Catalogue, Indicator, dims_key, load_catalogue
from federation.periods import period_of, read_period

Name = tuple[str, str, str]  # day or period, indicator, dims key
CATALOGUE: Catalogue = load_catalogue()
NARROW = 3
Equation = list[tuple[Name, int]]


def place_of(code: str, label: str) -> str:
    """A stock is of a day, whatever period ends on it; what happened is of its period."""
    indicator = CATALOGUE.indicators.get(code.partition("-")[0])
    return label if indicator is not None and indicator.kind == "flow" else read_period(label).end.isoformat()


class Pool:
    """Unknown counts, what is published of them in any release, and every equation that the catalogue implies."""

    def __init__(self, contents: Iterable[Mapping[str, Any]]) -> None:
        self.fixed: dict[Name, int] = {}
        self.unknown: set[Name] = set()
        self.bounds: dict[Name, tuple[int, int]] = {}  # of what was moved by chance, by how much is told
        self.equations: list[Equation] = []
        self.withheld: dict[tuple[str, str, str], list[Name]] = {}
        self.labels: dict[str, dict[str, Any]] = {}
        for content in contents:
            self.labels[content["period"]] = {}
            for told in content["observations"]:
                self._read(content["period"], told, content.get("noise", {}).get("bound", 0))
        self.unknown -= set(self.fixed)
        told_names = {*self.fixed, *self.unknown}
        for name in sorted(told_names):
            self._margins(name)
        self._parts()
        self._balances()
        self._sums()

    def _read(self, label: str, told: Mapping[str, Any], bound: int) -> None:
        indicator, key = CATALOGUE.get(told["indicator"]), dims_key(told["dims"])
        if told["status"] == "O" or indicator.kind not in {"stock", "flow", "ratio"}:
            return
        rate = indicator.kind == "ratio"
        codes = (indicator.numerator, indicator.denominator) if rate else (indicator.code,)
        names = [(place_of(code, label), code, key) for code in codes]
        numbers = (told.get("numerator"), told.get("denominator")) if rate else (told.get("value"),)
        if told["status"] == "M":
            numbers = (0, 0)
        if told["status"] == "Q":
            self.withheld[label, indicator.code, key] = names
        for name, number in zip(names, numbers, strict=True):
            if number is None:
                self.unknown.add(name)
            elif bound:
                self.unknown.add(name)
                low, high = self.bounds.get(name, (0, 10**6))
                self.bounds[name] = max(low, number - bound, min(number, 1)), min(high, number + bound)
            else:
                self.fixed[name] = int(number)

    def _is_there(self, name: Name) -> bool:
        return name in self.fixed or name in self.unknown

    def _equate(self, equation: Equation) -> None:
        if all(self._is_there(name) for name, _ in equation):
            self.equations.append(equation)

    def _margins(self, name: Name) -> None:
        place, code, key = name
        dims = dict(part.split("=") for part in key.split(";")) if key else {}
        for letter, dimension in CATALOGUE.dimensions.items():
            if letter not in dims:
                parts = [(place, code, dims_key({**dims, letter: item.code})) for item in dimension.codes]
                self._equate([(name, -1), *((part, 1) for part in parts)])

    def _parts(self) -> None:
        for part in CATALOGUE.indicators.values():
            for place, code, key in [name for name in {*self.fixed, *self.unknown} if name[1] == part.code]:
                dims = dict(item.split("=") for item in key.split(";")) if key else {}
                if any(dims[letter] not in part.possible.get(letter, (dims[letter],)) for letter in dims):
                    self.fixed[place, code, key] = 0
                    self.unknown.discard((place, code, key))
                for whole in part.part_of:
                    if not self._is_there((place, whole, key)):
                        continue
                    rest = (place, f"{whole}-{code}", key)
                    self.unknown.add(rest)
                    self.equations.append([((place, whole, key), -1), ((place, code, key), 1), (rest, 1)])
                    if part.subject == CATALOGUE.get(whole).subject and everybody(part, CATALOGUE.get(whole), dims):
                        self.fixed[rest] = 0
                        self.unknown.discard(rest)

    def _balances(self) -> None:
        """Members at the end are those at the beginning, and who joined, less who left."""
        keys = {name[2] for name in {*self.fixed, *self.unknown} if name[1] == "MEM_JOIN_CNT"}
        for label in self.labels:
            period = read_period(label)
            start, end = period.previous().end.isoformat(), period.end.isoformat()
            for key in keys:
                self._equate(
                    [((end, "MEM_CNT", key), 1), ((start, "MEM_CNT", key), -1),
                     ((label, "MEM_JOIN_CNT", key), -1), ((label, "MEM_LEAVE_CNT", key), 1)]
                )  # fmt: skip

    def _sums(self) -> None:
        """What happened in a period happened in the finer ones that make it up."""
        flows = {name[1:] for name in {*self.fixed, *self.unknown} if name[0] in self.labels}
        for label in self.labels:
            period = read_period(label)
            for finer in {"A": "QM", "Q": "M"}.get(period.frequency, ""):
                parts = [period_of(period.start, finer)]
                while parts[-1].end < period.end:
                    parts.append(period_of(parts[-1].end + timedelta(days=1), finer))
                for code, key in flows:
                    self._equate([((label, code, key), -1), *(((part.label, code, key), 1) for part in parts)])

    def ranges(
        self, guess: Mapping[Name, tuple[int, int]] | None = None, moved: Iterable[Name] = ()
    ) -> dict[Name, tuple[float, float]]:
        """Return lowest and highest possible count of what is withheld, and of some that were moved.

        `guess` bounds what he only believes.
        """
        names = sorted(self.unknown)
        column = {name: place for place, name in enumerate(names)}
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.setOptionValue("output_flag", False)
        for name in names:
            solver.addVar(*(guess or {}).get(name, self.bounds.get(name, (0, highspy.kHighsInf))))
        for equation in self.equations:
            terms: dict[int, int] = defaultdict(int)
            right = 0
            for name, sign in equation:
                if name in self.fixed:
                    right -= sign * self.fixed[name]
                else:
                    terms[column[name]] += sign
            if terms:
                solver.addRow(right, right, len(terms), list(terms), list(terms.values()))
        found = {}
        withheld = {name for names in self.withheld.values() for name in names}
        for name in sorted(withheld.union(moved) & self.unknown):
            ends = []
            for sense in (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize):
                solver.changeColCost(column[name], 1)
                solver.changeObjectiveSense(sense)
                solver.run()
                status = solver.getModelStatus()
                assert guess or status != highspy.HighsModelStatus.kInfeasible, "what was published fits a table"
                optimal = status == highspy.HighsModelStatus.kOptimal
                ends.append(solver.getInfo().objective_function_value if optimal else float("inf"))
            solver.changeColCost(column[name], 0)
            found[name] = (ends[0], ends[1])
        return found

    def pinned(self) -> dict[tuple[str, str, str], tuple[float, float]]:
        """Return the withheld figures that come back exactly or within less than NARROW persons."""
        ranges, found = self.ranges(), {}
        for figure, names in self.withheld.items():
            spans = [ranges[name] for name in names if name in ranges]
            if not spans:
                if all(name in self.fixed for name in names) and not all(read_is_structural(name) for name in names):
                    found[figure] = (0.0, 0.0)  # withheld here and published there
                continue
            low, high = max(spans, key=lambda span: span[1] - span[0])
            if high - low < NARROW - 1e-6:
                found[figure] = (low, high)
        return found


def read_is_structural(name: Name) -> bool:
    """Tell whether the definition alone leaves nobody in a cell."""
    indicator = CATALOGUE.get(name[1])
    dims = dict(part.split("=") for part in name[2].split(";")) if name[2] else {}
    return any(dims[letter] not in indicator.possible.get(letter, (dims[letter],)) for letter in dims)


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
