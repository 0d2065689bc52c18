"""What one release says, as cells of counts and the relations that everybody who knows the catalogue can write down.

A rate is two counts. Beside the cells that go out stand those that an outsider could compute from them: an inner cell
of a margin that is not shown, what a whole has beyond its part, the leavers by a breakdown in which only joiners are
told. The rules about numbers stand in `disclosure`; here is only which numbers of one release hang together.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from federation.catalogue import Catalogue, Condition, Indicator, Table, dims_key, read_dims
from federation.cellkey import possible_counts
from federation.disclosure import HELD, PUBLISHED, Cell, Key, Relation
from federation.periods import Period, read_period

VALUE, WITHHELD, NOT_APPLICABLE = "A", "Q", "M"  # SDMX CL_OBS_STATUS
MOVED = "moved"  # beside PUBLISHED and HELD: a figure that was moved by chance is told
_WEIGHTS = (10_000, 100, 1)  # of a total, a one-way and a two-way cell: what people read most is withheld last
_CLASSES = ("S1", "S2")

Name = tuple[str, str]  # indicator (or whole-part), dims key


@dataclass(frozen=True)
class Publication:
    """One release of a period: what it says of each count, and the counts that whoever reads this knows.

    `statuses` is None while nothing is decided. `counts` are all figures inside the node, the published ones outside.
    """

    name: str  # unlike that of any other release
    period: Period
    known_at: int
    minimum: Mapping[str, int]  # by class
    counts: Mapping[Name, int]
    statuses: Mapping[Name, str] | None = None
    provisional: bool = False
    withheld: tuple[tuple[Name, ...], ...] = ()  # for each withheld observation the counts behind it
    tables: Mapping[str, frozenset[Table]] = field(default_factory=dict)  # told, by indicator
    between: Mapping[Name, tuple[int, int | None]] = field(default_factory=dict)  # counts that a moved figure leaves
    moved: frozenset[str] = frozenset()  # dataflows that are to be moved, while nothing is decided

    def key(self, name: Name) -> Key:
        """Return the key of a cell in a problem of several releases."""
        return (self.name, *name)


def released_indicators(catalogue: Catalogue, frequency: str) -> list[Indicator]:
    """Return what may leave the node for periods of this frequency, in the catalogue's order."""
    return [
        indicator
        for indicator in catalogue.indicators.values()
        if indicator.dataflow and not indicator.internal and frequency in indicator.frequencies
    ]


def counts_behind(indicator: Indicator) -> tuple[str, ...]:
    """Return the indicators whose counts of persons a released one shows, () where it shows none."""
    if indicator.kind == "ratio":
        return indicator.denominator, indicator.numerator
    return (indicator.code,) if indicator.kind in {"stock", "flow"} else ()


def cells_of(catalogue: Catalogue, table: Iterable[str]) -> Iterator[dict[str, str]]:
    """Return the dims of every cell of a table, in the order of its code lists."""
    letters = tuple(table)
    codes = [[code.code for code in catalogue.dimensions[letter].codes] for letter in letters]
    for chosen in product(*codes):
        yield dict(zip(letters, chosen, strict=True))


def read_publication(catalogue: Catalogue, contents: Iterable[Mapping[str, Any]], name: str) -> Publication:
    """Read all dataflows of one release, whose schema was checked, as an outsider does."""
    told = sorted(contents, key=lambda content: "noise" in content)  # what is told exactly counts, wherever it stands
    head = told[0]
    statuses: dict[Name, str] = {}
    counts: dict[Name, int] = {}
    withheld: list[tuple[Name, ...]] = []
    between: dict[Name, tuple[int, int | None]] = {}
    for said, item in ((content, item) for content in told for item in content["observations"]):
        indicator = catalogue.indicators.get(item["indicator"])
        codes = counts_behind(indicator) if indicator else ()
        names = [(code, dims_key(item["dims"])) for code in codes]
        if item["status"] == WITHHELD:
            withheld += [tuple(names)] if names else []
            for one in names:
                statuses.setdefault(one, HELD)
        elif item["status"] in {VALUE, NOT_APPLICABLE} and names and "noise" in said:
            for one, number in zip(names, _numbers(item, len(names)), strict=True):
                between[one] = _left_by(said, number)
                statuses.setdefault(one, MOVED)
        elif item["status"] in {VALUE, NOT_APPLICABLE} and names:
            counts.update(zip(names, _numbers(item, len(names)), strict=True))
            statuses.update(dict.fromkeys(names, PUBLISHED))
    tables: dict[str, set[Table]] = {}
    for code, key in statuses:
        tables.setdefault(code, set()).add(tuple(read_dims(key)))
    return Publication(
        name,
        read_period(head["period"]),
        head["known_at"]["number"],
        {"S0": 0, **{name: head["minimum_cell"][name] for name in _CLASSES}},
        counts,
        statuses,
        any(content.get("provisional", False) for content in told),
        tuple(withheld),
        {code: frozenset(found) for code, found in tables.items()},
        between,
    )


