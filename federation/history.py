"""The audit from outside: everything a node ever published, read from its signed contents alone.

Anybody who holds the records can run it. An observation is open where what is public, all periods, revisions and
audiences together, leaves less room to every count behind it than its class demands; a published count below the
minimum is open as it stands. Links of time are believed as far as they do not contradict each other. Cells hang
together only through what is not known: each such component is asked for itself.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from federation.catalogue import Catalogue
from federation.disclosure import HELD, PUBLISHED, Cell, Key, Link, Relation
from federation.linkage import Problem, join_publications
from federation.outsider import Outsider, Row, find_point
from federation.publications import MOVED, Name, Publication, read_publication

TOTAL = "total"  # in place of a release, in the keys of totals
SMALL, NARROW, CONTRADICTION = "published-small", "narrow", "contradiction"


@dataclass(frozen=True)
class Finding:
    """One cell that is open: the release, the cell, why, and between which counts it must lie."""

    release: str
    indicator: str
    dims: str
    why: str
    low: int = 0
    high: int | None = None


@dataclass(frozen=True)
class History:
    """What the audit found, and how much it looked at."""

    publications: tuple[Publication, ...]
    findings: tuple[Finding, ...]
    cells: int
    withheld: int
    components: int


def group_contents(catalogue: Catalogue, contents: Iterable[Mapping[str, Any]]) -> list[Publication]:
    """Return the releases that dataflows belong to, in the order in which they were signed."""
    groups: dict[Hashable, list[Mapping[str, Any]]] = defaultdict(list)
    for content in contents:
        least = content["minimum_cell"]
        groups[content["period"], content["known_at"]["number"], least["S1"], least["S2"]].append(content)
    return [
        read_publication(catalogue, told, f"{told[0]['period']}@{told[0]['known_at']['number']}.{number}")
        for number, told in enumerate(groups.values(), 1)
    ]


def _finding(key: Key, why: str, low: int = 0, high: int | None = None) -> Finding:
    release, indicator, dims = key
    return Finding(release, indicator, dims, why, low, high)


@dataclass(frozen=True)
class OpenedTotal:
    """A published exact total: what the newest releases of a period of these nodes add up to in one cell."""

    period: str
    name: Name
    value: int
    nodes: frozenset[str]


def audit_history(catalogue: Catalogue, publications: Sequence[Publication]) -> History:
    """Return every cell that is open in all that was published."""
    return _audit(publications, join_publications(catalogue, publications, true_only=False))


def audit_together(
    catalogue: Catalogue, by_node: Mapping[str, Sequence[Publication]], totals: Iterable[OpenedTotal]
) -> History:
    """Return every cell of any node that is open in what all of them published and the totals over them.

    A release is named by its node and its own name. A total is used where each of its nodes' releases is at hand.
    """
    cells: dict[Key, Cell] = {}
    relations: list[Relation] = []
    links: list[Link] = []
    renamed = {node: [replace(item, name=f"{node} {item.name}") for item in told] for node, told in by_node.items()}
    for told in renamed.values():
        problem = join_publications(catalogue, told, true_only=False)
        cells |= {cell.key: cell for cell in problem.cells}
        relations += problem.relations
        links += problem.links
    for total in totals:
        newest = [_newest(renamed.get(node, ()), total.period) for node in sorted(total.nodes)]
        parts = [item.key(total.name) for item in newest if item is not None and item.key(total.name) in cells]
        if len(parts) == len(total.nodes):
            known = Cell((f"{TOTAL} {total.period}", *total.name), total.value, 0, past=PUBLISHED)
            cells[known.key] = known
            relations.append(Relation(known.key, tuple(parts)))
    everything = [item for told in renamed.values() for item in told]
    return _audit(everything, Problem(tuple(cells.values()), tuple(relations), tuple(links)))


def _newest(publications: Sequence[Publication], period: str) -> Publication | None:
    return next((item for item in reversed(publications) if item.period.label == period), None)


def _audit(publications: Sequence[Publication], problem: Problem) -> History:
    findings = [
        _finding(cell.key, SMALL, cell.persons, cell.persons)
        for cell in problem.cells
        if cell.past == PUBLISHED and cell.is_small and not cell.known
    ]
    ranges: dict[Key, tuple[int, int | None]] = {}
    parts = list(components(problem))
    for part in parts:
        found = _ranges(part)
        if found is None:
            cell = next(cell for cell in part.cells if cell.past)
            findings.append(_finding(cell.key, CONTRADICTION))
        ranges |= found or {}
    findings += _narrow(publications, problem, ranges)
    withheld = sum(len(publication.withheld) for publication in publications)
    return History(tuple(publications), tuple(findings), len(problem.cells), withheld, len(parts))


def components(problem: Problem) -> Iterator[Problem]:
    """Cut a problem where everything is known: each part has what is unknown, and the known cells of its rows."""
    cells = {cell.key: cell for cell in problem.cells}
    rows: list[tuple[Sequence[Key], Relation | Link]] = [
        *(((row.total, *row.parts), row) for row in problem.relations),
        *(((*row.left, *row.right), row) for row in problem.links),
    ]
    groups = _Groups(key for key, cell in cells.items() if cell.past != PUBLISHED and not cell.known)
    for keys, _ in rows:
        groups.join(keys)
    found: dict[Key, tuple[dict[Key, Cell], list[Relation | Link]]] = {}
    for key in groups.above:
        found.setdefault(groups.root(key), ({}, []))[0][key] = cells[key]
    for keys, row in rows:
        first = next((key for key in keys if key in groups.above), None)
        if first is not None:
            held = found[groups.root(first)]
            held[0].update((key, cells[key]) for key in keys)
            held[1].append(row)
    for inside, mine in found.values():
        relations = tuple(row for row in mine if isinstance(row, Relation))
        links = tuple(row for row in mine if isinstance(row, Link))
        yield Problem(tuple(inside.values()), relations, links)


class _Groups:
    """Unknown cells, joined where a row has several of them."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.above = {key: key for key in keys}

    def root(self, key: Key) -> Key:
        """Return the cell that stands for the group of a cell."""
        while self.above[key] != key:
            self.above[key] = self.above[self.above[key]]
            key = self.above[key]
        return key

    def join(self, keys: Iterable[Key]) -> None:
        """Let the unknown ones among cells be one group."""
        unknown = [key for key in keys if key in self.above]
        for key in unknown[1:]:
            self.above[self.root(key)] = self.root(unknown[0])


