"""From figures to one problem of cells and relations, and from its answer to what each dataflow says.

All released tables of one period are protected together. Beside the cells that go out the gate is given those that an
outsider could compute from them: what a whole has beyond its part (staff who are no members, members who are not on
the job), each with the minimum of its class. The rules about numbers stand in `federation.disclosure`; here is only
which numbers hang together.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from federation.catalogue import Catalogue, Condition, Indicator, dims_key, read_dims
from federation.disclosure import TOO_SMALL, Cell, Protection, Relation, protect
from node.config import PrivacySection
from node.indicators.compute import MISSING, NOT_APPLICABLE, VALUE
from node.indicators.models import Figure

WITHHELD = "Q"  # SDMX CL_OBS_STATUS, beside those of a figure
_WEIGHTS = (10_000, 100, 1)  # of a total, a one-way and a two-way cell: what people read most is withheld last

Figures = Mapping[str, Mapping[str, Figure]]
Key = tuple[str, str]  # indicator (or part^whole), dims key


@dataclass(frozen=True)
class Observation:
    """One cell of a release as the approver sees it: `figure` inside, `status` and numbers outside."""

    indicator: str
    dims: Mapping[str, str]
    status: str
    figure: Figure | None = None
    reason: str = ""  # why it is withheld; never leaves the node

    def as_json(self, *, is_ratio: bool) -> dict[str, Any]:
        """Return what stands on the wire: nothing but the status where there is no value."""
        told: dict[str, Any] = {"indicator": self.indicator, "dims": dict(self.dims), "status": self.status}
        if self.status != VALUE or self.figure is None:
            return told
        if is_ratio:
            return told | {"numerator": self.figure.numerator, "denominator": self.figure.denominator}
        text = self.figure.value
        return told | {"value": int(text) if text.isdecimal() else text}


def cells_of(catalogue: Catalogue, table: Iterable[str]) -> Iterator[dict[str, str]]:
    """Return the dims of every cell of a table, in the order of its code lists."""
    letters = tuple(table)
    codes = [[code.code for code in catalogue.dimensions[letter].codes] for letter in letters]
    for chosen in product(*codes):
        yield dict(zip(letters, chosen, strict=True))


def released_indicators(catalogue: Catalogue, frequency: str) -> list[Indicator]:
    """Return what may leave the node for periods of this frequency, in the catalogue's order."""
    return [
        indicator
        for indicator in catalogue.indicators.values()
        if indicator.dataflow and not indicator.internal and frequency in indicator.frequencies
    ]


def protect_figures(
    catalogue: Catalogue, figures: Figures, frequency: str, settings: PrivacySection, tie_key: bytes
) -> dict[str, list[Observation]]:
    """Return the observations of each dataflow of a period, protected all together.

    `figures` are those of one (period, known_at). Raises InputRefused where no protection is possible.
    """
    chosen = released_indicators(catalogue, frequency)
    problem = _Problem(catalogue, figures, settings)
    for indicator in chosen:
        problem.add(indicator)
    protection = problem.solve(tie_key)
    flows: dict[str, list[Observation]] = defaultdict(list)
    for indicator in chosen:
        flows[indicator.dataflow] += _observe(catalogue, indicator, figures, protection)
    return flows


