"""A family of linked tables: which of its cells are added up over whole blocks, and which totals are published.

A round sums only what may be opened. The nodes' own releases come first, so it is public which cells each of them
withholds, and from that alone follows which totals together tell nothing about three nodes or fewer (`openable`). Once
they are opened, the totals meet what everybody released in one more audit: a total that leaves a withheld cell of any
node, or a small total that is withheld itself, too narrow a range is not published. The first choice needs no value;
the second none but the totals and what is public, so both aggregators come to the same.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from federation.catalogue import Catalogue, Table, dims_key, read_dims
from federation.disclosure import HELD, PUBLISHED, Cell, Key, Relation
from federation.documents import dump_document, read_object, sha256_hex
from federation.errors import Conflict, InputRefused, Text, TrustError
from federation.history import TOTAL, components, look_at
from federation.linkage import Problem
from federation.openable import Candidate, find_openable
from federation.periods import Period
from federation.publications import Builder, Name, Publication, cells_of
from federation.validation import check_schema
from schemas import load_data

TOO_SMALL, PROTECTS = "too-small", "protects"


@dataclass(frozen=True)
class Family:
    """Indicators that are added up together, the tables of each, and for which periods."""

    id: str
    name: Text
    frequency: str
    tables: Mapping[str, tuple[Table, ...]]


@dataclass(frozen=True)
class Layout:
    """The cells of a round in their order, and the relations among them by place: (total, parts)."""

    family: str
    period: str
    cells: tuple[Name, ...]
    relations: tuple[tuple[int, tuple[int, ...]], ...]

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of what each number of a table stands for."""
        named = {"family": self.family, "period": self.period, "cells": [list(name) for name in self.cells]}
        return sha256_hex(dump_document(named))

    def keep(self, names: Collection[Name]) -> "Layout":
        """Return the layout of these cells alone, with the relations that stay whole."""
        cells = tuple(name for name in self.cells if name in names)
        places = {name: place for place, name in enumerate(cells)}
        found = [(self.cells[total], [self.cells[part] for part in parts]) for total, parts in self.relations]
        relations = tuple(
            (places[total], tuple(places[part] for part in parts))
            for total, parts in found
            if total in places and all(part in places for part in parts)
        )
        return replace(self, cells=cells, relations=relations)


@dataclass(frozen=True)
class Totals:
    """What became of each cell of an opened round: the published ones, and why the others stay back."""

    published: Mapping[Name, int]
    withheld: Mapping[Name, str]  # TOO_SMALL | PROTECTS


@cache
def load_families() -> Mapping[str, Family]:
    """Return the families that this program knows, by their ids."""
    value = read_object(load_data("families"))
    check_schema("indicator-families.v1", value)
    return {item["id"]: _family(item) for item in value["families"]}


def find_family(family: str) -> Family:
    """Return a family; raise InputRefused where there is none."""
    found = load_families().get(family)
    if found is None:
        known = "、".join(load_families())
        raise InputRefused(
            "family-unknown",
            f"没有这个指标族；已知：{known}。",
            f"There is no such family; known are: {known.replace('、', ', ')}.",
            value=family[:40],
        )
    return found


def _family(item: Mapping[str, Any]) -> Family:
    tables = {code: tuple(tuple(letters) for letters in found) for code, found in item["tables"].items()}
    return Family(item["id"], Text(item["names"]["zh"], item["names"]["en"]), item["frequency"], tables)


def lay_out(catalogue: Catalogue, family: Family, period: Period) -> Layout:
    """Return every cell of a family, totals before details, and what adds up to what; raise InputRefused.

    A cell that is zero by definition is none.
    """
    if period.frequency != family.frequency:
        raise InputRefused(
            "family-period",
            "这个指标族不按这种期间汇总。",
            "This family is not added up for such a period.",
            value=period.label,
        )
    tables = [(code, table) for code, found in family.tables.items() for table in found]
    for code, table in tables:
        if table not in catalogue.get(code).released:
            raise InputRefused(
                "family-table",
                f"指标目录不发布该表：{code}。",
                f"The catalogue does not release this table of {code}.",
                value="".join(table),
            )
    empty = {(code, dims_key(dims)): 0 for code, table in tables for dims in cells_of(catalogue, table)}
    blank = Publication("", period, 0, {"S0": 0, "S1": 0, "S2": 0}, empty)
    built, related = Builder(catalogue, blank).build()
    certain = {cell.key[1:] for cell in built if cell.known}
    cells = tuple(sorted((name for name in empty if name not in certain), key=lambda name: len(read_dims(name[1]))))
    places = {name: place for place, name in enumerate(cells)}
    relations = []
    for relation in related:
        total, parts = _name(relation.total), [_name(part) for part in relation.parts]
        if total in places and all(part in empty for part in parts):
            relations.append((places[total], tuple(places[part] for part in parts if part in places)))
    return Layout(family.id, period.label, cells, tuple(relations))