def look_at(part: Problem) -> Outsider | None:
    """Return what an outsider can tell of a component, its cells by their places in `part.cells`.

    None where no table of counts fits what was said.
    """
    index = {cell.key: place for place, cell in enumerate(part.cells)}
    relations = [(index[row.total], [index[key] for key in row.parts]) for row in part.relations]
    links: list[Row] = [
        ([index[key] for key in row.left], [index[key] for key in row.right], row.slack) for row in part.links
    ]
    fixed = [None if cell.past != PUBLISHED and not cell.known else cell.persons for cell in part.cells]
    between = {place: cell.between for place, cell in enumerate(part.cells) if cell.between is not None}
    point = find_point(fixed, relations, links, between)
    if point is None:
        return None
    values, broken = point
    believed = [row for place, row in enumerate(links) if place not in set(broken)]
    exact = [value if known is None else float(known) for value, known in zip(values, fixed, strict=True)]
    floors = [between.get(place, (0, None))[0] for place in range(len(exact))]
    ceilings = {place: high for place, (_, high) in between.items() if high is not None}
    blocks = [cell.block for cell in part.cells]
    unknown = {place for place, known in enumerate(fixed) if known is None}
    outsider = Outsider(exact, floors, relations, believed, ceilings, blocks=blocks, never=unknown)
    outsider.withhold(unknown)
    return outsider


def _ranges(part: Problem) -> dict[Key, tuple[int, int | None]] | None:
    """Return the counts left to each withheld cell, as wide as its class demands or as wide as they are."""
    outsider = look_at(part)
    if outsider is None:
        return None
    found = {}
    for place, cell in enumerate(part.cells):
        if place in outsider.unknown and (cell.past == HELD or cell.minimum):
            outsider.find_binding(place, cell.width)
            found[cell.key] = outsider.range_of(place)
    return found


def _narrow(
    publications: Sequence[Publication], problem: Problem, ranges: Mapping[Key, tuple[int, int | None]]
) -> Iterator[Finding]:
    """Yield the withheld observations all of whose counts are pinned, and small never-published cells that are."""
    cells = {cell.key: cell for cell in problem.cells}

    def is_narrow(key: Key) -> bool:
        return _is_narrow(cells[key], ranges.get(key))

    for publication in publications:
        for names in publication.withheld:
            keys = [publication.key(name) for name in names]
            unknown = [key for key in keys if key in cells and cells[key].past == HELD and not cells[key].known]
            if unknown and all(is_narrow(key) for key in unknown):
                widest = max(unknown, key=lambda key: (ranges[key][1] or 0) - ranges[key][0])
                yield _finding(widest, NARROW, *ranges[widest])
    for key, (low, high) in ranges.items():
        cell = cells[key]
        if cell.past in {"", MOVED} and is_narrow(key) and low > 0 and high is not None and high < cell.minimum:
            yield _finding(key, NARROW, low, high)


def _is_narrow(cell: Cell, found: tuple[int, int | None] | None) -> bool:
    return found is not None and found[1] is not None and found[1] - found[0] < cell.width