class _Problem:
    """Cells and relations of one release."""

    def __init__(self, catalogue: Catalogue, figures: Figures, settings: PrivacySection) -> None:
        self.catalogue = catalogue
        self.figures = figures
        self.minimum = {"S0": 0, "S1": settings.minimum_cell, "S2": settings.minimum_cell_s2}
        self.cells: dict[Key, Cell] = {}
        self.relations: list[Relation] = []

    def add(self, indicator: Indicator) -> None:
        """Add what one released indicator shows: its own cells, or those of numerator and denominator."""
        if indicator.kind == "ratio":
            for part in (indicator.denominator, indicator.numerator):
                self._add_tables(self.catalogue.indicators[part], indicator.released, indicator.sensitivity)
        elif indicator.kind in {"stock", "flow"}:
            self._add_tables(indicator, indicator.released, indicator.sensitivity)

    def solve(self, tie_key: bytes) -> Protection:
        """Tie parts to their wholes, then protect everything at once."""
        for indicator in self.catalogue.indicators.values():
            for whole in indicator.part_of:
                self._add_complement(indicator, self.catalogue.indicators[whole])
        return protect(list(self.cells.values()), list(dict.fromkeys(self.relations)), tie_key)

    def _persons(self, code: str, key: str) -> int | None:
        figure = self.figures.get(code, {}).get(key)
        return int(figure.value) if figure is not None and figure.status == VALUE else None

    def _add_tables(self, indicator: Indicator, tables: Iterable[tuple[str, ...]], sensitivity: str) -> None:
        minimum = self.minimum[max(sensitivity, indicator.sensitivity)]
        open_total = indicator.total_public or self._is_common(indicator)
        tables = [table for table in tables if self._is_told(indicator, table)]
        for table in tables:
            for dims in cells_of(self.catalogue, table):
                key = (indicator.code, dims_key(dims))
                persons = self._persons(*key) or 0
                known = _is_structural_zero(indicator, dims)
                held = self.cells.get(key)
                least = max(0 if open_total and not table else minimum, held.minimum if held else 0)
                weight = _WEIGHTS[min(len(table), 2)] * (1 if indicator.internal else 2)  # a count before a rate's part
                self.cells[key] = Cell(key, persons, least, public=True, known=known, weight=weight)
        for table in tables:
            self._add_margins(indicator, table)

    def _is_common(self, indicator: Indicator) -> bool:
        """Tell whether this only serves a rate of what two public totals have in common (density).

        The receiver's rule is the same (`federation.observations.has_minimum`). Part of one public total is not public:
        beside the staff's total, a rate of contracts would tell how few have none.
        """
        wholes = [self.catalogue.indicators[code] for code in indicator.part_of]
        return indicator.internal and len(wholes) > 1 and all(whole.total_public for whole in wholes)

    def _is_told(self, indicator: Indicator, table: tuple[str, ...]) -> bool:
        """Tell whether the table has values: a table whose source is missing has none in any cell."""
        cells = cells_of(self.catalogue, table)
        return all(self._persons(indicator.code, dims_key(dims)) is not None for dims in cells)

    def _add_margins(self, indicator: Indicator, table: tuple[str, ...]) -> None:
        """Add the sums of a table over each of its dimensions; a margin that is not shown is an inner cell."""
        for dropped in table:
            rest = tuple(letter for letter in table if letter != dropped)
            for dims in cells_of(self.catalogue, rest):
                total = (indicator.code, dims_key(dims))
                if total not in self.cells:
                    persons = self._persons(*total) or 0
                    self.cells[total] = Cell(total, persons, self.minimum[indicator.sensitivity], public=False)
                parts = tuple(
                    (indicator.code, dims_key(dims | {dropped: code.code}))
                    for code in self.catalogue.dimensions[dropped].codes
                )
                self.relations.append(Relation(total, parts))

    def _add_complement(self, part: Indicator, whole: Indicator) -> None:
        """Add what the whole has beyond the part, wherever both are shown."""
        name = f"{whole.code}-{part.code}"
        for code, key in list(self.cells):
            above = (whole.code, key)
            if code != part.code or above not in self.cells:
                continue
            inner = self.cells[(part.code, key)]
            exempt = not key and whole.total_public and self._is_common(part)
            self.cells[(name, key)] = Cell(
                (name, key),
                self.cells[above].persons - inner.persons,
                0 if exempt else max(inner.minimum, self.cells[above].minimum),
                public=False,
                known=_is_all_of_whole(self.catalogue, part, whole, read_dims(key)),
            )
            self.relations.append(Relation(above, ((part.code, key), (name, key))))


def _is_structural_zero(indicator: Indicator, dims: Mapping[str, str]) -> bool:
    """Tell whether the definition alone, which everybody can read, leaves nobody in a cell."""
    return any(code not in indicator.possible.get(letter, (code,)) for letter, code in dims.items())


def _is_all_of_whole(catalogue: Catalogue, part: Indicator, whole: Indicator, dims: Mapping[str, str]) -> bool:
    """Tell whether by definition the part is all of the whole in a cell: the cell's own codes meet every filter."""
    codes = {catalogue.dimensions[letter].field: code for letter, code in dims.items()}
    own = [condition for condition in part.filters if condition not in whole.filters]
    return part.subject == whole.subject and bool(own) and all(_is_met(condition, codes) for condition in own)


def _is_met(condition: Condition, codes: Mapping[str, str]) -> bool:
    """Tell whether everybody in a cell of these codes (field to code) meets a condition, or one of its alternatives."""
    return codes.get(condition.field) in condition.codes or any(_is_met(part, codes) for part in condition.any_of)


def _observe(
    catalogue: Catalogue, indicator: Indicator, figures: Figures, protection: Protection
) -> Iterator[Observation]:
    """Return what one indicator shows: each cell of its tables, or one line that says it has no value."""
    own = figures.get(indicator.code, {})
    shown = [
        (dims, figure)
        for table in indicator.released
        for dims in cells_of(catalogue, table)
        if (figure := own.get(dims_key(dims))) is not None and figure.status in {VALUE, NOT_APPLICABLE}
    ]
    if not shown:
        yield Observation(indicator.code, {}, MISSING, own.get(""), own[""].reason if "" in own else "")
    for dims, figure in shown:
        reason = _reason(indicator, dims_key(dims), protection)
        yield Observation(indicator.code, dims, WITHHELD if reason else figure.status, figure, reason)


def _reason(indicator: Indicator, key: str, protection: Protection) -> str:
    """Return why a cell is withheld, "" where it is not; a rate is as open as numerator and denominator both are."""
    codes = (indicator.numerator, indicator.denominator) if indicator.kind == "ratio" else (indicator.code,)
    reasons = [reason for code in codes if (reason := protection.withheld.get((code, key)))]
    return TOO_SMALL if TOO_SMALL in reasons else reasons[0] if reasons else ""
