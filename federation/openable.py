"""The test on public flags: could totals, once opened, tell something about fewer than four contributors.

The test sees flags alone: which cells each node withholds, never a value. A node's withheld cells are unknowns, tied by
its public relations (a margin and its parts). A combination of totals touches a node when what it sums there is not
fixed by that node's own relations. Touching nobody, it tells nothing new; touching one to three, it tells two
colluding contributors something about a third (or one about one). So every combination has to touch nobody or at least
FEW + 1 nodes. Over whole sets this cannot be judged two at a time (of nine nodes, four sets that differ by three or
four give one node exactly); it is a question of rank: taking any FEW nodes away must leave the rank of what the others
are touched by. Of few nodes every choice is tried; of many, four groups without a common member that each have that
rank prove it. Ranks are taken modulo a prime.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

FEW = 3  # two who collude, and the one they look for
_PRIME = 2**31 - 1
_TRIES = 60_000  # choices of FEW nodes, times candidates

Cell = Hashable
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """One total that might be opened: a cell summed over a set of nodes, a union of whole blocks."""

    cell: Cell
    nodes: frozenset[str]


def find_openable(
    candidates: Sequence[Candidate],
    relations: Sequence[tuple[Cell, Sequence[Cell]]],
    withheld: Mapping[str, Collection[Cell]],
) -> list[Candidate]:
    """Return the candidates that may be opened together, in their order.

    `relations` are (total, parts) of one node's table, the same for each; `withheld` names every contributor and its
    cells that are not public, never published ones among them. Where not all can be opened, the earlier ones win: part
    of what may be opened may be opened, so nothing that is left out could be added.
    """
    open_: set[Candidate] = set()
    for linked in _components(candidates, relations):
        part = [item for item in linked if _is_plausible(item, withheld)]
        open_.update(_choose(part, _touches(part, relations, withheld)))
    return [item for item in candidates if item in open_]


def _count(candidate: Candidate, withheld: Mapping[str, Collection[Cell]]) -> int:
    return sum(candidate.cell in withheld[node] for node in candidate.nodes)


def _is_plausible(candidate: Candidate, withheld: Mapping[str, Collection[Cell]]) -> bool:
    """Tell what needs no algebra: withheld by nobody, or by more than FEW."""
    return not 0 < _count(candidate, withheld) <= FEW


def _components(
    candidates: Sequence[Candidate], relations: Sequence[tuple[Cell, Sequence[Cell]]]
) -> list[list[Candidate]]:
    """Part the candidates by cells that relations link; the parts tell nothing about each other."""
    group: dict[Cell, Cell] = {}

    def root(cell: Cell) -> Cell:
        while group.setdefault(cell, cell) != cell:
            group[cell] = cell = group[group[cell]]
        return cell

    for total, parts in relations:
        for part in parts:
            group[root(part)] = root(total)
    found: dict[Cell, list[Candidate]] = defaultdict(list)
    for item in candidates:
        found[root(item.cell)].append(item)
    return list(found.values())


def _touches(
    candidates: Sequence[Candidate],
    relations: Sequence[tuple[Cell, Sequence[Cell]]],
    withheld: Mapping[str, Collection[Cell]],
) -> list[tuple[int, Rows]]:
    """Return how many nodes are alike, and their rows: a combination touches them where one row is not zero on it."""
    near = _reach({item.cell for item in candidates}, relations)
    kinds: Counter[tuple[frozenset[Cell], tuple[bool, ...]]] = Counter(
        (near.intersection(cells), tuple(node in item.nodes for item in candidates)) for node, cells in withheld.items()
    )
    linked = [relation for relation in relations if relation[0] in near]
    found = [(count, _touch(candidates, linked, *kind)) for kind, count in kinds.items()]
    return [(count, rows) for count, rows in found if rows.any()]


def _reach(cells: Iterable[Cell], relations: Sequence[tuple[Cell, Sequence[Cell]]]) -> frozenset[Cell]:
    """Return the cells that relations link to these."""
    near, grown = set(cells), True
    while grown:
        fresh = {
            c for total, parts in relations if not near.isdisjoint((total, *parts)) for c in (total, *parts)
        } - near
        near |= fresh
        grown = bool(fresh)
    return frozenset(near)


def _touch(
    candidates: Sequence[Candidate],
    relations: Sequence[tuple[Cell, Sequence[Cell]]],
    cells: Collection[Cell],
    inside: Sequence[bool],
) -> Rows:
    """Return over the candidates what the node's withheld cells can still do after its own relations."""
    place = {cell: number for number, cell in enumerate(cells)}
    known = np.zeros((len(relations), len(place)), dtype=np.int64)
    for row, (total, parts) in zip(known, relations, strict=True):
        for cell, sign in ((total, 1), *((part, -1) for part in parts)):
            if cell in place:
                row[place[cell]] += sign
    moves = _kernel(known)
    rows = np.zeros((len(moves), len(candidates)), dtype=np.int64)
    for number, item in enumerate(candidates):
        if inside[number] and item.cell in place:
            rows[:, number] = moves[:, place[item.cell]]
    return rows


