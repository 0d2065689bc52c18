"""From figures to one problem of cells and relations, and from its answer to what each dataflow says.

All released tables of one period are protected together, and with everything that was published before. Which numbers
hang together stands in `federation.publications` and `federation.linkage`, the rules about them in
`federation.disclosure`; here is what becomes of figures.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from federation.catalogue import Catalogue, Indicator, dims_key
from federation.disclosure import HELD, PROTECTS, TOO_SMALL, Cell, Key, protect
from federation.linkage import join_new
from federation.noisy import find_narrowing
from federation.periods import Period
from federation.publications import Name, Publication, cells_of, counts_behind, released_indicators
from node.config import PrivacySection
from node.indicators.compute import MISSING, NOT_APPLICABLE, VALUE
from node.indicators.models import Figure
from node.indicators.noise import Moved

WITHHELD = "Q"  # SDMX CL_OBS_STATUS, beside those of a figure
NARROWS = "noise-narrows"  # why a moved figure stays back
NEW = "new"  # the release that is being prepared, among those of the past

Figures = Mapping[str, Mapping[str, Figure]]


@dataclass(frozen=True)
class Observation:
    """One cell of a release as the approver sees it: `figure` inside, `status` and numbers outside."""

    indicator: str
    dims: Mapping[str, str]
    status: str
    figure: Figure | None = None
    reason: str = ""  # why it is withheld; never leaves the node
    told: tuple[int, ...] = ()  # what is told instead of the figure: a count, or denominator and numerator
    left: tuple[int, int | None] | None = None  # between which counts that leaves the truth

    def as_json(self, *, is_ratio: bool) -> dict[str, Any]:
        """Return what stands on the wire: nothing but the status where there is no value."""
        told: dict[str, Any] = {"indicator": self.indicator, "dims": dict(self.dims), "status": self.status}
        if self.status != VALUE or self.figure is None:
            return told
        if self.told:
            return told | dict(zip(("denominator", "numerator") if is_ratio else ("value",), self.told, strict=True))
        if is_ratio:
            return told | {"numerator": self.figure.numerator, "denominator": self.figure.denominator}
        text = self.figure.value
        return told | {"value": int(text) if text.isdecimal() else text}


@dataclass(frozen=True)
class Decision:
    """What each dataflow says, and what that leaves to an outsider: for the approver alone."""

    flows: Mapping[str, list[Observation]]
    ranges: Mapping[Name, tuple[int, int | None]]  # of withheld counts
    lost: tuple[Key, ...] = ()  # earlier cells that what was published before gives away by itself


def new_publication(
    figures: Figures,
    period: Period,
    known_at: int,
    settings: PrivacySection,
    *,
    provisional: bool = False,
    moved: Mapping[str, Moved] = MappingProxyType({}),
) -> Publication:
    """Return a release about which nothing is decided yet. `moved`: the dataflows of it that are told with noise."""
    minimum = {"S0": 0, "S1": settings.minimum_cell, "S2": settings.minimum_cell_s2}
    between = {name: found for one in moved.values() for name, found in one.between.items()}
    return Publication(
        NEW,
        period,
        known_at,
        minimum,
        counts_of(figures),
        provisional=provisional,
        between=between,
        moved=frozenset(moved),
    )


def counts_of(figures: Figures) -> dict[Name, int]:
    """Return the counts among figures."""
    return {
        (code, key): int(figure.value)
        for code, cells in figures.items()
        for key, figure in cells.items()
        if figure.status == VALUE and figure.value.isdecimal()
    }


def protect_figures(
    catalogue: Catalogue,
    figures: Figures,
    new: Publication,
    tie_key: bytes,
    *,
    past: Sequence[Publication] = (),
    silent: Collection[Name] = (),
    insiders: int = 0,
    moved: Mapping[str, Moved] = MappingProxyType({}),
) -> Decision:
    """Return what each dataflow of a period says, protected all together and with everything in `past`.

    `figures` are those of one (period, known_at). `silent` cells are withheld whatever they count. Raises InputRefused
    where no protection is possible.
    """
    hushed = {new.key(name) for name in silent}
    problem = join_new(catalogue, past, new, hushed)
    cells = [_weighed(cell, past) for cell in problem.cells]
    protection = protect(cells, problem.relations, tie_key, problem.links, silent=hushed, insiders=insiders)
    reasons = {_name(key): reason for key, reason in protection.withheld.items()}
    back = dict.fromkeys(silent, PROTECTS)
    back |= {_name(key): NARROWS for key in find_narrowing(problem, NEW, protection.withheld, insiders)}
    flows: dict[str, list[Observation]] = defaultdict(list)
    for indicator in released_indicators(catalogue, new.period.frequency):
        noise = moved.get(indicator.dataflow)
        flows[indicator.dataflow] += (
            _observe(catalogue, indicator, figures, reasons)
            if noise is None
            else map(noisily(indicator, noise, back), _observe(catalogue, indicator, figures, {}))
        )
    ranges = {_name(key): found for key, found in protection.ranges.items() if key[0] == NEW}
    return Decision(flows, ranges, protection.lost)


def noisily(indicator: Indicator, noise: Moved, back: Mapping[Name, str]) -> Callable[[Observation], Observation]:
    """Return what puts into an observation of an indicator what is told of it instead of its figure."""

    def move(item: Observation) -> Observation:
        if item.status not in {VALUE, NOT_APPLICABLE}:
            return item
        names = [(code, dims_key(item.dims)) for code in counts_behind(indicator)]
        reason = next((back[name] for name in names if name in back), "")
        if reason:
            return replace(item, status=WITHHELD, reason=reason)
        told = tuple(noise.told.get(name, 0) for name in names)  # what the definitions make zero is not moved
        nobody = len(told) > 1 and not told[0]
        if nobody:
            return replace(item, status=NOT_APPLICABLE)
        return replace(item, status=VALUE, told=told, left=noise.between.get(names[-1]))

    return move


def _name(key: Key) -> Name:
    return key[1], key[2]


def _weighed(cell: Cell, past: Sequence[Publication]) -> Cell:
    """Let what was withheld last time be withheld first: a pattern that changes tells more than one that stays."""
    before = past[-1].statuses if past else None
    stays = cell.key[0] == NEW and before is not None and before.get(_name(cell.key)) == HELD
    return cell if stays or not past else replace(cell, weight=2 * cell.weight)


def _observe(
    catalogue: Catalogue, indicator: Indicator, figures: Figures, reasons: Mapping[Name, str]
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
        reason = _reason(indicator, dims_key(dims), reasons)
        yield Observation(indicator.code, dims, WITHHELD if reason else figure.status, figure, reason)


def _reason(indicator: Indicator, key: str, found: Mapping[Name, str]) -> str:
    """Return why a cell is withheld, "" where it is not; a rate is as open as numerator and denominator both are."""
    codes = (indicator.numerator, indicator.denominator) if indicator.kind == "ratio" else (indicator.code,)
    reasons = [reason for code in codes if (reason := found.get((code, key)))]
    return TOO_SMALL if TOO_SMALL in reasons else reasons[0] if reasons else ""