def table_of(layout: Layout, counts: Mapping[Name, int]) -> list[int]:
    """Return a node's table in the layout's order; raise Conflict where a figure is missing."""
    missing = [name for name in layout.cells if name not in counts]
    if missing:
        code, dims = missing[0]
        raise Conflict(
            "family-incomplete",
            f"有 {len(missing)} 个数字尚未算出（如 {code} {dims}），不能参加合计。请先计算该期指标。",
            f"{len(missing)} figures are not computed (such as {code} {dims}), so nothing can be contributed. "
            "Compute the indicators of this period first.",
            missing=len(missing),
        )
    return [counts[name] for name in layout.cells]


def flags_of(layout: Layout, released: Publication) -> frozenset[Name]:
    """Return the cells of a layout that are not public in a node's release; what it does not tell of is not."""
    statuses = released.statuses or {}
    return frozenset(name for name in layout.cells if statuses.get(name) != PUBLISHED)


def find_told(layout: Layout, released: Iterable[Publication]) -> frozenset[Name]:
    """Return the cells of which every one of these releases tells, published or withheld."""
    return frozenset(layout.cells).intersection(*((publication.statuses or {}) for publication in released))


def choose(layout: Layout, released: Mapping[str, Publication]) -> Layout:
    """Return the cells whose totals over all these nodes may be opened together, by what is public alone.

    A cell is added up only where every node's release tells of it: a college without birth dates keeps no age band back
    from the others' releases, but there is no total of it. Raises Conflict where nothing is left.
    """
    told = find_told(layout, released.values())
    if not told:
        raise Conflict(
            "family-not-released",
            "各节点的发布没有共同的单元格，不能合计。",
            "The releases of these nodes have no cell in common; there is no total.",
        )
    nodes = frozenset(released)
    relations = [(layout.cells[total], [layout.cells[part] for part in parts]) for total, parts in layout.relations]
    withheld = {node: flags_of(layout, publication) for node, publication in released.items()}
    opened = find_openable([Candidate(name, nodes) for name in layout.cells if name in told], relations, withheld)
    return layout.keep({item.cell for item in opened if isinstance(item.cell, tuple)})


def publish_totals(
    catalogue: Catalogue, layout: Layout, totals: Sequence[int], released: Mapping[str, Publication]
) -> Totals:
    """Return which opened totals are published, together with all that these nodes released.

    Raises TrustError where no tables of counts fit both: a release or a contribution is not true.
    """
    values = dict(zip(layout.cells, totals, strict=True))
    problem = _join(catalogue, values, released)
    back = {_name(cell.key): TOO_SMALL for cell in problem.cells if cell.key[0] == TOTAL and cell.past == HELD}
    order: dict[Key, int] = {(TOTAL, *name): place for place, name in enumerate(layout.cells)}
    for part in components(problem):
        back |= {_name(key): PROTECTS for key in _guard(part, order)}
    return Totals({name: value for name, value in values.items() if name not in back}, back)


def _join(catalogue: Catalogue, values: Mapping[Name, int], released: Mapping[str, Publication]) -> Problem:
    """Return all nodes' cells and the totals as one problem, in which each total is what the nodes' cells add up to."""
    cells: dict[Key, Cell] = {}
    relations: list[Relation] = []
    for node, publication in released.items():
        built, related = Builder(catalogue, replace(publication, name=node)).build()
        cells |= {cell.key: cell for cell in built}
        relations += related
    for name, value in values.items():
        parts = [cells[node, *name] for node in released]
        total = Cell((TOTAL, *name), value, max((cell.minimum for cell in parts), default=0))
        cells[total.key] = replace(total, past=HELD if total.is_small else PUBLISHED)
        relations.append(Relation(total.key, tuple(cell.key for cell in parts)))
        if all(cell.past == PUBLISHED for cell in parts) and value != sum(cell.persons for cell in parts):
            raise _contradicts()
    return Problem(tuple(cells.values()), tuple(relations), ())


def _guard(part: Problem, order: Mapping[Key, int]) -> Iterator[Key]:
    """Yield the totals of a component that stay back so that no withheld cell is too narrow, details first.

    What the releases give away by themselves is not a total's affair: it asks for nothing.
    """
    outsider = look_at(part)
    if outsider is None:
        raise _contradicts()
    spare = {place: order[cell.key] for place, cell in enumerate(part.cells) if cell.key in order}
    for place, cell in enumerate(part.cells):
        if place not in outsider.unknown or not (cell.past == HELD or cell.minimum):
            continue
        while (binding := outsider.find_binding(place, cell.width)) is not None:
            candidates = [other for other in binding if other in spare]
            if not candidates or not (cell.past == HELD or _is_told(cell, outsider.range_of(place))):
                break
            last = max(candidates, key=spare.__getitem__)
            outsider.withhold([last])
            yield part.cells[last].key


def _contradicts() -> TrustError:
    return TrustError(
        "total-contradicts",
        "合计与各节点已公开的数字矛盾，不予发布。",
        "A total contradicts what the nodes have published; it is not published.",
    )


def _is_told(cell: Cell, found: tuple[int, int | None]) -> bool:
    """Tell whether a cell that is never published is known to hold a few persons."""
    low, high = found
    return low > 0 and high is not None and high < cell.minimum


def _name(key: Key) -> Name:
    _, code, dims = key
    return code, dims