def _choose(candidates: Sequence[Candidate], touched: Sequence[tuple[int, Rows]]) -> list[Candidate]:
    """Take candidates as long as the rank without any FEW nodes stays that of all.

    The columns that are taken are kept reduced in every matrix: the next one has to be new in all of them or in none.
    """
    if not touched:
        return list(candidates)
    matrices = [_reduced(np.concatenate([rows for _, rows in touched])), *_without_few(touched, len(candidates))]
    spans = [_Span() for _ in matrices]
    chosen = []
    for number, item in enumerate(candidates):
        left = [span.rest(matrix[:, number]) for span, matrix in zip(spans, matrices, strict=True)]
        if not left[0].any():
            chosen.append(item)
        elif all(column.any() for column in left):
            chosen.append(item)
            for span, column in zip(spans, left, strict=True):
                span.add(column)
    return chosen


def _without_few(touched: Sequence[tuple[int, Rows]], width: int) -> Iterator[Rows]:
    """Yield what is left without FEW nodes, for every choice of them; where there are too many, four disjoint groups.

    Whichever FEW nodes are taken away, one of the groups is left whole.
    """
    alike = [number for number, (count, _) in enumerate(touched) for _ in range(min(count, FEW))]
    if comb(len(alike), FEW) * width <= _TRIES:
        for choice in {tuple(sorted(choice)) for choice in combinations(alike, min(FEW, len(alike)))}:
            gone = Counter(choice)
            left = [rows for number, (count, rows) in enumerate(touched) if gone[number] < count]
            yield _reduced(np.concatenate(left)) if left else np.zeros((1, width), dtype=np.int64)
        return
    groups: list[list[Rows]] = [[] for _ in range(FEW + 1)]
    turn = 0
    for count, rows in sorted(touched, key=lambda item: item[0]):
        for _ in range(min(count, FEW + 1)):
            groups[turn % len(groups)].append(rows)
            turn += 1
    yield from (_reduced(np.concatenate(group)) if group else np.zeros((1, width), dtype=np.int64) for group in groups)


class _Span:
    """A growing set of independent columns."""

    def __init__(self) -> None:
        self._leads: list[int] = []
        self._columns: list[Rows] = []

    def rest(self, column: Rows) -> Rows:
        """Return what is left of a column; all zero where it depends on those held."""
        left = column.copy()
        for lead, held in zip(self._leads, self._columns, strict=True):
            if left[lead]:
                left = (left - left[lead] * held) % _PRIME
        return left

    def add(self, rest: Rows) -> None:
        """Hold a column that `rest` returned."""
        lead = int(np.flatnonzero(rest)[0])
        self._leads.append(lead)
        self._columns.append(rest * pow(int(rest[lead]), -1, _PRIME) % _PRIME)


def _reduced(rows: Rows) -> Rows:
    """Return the reduced echelon form without its zero rows (one at least)."""
    return _eliminate(rows)[0]


def _kernel(rows: Rows) -> Rows:
    """Return a basis of the vectors that every row maps to zero."""
    echelon, leads = _eliminate(rows)
    free = [column for column in range(rows.shape[1]) if column not in set(leads)]
    basis = np.zeros((len(free), rows.shape[1]), dtype=np.int64)
    basis[range(len(free)), free] = 1
    if leads and free:
        basis[:, leads] = -echelon[: len(leads), free].T % _PRIME
    return basis


def _eliminate(rows: Rows) -> tuple[Rows, list[int]]:
    """Return the reduced echelon form and the column of each leading 1."""
    left = np.unique(rows % _PRIME, axis=0) if len(rows) else np.zeros((1, rows.shape[1]), dtype=np.int64)
    leads: list[int] = []
    for column in range(left.shape[1]):
        found = np.flatnonzero(left[len(leads) :, column])
        if not len(found):
            continue
        rank, pivot = len(leads), len(leads) + int(found[0])
        left[[rank, pivot]] = left[[pivot, rank]]
        left[rank] = left[rank] * pow(int(left[rank, column]), -1, _PRIME) % _PRIME
        others = np.flatnonzero(left[:, column])
        others = others[others != rank]
        left[others] = (left[others] - np.outer(left[others, column], left[rank])) % _PRIME
        leads.append(column)
        if len(leads) == len(left):
            break
    return left[: max(len(leads), 1)], leads