def _left_by(content: Mapping[str, Any], told: int) -> tuple[int, int | None]:
    """Return between which counts the truth lies for whoever reads a moved figure."""
    if "bound" not in content["noise"]:
        return (0, None)
    return possible_counts(told, minimum_of(content))


def minimum_of(content: Mapping[str, Any]) -> int:
    """Return the minimum of persons that holds in a dataflow: what goes to the hub alone is of class S2."""
    least: int = content["minimum_cell"]["S2" if content["dataflow"].endswith(".hub") else "S1"]
    return least


def _numbers(item: Mapping[str, Any], wanted: int) -> tuple[int, ...]:
    if item["status"] == NOT_APPLICABLE:
        return (0,) * wanted  # a rate of nobody
    return (item["denominator"], item["numerator"]) if wanted == 2 else (int(item["value"]),)


def with_counts(publication: Publication, counts: Mapping[Name, int]) -> Publication:
    """Return the publication as the node that made it knows it; what was published is taken as it was published."""
    return replace(publication, counts={**counts, **publication.counts})


class Builder:
    """Cells and relations of one release."""

    def __init__(self, catalogue: Catalogue, publication: Publication) -> None:
        self.catalogue = catalogue
        self.publication = publication
        self.cells: dict[Name, Cell] = {}
        self.relations: dict[Relation, None] = {}

    def build(self) -> tuple[list[Cell], list[Relation]]:
        """Return what the release shows, and what follows from it."""
        for indicator in released_indicators(self.catalogue, self.publication.period.frequency):
            for code in counts_behind(indicator):
                self._add_tables(self.catalogue.indicators[code], indicator)
        for indicator in self.catalogue.indicators.values():
            for whole in indicator.part_of:
                self._add_complement(indicator, self.catalogue.indicators[whole])
            if indicator.kind == "flow":
                self._add_untold(indicator)
        return list(self.cells.values()), list(self.relations)

    def _persons(self, name: Name) -> int:
        return self.publication.counts.get(name, 0)

    def _add(self, name: Name, persons: int, minimum: int, **options: Any) -> None:
        options = {"public": False, "block": self._block_of(name[0]), **options}
        self.cells[name] = Cell(self.publication.key(name), persons, minimum, **options)

    def _block_of(self, code: str) -> tuple[str, ...]:
        """Return where a cell has its room: a stock with who joined and left, a rest with the part; then the wholes."""
        indicator = self.catalogue.indicators.get(code.rpartition("-")[2])
        if indicator is not None and indicator.stock:
            indicator = self.catalogue.indicators[indicator.stock]
        return (indicator.code, *indicator.part_of) if indicator else (code,)

    def _relate(self, total: Name, parts: Iterable[Name]) -> None:
        key = self.publication.key
        self.relations[Relation(key(total), tuple(key(part) for part in parts))] = None

    def _add_tables(self, indicator: Indicator, shown: Indicator) -> None:
        """Add the counts of an indicator behind a released one that shows them."""
        publication, released = self.publication, shown.released
        minimum = publication.minimum[max(shown.sensitivity, indicator.sensitivity)]
        open_total = indicator.total_public or self._is_common(indicator)
        tables = [table for table in released if self._is_told(indicator, table)]
        for table in tables:
            for dims in cells_of(self.catalogue, table):
                name = (indicator.code, dims_key(dims))
                held = self.cells.get(name)
                status = "" if publication.statuses is None else publication.statuses.get(name, HELD)
                exact = status != MOVED and shown.dataflow not in publication.moved
                self._add(
                    name,
                    self._persons(name),
                    max(0 if open_total and not table else minimum, held.minimum if held else 0),
                    public=exact or (held is not None and held.public),
                    known=is_structural_zero(indicator, dims),
                    weight=_WEIGHTS[min(len(table), 2)] * (1 if indicator.internal else 2),  # a count before a part
                    past=status,
                    between=publication.between.get(name),
                )
        for table in tables:
            self._add_margins(indicator, table)

    def _is_common(self, indicator: Indicator) -> bool:
        """Tell whether this only serves a rate of what two public totals have in common (density).

        The receiver's rule is the same (`federation.observations.has_minimum`). Part of one public total is not public:
        beside the staff's total, a rate of contracts would tell how few have none.
        """
        wholes = [self.catalogue.indicators[code] for code in indicator.part_of]
        return indicator.internal and len(wholes) > 1 and all(whole.total_public for whole in wholes)

    def _is_told(self, indicator: Indicator, table: Table) -> bool:
        """Tell whether the table has values: a table whose source is missing has none in any cell."""
        if self.publication.statuses is not None:
            return table in self.publication.tables.get(indicator.code, ())
        return self._has_counts(indicator, table)

    def _has_counts(self, indicator: Indicator, table: Table) -> bool:
        counts = self.publication.counts
        return all((indicator.code, dims_key(dims)) in counts for dims in cells_of(self.catalogue, table))

    def _add_margins(self, indicator: Indicator, table: Table) -> None:
        """Add the sums of a table over each of its dimensions; a margin that is not shown is an inner cell."""
        for dropped in table:
            rest = tuple(letter for letter in table if letter != dropped)
            codes = [code.code for code in self.catalogue.dimensions[dropped].codes]
            for dims in cells_of(self.catalogue, rest):
                total = (indicator.code, dims_key(dims))
                if total not in self.cells:
                    self._add(total, self._persons(total), self.publication.minimum[indicator.sensitivity])
                self._relate(total, ((indicator.code, dims_key(dims | {dropped: code})) for code in codes))

    def _add_complement(self, part: Indicator, whole: Indicator) -> None:
        """Add what the whole has beyond the part, wherever both are shown."""
        code = f"{whole.code}-{part.code}"
        for inner, key in [name for name in self.cells if name[0] == part.code]:
            above = self.cells.get((whole.code, key))
            if above is None:
                continue
            below = self.cells[inner, key]
            exempt = not key and whole.total_public and self._is_common(part)
            self._add(
                (code, key),
                max(above.persons - below.persons, 0),  # an outsider who knows one of them counts nothing yet
                0 if exempt else max(below.minimum, above.minimum),
                known=_is_all_of_whole(self.catalogue, part, whole, read_dims(key)),
            )
            self._relate((whole.code, key), ((inner, key), (code, key)))

    def _add_untold(self, flow: Indicator) -> None:
        """Add the breakdowns of a flow in which only the other flow of its stock is told: time ties them all."""
        if (flow.code, "") not in self.cells:
            return
        others = {name[0] for name in self.cells if name[0] != flow.code} & {
            other.code for other in self.catalogue.indicators.values() if other.stock == flow.stock
        }
        shown = {tuple(read_dims(key)) for code, key in self.cells if code in others}
        minimum = self.publication.minimum[flow.sensitivity]
        for table in sorted(table for table in shown & set(flow.tables) if table):
            names = [(flow.code, dims_key(dims)) for dims in cells_of(self.catalogue, table)]
            inside = self.publication.statuses is None or any(name in self.publication.counts for name in names)
            if names[0] in self.cells or (inside and not self._has_counts(flow, table)):
                continue
            for name in names:
                self._add(name, self._persons(name), minimum)
            if len(table) == 1:
                self._relate((flow.code, ""), names)


def is_structural_zero(indicator: Indicator, dims: Mapping[str, str]) -> bool:
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
