"""What time ties together: the releases of one node, of all periods, revisions and audiences, as one problem.

* A stock on one day is one number, in whatever month, quarter or year it stands, and in every revision of it.
* A stock is the one at the period's beginning, and who joined, less who left.
* What happened in a quarter happened in its months; what happened in a union year, in its quarters.
* Loose: a stock that was withheld last time is, for somebody who guesses, what it is now, one person more or less.

Each holds as far as nothing was corrected in between. Inside the node a link is drawn where it is true, so that whoever
believes it is held off; outside all are drawn and `history` finds which of them can be believed at once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from federation.catalogue import Catalogue, Table, dims_key
from federation.disclosure import HELD, PUBLISHED, Cell, Key, Link, Relation
from federation.periods import MONTH, QUARTER, UNION_YEAR, Period, period_of
from federation.publications import MOVED, Builder, Name, Publication, cells_of, counts_behind, released_indicators

_FINER = {UNION_YEAR: (QUARTER, MONTH), QUARTER: (MONTH,)}
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Problem:
    """Cells, relations and links, as `disclosure.protect` takes them."""

    cells: tuple[Cell, ...]
    relations: tuple[Relation, ...]
    links: tuple[Link, ...]


def join_publications(catalogue: Catalogue, publications: Sequence[Publication], *, true_only: bool) -> Problem:
    """Return all releases as one problem, oldest first; with `true_only` the links that hold for the given counts."""
    cells: dict[Key, Cell] = {}
    relations: list[Relation] = []
    for publication in publications:
        found, related = Builder(catalogue, publication).build()
        cells |= {cell.key: cell for cell in found}
        relations += related
    drawn = _Links(catalogue, publications, cells, true_only=true_only)
    return Problem(tuple(cells.values()), tuple(relations), tuple(drawn.all()))


def join_new(
    catalogue: Catalogue, past: Sequence[Publication], new: Publication, silent: Collection[Key] = ()
) -> Problem:
    """Return the part of the problem that a new release touches: what else is unknown and hangs together with it.

    A new cell that says what is public already is as public as that, unless it is one of the `silent`.
    """
    whole = join_publications(catalogue, [*past, new], true_only=True)
    cells = {cell.key: cell for cell in whole.cells}
    links = []
    for link in whole.links:
        if link.loose and link.left[0][0] != new.name:
            continue  # guesses reach back one period
        old = cells[link.right[0]]
        if link.left[0][0] == new.name and len(link.left) == len(link.right) == 1 and old.past == PUBLISHED:
            mine = cells[link.left[0]]
            if mine.is_small or mine.key in silent:
                continue  # said before, under a lower minimum or wrongly, and not again
            if mine.public:
                cells[mine.key] = replace(mine, past=PUBLISHED)
        links.append(link)
    relations = [row for row in whole.relations if row.total[0] == new.name or _adds_up(cells, row)]
    return touched(cells.values(), relations, links, new.name)


def _adds_up(cells: Mapping[Key, Cell], row: Relation) -> bool:
    """Tell whether an old relation still holds: what was counted anew since may differ from what was published."""
    return cells[row.total].persons == sum(cells[part].persons for part in row.parts)


def touched(cells: Iterable[Cell], relations: Sequence[Relation], links: Sequence[Link], name: str) -> Problem:
    """Return the cells of one release, and everything unknown that relations and links lead to from them."""
    held = {cell.key: cell for cell in cells}
    rows: list[tuple[Key, ...]] = [(row.total, *row.parts) for row in relations]
    rows += [(*row.left, *row.right) for row in links]
    rows_of: dict[Key, list[int]] = {}
    for number, row in enumerate(rows):
        for key in row:
            if _is_open(held[key]):
                rows_of.setdefault(key, []).append(number)
    pending = [key for key in held if key[0] == name]
    seen, reached = set(pending), set[int]()
    reached |= {number for number, row in enumerate(rows) if any(key[0] == name for key in row)}
    for number in reached:
        pending += [key for key in rows[number] if _is_open(held[key])]
    while pending:
        for number in rows_of.get(pending.pop(), ()):
            if number not in reached:
                reached.add(number)
                pending += [key for key in rows[number] if _is_open(held[key])]
    seen |= {key for number in reached for key in rows[number]}
    return Problem(
        tuple(cell for key, cell in held.items() if key in seen),
        tuple(row for number, row in enumerate(relations) if number in reached),
        tuple(row for number, row in enumerate(links, len(relations)) if number in reached),
    )


def _is_open(cell: Cell) -> bool:
    """Tell whether an outsider does not know a cell yet."""
    return cell.past != PUBLISHED and not cell.known


class _Links:
    """The links among publications, oldest first."""

    def __init__(
        self, catalogue: Catalogue, publications: Sequence[Publication], cells: dict[Key, Cell], *, true_only: bool
    ) -> None:
        self.catalogue = catalogue
        self.publications = publications
        self.cells = cells
        self.true_only = true_only
        self.names: dict[str, list[Name]] = {}
        for key in cells:
            self.names.setdefault(key[0], []).append((key[1], key[2]))

    def all(self) -> Iterator[Link]:
        """Yield every link once."""
        for place, later in enumerate(self.publications):
            earlier = self.publications[:place]
            yield from self._same(earlier, later)
            yield from self._last_time(earlier, later)
        for publication in self.publications:
            yield from self._balances(publication)
            yield from self._sums(publication)

    def _is_stock(self, name: Name) -> bool:
        indicator = self.catalogue.indicators.get(name[0])
        return indicator is not None and indicator.kind == "stock"

    def _link(self, left: Iterable[Key], right: Iterable[Key]) -> Iterator[Link]:
        link = Link(tuple(left), tuple(right))
        cells = self.cells
        if any(key not in cells for key in (*link.left, *link.right)):
            return
        gap = sum(cells[key].persons for key in link.left) - sum(cells[key].persons for key in link.right)
        if not gap or not self.true_only:
            yield link

    def _same(self, earlier: Sequence[Publication], later: Publication) -> Iterator[Link]:
        """Tie what is one number: a stock on one day, whatever is counted of one period."""
        for before in earlier:
            if before.period.end != later.period.end:
                continue
            for name in self.names.get(later.name, ()):
                mine, old = later.key(name), before.key(name)
                if old in self.cells and (before.period == later.period or self._is_stock(name)):
                    yield from self._link([mine], [old])
                    yield from self._guess(mine, old)

    def _last_time(self, earlier: Sequence[Publication], later: Publication) -> Iterator[Link]:
        """Tie a stock to itself one period before, for who guesses that little moved."""
        wanted = later.period.previous()
        before = next((item for item in reversed(earlier) if item.period == wanted), None)
        if before is not None:
            for name in filter(self._is_stock, self.names.get(later.name, ())):
                yield from self._guess(later.key(name), before.key(name), same=True)

    def _guess(self, mine: Key, old: Key, *, same: bool = False) -> Iterator[Link]:
        held, cells = self.cells.get(old), self.cells
        if not self.true_only or held is None or held.past != HELD:
            return
        moved = abs(cells[mine].persons - held.persons)
        if moved or same:
            yield Link((mine,), (old,), max(moved, 1), loose=True)

    def _balances(self, publication: Publication) -> Iterator[Link]:
        """Tie a stock to the one before it, by who joined and who left."""
        flows = self._flows(publication)
        before = [item for item in self.publications if item.period.end == publication.period.start - _DAY]
        after = [publication, *(item for item in self.publications if item.period.end == publication.period.end)]
        for stock, (joins, leaves) in flows.items():
            for code, key in self.names.get(publication.name, ()):
                if code != joins:
                    continue
                flow = publication.key((joins, key)), publication.key((leaves, key))
                ends = [item.key((stock, key)) for item in after if item.key((stock, key)) in self.cells]
                starts = [item.key((stock, key)) for item in reversed(before) if item.key((stock, key)) in self.cells]
                for start in starts:
                    tied = list(self._link([*ends[:1], flow[1]], [start, flow[0]]))
                    yield from tied
                    if tied:
                        break

    def _flows(self, publication: Publication) -> dict[str, tuple[str, str]]:
        """Return the flows in and out of each stock that a release tells of."""
        told = {code for code, _ in self.names.get(publication.name, ())}
        found: dict[str, dict[str, str]] = {}
        for indicator in self.catalogue.indicators.values():
            if indicator.code in told and indicator.kind == "flow":
                found.setdefault(indicator.stock, {})[indicator.event] = indicator.code
        return {stock: (by["start"], by["end"]) for stock, by in found.items() if {*by} == {"start", "end"}}

    def _sums(self, publication: Publication) -> Iterator[Link]:
        """Tie what happened in a period to what happened in its parts."""
        for frequency in _FINER.get(publication.period.frequency, ()):
            parts = [self._newest(period) for period in _parts(publication.period, frequency)]
            whole = [part for part in parts if part is not None]
            if len(whole) < len(parts):
                continue
            for code, key in self.names.get(publication.name, ()):
                indicator = self.catalogue.indicators.get(code)
                if indicator is not None and indicator.kind == "flow":
                    yield from self._link([publication.key((code, key))], [part.key((code, key)) for part in whole])

    def _newest(self, period: Period) -> Publication | None:
        return next((item for item in reversed(self.publications) if item.period == period), None)


def _parts(period: Period, frequency: str) -> list[Period]:
    """Return the periods of a finer frequency that make up a period."""
    found = [period_of(period.start, frequency)]
    while found[-1].end < period.end:
        found.append(period_of(found[-1].end + _DAY, frequency))
    return found


def small_moves(catalogue: Catalogue, before: Publication, new: Publication) -> list[tuple[str, str]]:
    """Return the tables (indicator, letters) in which two statements about one day differ by a few persons only.

    Whoever lays the two side by side sees what these few are: a table of persons too few to be published. That goes for
    figures moved by cell keys too: where nobody moved, they stay the same. Both must have the counts inside.
    """
    found = []
    for indicator in released_indicators(catalogue, new.period.frequency):
        for code in counts_behind(indicator):
            counted = catalogue.indicators[code]
            if counted.kind == "flow" and before.period != new.period:
                continue
            minimum = new.minimum[max(counted.sensitivity, indicator.sensitivity)]
            tables = (table for table in indicator.released if table)
            tells = (table for table in tables if _tells(catalogue, before, new, code, table, minimum))
            found += [(indicator.code, "".join(table)) for table in tells]
    return list(dict.fromkeys(found))


def _tells(catalogue: Catalogue, before: Publication, new: Publication, code: str, table: Table, minimum: int) -> bool:
    """Tell whether a few persons moved in a table, and anything of it can be seen."""
    up = down = 0
    seen = False
    for dims in cells_of(catalogue, table):
        name = (code, dims_key(dims))
        if name not in before.counts or name not in new.counts:
            return False
        gap = new.counts[name] - before.counts[name]
        up, down = up + max(gap, 0), down + max(-gap, 0)
        seen |= bool(gap) and all(_is_seen(item, name) for item in (before, new))
    return seen and 0 < max(up, down) < minimum


def _is_seen(publication: Publication, name: Name) -> bool:
    """Tell whether a figure would change with its count alone; noise that is drawn anew changes it anyway."""
    status = (publication.statuses or {}).get(name)
    return status == PUBLISHED or (status == MOVED and publication.between[name][1] is not None)
