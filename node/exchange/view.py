"""The shared indicators as people and scripts see them: page, exported file, API and command read this one view.

A row is one cell of one indicator and period: the combined figure with its status and coverage, each node's own, this
node's value beside the quartile band of the others, and the ids of the records that the figure rests on. Reads only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

from sqlmodel import Session

from federation.catalogue import Catalogue, Indicator, dims_key, load_catalogue, read_dims
from federation.errors import InputRefused, Text
from federation.grants import NODES, TOTALS
from federation.periods import YEAR, read_period
from federation.publications import Name
from federation.roll import AGGREGATOR
from federation.rollup import (
    COUNT_YES,
    RATIO,
    REPORTED,
    WORDS,
    Combined,
    Coverage,
    Exact,
    Part,
    combine,
    complete,
    expected_error,
    number_of,
    quartiles,
    written,
)
from federation.statuses import DOES_NOT_APPLY, MISSING, NOISY
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.exchange.models import SharedFigure
from node.exchange.offered import level_of
from node.exchange.shared import list_periods, load_shared
from node.stream.listed import find_grants
from node.stream.models import Federation
from node.stream.peers import list_peers
from node.stream.sealed import own_member
from node.stream.service import find_federation
from node.stream.standing import is_active, reports
from node.totals.service import load_exact

STAFF_TOTAL = "MEM_STAFF_CNT"  # whose total says how many persons a node speaks for
Table = tuple[str, ...]

BELOW, WITHIN, ABOVE = "below", "within", "above"
PLACE_TEXTS: Mapping[str, Text] = {
    BELOW: Text("低于四分位区间", "below the band"),
    WITHIN: Text("在四分位区间内", "within the band"),
    ABOVE: Text("高于四分位区间", "above the band"),
}


@dataclass(frozen=True)
class NodeFigure:
    """What one node has shared of a cell. `value` is an int for a count, else a decimal text (a rate in percent)."""

    origin: str
    name: str
    own: bool
    status: str
    value: int | str | None
    numerator: int | None
    denominator: int | None
    record_id: str
    revision: int
    method: str = ""  # by which it was moved by chance
    error: str = ""  # the standard error then, in the unit of `value`

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return dict(vars(self))


@dataclass(frozen=True)
class ShownBand:
    """The quartiles of the other nodes' values as texts, how many they are, and where this node's value lies."""

    lower: str
    median: str
    upper: str
    peers: int
    place: str  # below, within, above; "" where this node has no value


@dataclass(frozen=True)
class ViewRow:
    """One cell: `dims` letter to code, `labels` in both languages; `value` as in NodeFigure."""

    indicator: str
    period: str
    dims: Mapping[str, str]
    labels: tuple[Text, ...]
    status: str
    value: int | str | None
    numerator: int | None
    denominator: int | None
    coverage: Coverage
    own: NodeFigure | None
    band: ShownBand | None
    nodes: tuple[NodeFigure, ...]
    error: str
    methods: tuple[str, ...]  # by which parts of it were moved by chance
    sources: tuple[str, ...]  # ids of the records that the figure rests on

    def as_json(self, *, sources: bool = False) -> dict[str, Any]:
        """Return the combined figure for scripts."""
        rate = {"numerator": self.numerator, "denominator": self.denominator} if self.denominator else {}
        return {
            "indicator": self.indicator,
            "period": self.period,
            "dims": dict(self.dims),
            "value": self.value,
            "status": self.status,
            **({"methods": list(self.methods), "error": self.error} if self.methods else {}),
            **rate,
            "coverage": vars(self.coverage),
            "own": self.own.as_json() if self.own else None,
            "band": vars(self.band) if self.band else None,
            **({"sources": list(self.sources)} if sources else {}),
        }

    def nodes_as_json(self, *, sources: bool = False) -> list[dict[str, Any]]:
        """Return each node's figure for scripts."""
        cell = {"indicator": self.indicator, "period": self.period, "dims": dict(self.dims)}
        told = [cell | node.as_json() | {"coverage": vars(self.coverage)} for node in self.nodes]
        return told if sources else [{key: entry[key] for key in entry if key != "record_id"} for entry in told]


@dataclass(frozen=True)
class View:
    """The rows of one indicator and period, and who has not reported it."""

    indicator: Indicator
    period: str
    rows: tuple[ViewRow, ...]
    missing: tuple[str, ...]  # names of nodes that reported no cell of it


@dataclass(frozen=True)
class _Members:
    """Who is expected to report, by id, with their names; and which of them is this node."""

    names: Mapping[str, str]
    own: str
    persons: Mapping[str, int]
    level: Callable[[Indicator], str]  # at which the grants let this node read: `nodes`, `totals`, "" its own alone
    exact: Mapping[Name, Exact]  # totals of secret sums, of the period that is looked at


def read_view(node: Node, actor: Actor, indicator: str, period: str, *, tables: Iterable[Table] | None = ((),)) -> View:
    """Return one indicator for one period, by these tables (`()` the total, `("G",)`), or by all for None.

    Every cell of a table is there, whoever reported it. Raise NotPermitted, and InputRefused for what there is not.
    """
    check_permission(actor, "indicator.read")
    catalogue = load_catalogue()
    defined = _get_shared_indicator(catalogue, indicator)
    label = _read_shared_period(period)
    chosen = defined.released if tables is None else tuple(_check_table(defined, table) for table in tables)
    with node.database.read() as session:
        federation = find_federation(session, node)
        names = _expected(session, node, federation)
        wanted = (defined.code, STAFF_TOTAL)
        figures = load_shared(session, federation.id, names, label, wanted) if federation else []
        level = _levels(session, node, federation)
        exact = load_exact(session, node, label)
    members = _Members(names, node.node_id, _persons(figures), level, exact)
    mine = [figure for figure in figures if figure.indicator == defined.code]
    cells = [cell for table in chosen for cell in _cells(catalogue, defined, table)]
    told = {figure.origin for figure in mine if figure.status != "O"}
    missing = tuple(name for origin, name in members.names.items() if origin not in told)
    return View(defined, label, tuple(_rows(catalogue, defined, label, cells, mine, members)), missing)


def read_rollup(node: Node, actor: Actor, period: str) -> list[ViewRow]:
    """Return every cell of every indicator of which somebody has reported something for this period."""
    check_permission(actor, "indicator.read")
    catalogue = load_catalogue()
    label = _read_shared_period(period)
    with node.database.read() as session:
        federation = find_federation(session, node)
        names = _expected(session, node, federation)
        figures = load_shared(session, federation.id, names, label) if federation else []
        level = _levels(session, node, federation)
        exact = load_exact(session, node, label)
    members = _Members(names, node.node_id, _persons(figures), level, exact)
    by_indicator: dict[str, list[SharedFigure]] = {}
    for figure in figures:
        by_indicator.setdefault(figure.indicator, []).append(figure)
    rows: list[ViewRow] = []
    for code, defined in catalogue.indicators.items():
        mine = by_indicator.get(code, [])
        reported = {figure.dims for figure in mine if figure.status != "O"}
        cells = [cell for table in defined.released for cell in _cells(catalogue, defined, table) if cell in reported]
        rows += _rows(catalogue, defined, label, cells, mine, members)
    return rows


def read_periods(node: Node, actor: Actor, indicator: str = "") -> list[str]:
    """Return the periods of which anything was shared, newest first."""
    check_permission(actor, "indicator.read")
    with node.database.read() as session:
        federation = find_federation(session, node)
        names = _expected(session, node, federation)
        labels = list_periods(session, federation.id, names, indicator) if federation else []
    return sorted(labels, key=lambda label: (read_period(label).end, label), reverse=True)


def read_tables(indicator: Indicator, text: str) -> tuple[Table, ...] | None:
    """Read `G`, `G,T` (one table of two ways), several by `;`, or `all`; empty: the total. Raise InputRefused."""
    if text.strip() == "all":
        return None
    tables = [tuple(letter for letter in part.upper() if letter not in ", ") for part in text.split(";")]
    return tuple(_check_table(indicator, table) for table in tables)


def _read_shared_period(text: str) -> str:
    period = read_period(text)
    if period.frequency == YEAR:
        raise InputRefused(
            "period-never-shared",
            "自然年只在本节点计算，不交换。",
            "Calendar years stay local.",
        )
    return period.label


def _get_shared_indicator(catalogue: Catalogue, code: str) -> Indicator:
    indicator = catalogue.get(code)
    if not indicator.dataflow:
        raise InputRefused("indicator-local", "该指标不离开本节点。", "This indicator never leaves its node.")
    return indicator


def _check_table(indicator: Indicator, table: Table) -> Table:
    for released in indicator.released:
        if set(released) == set(table) and len(released) == len(table):
            return released
    known = ", ".join("".join(item) for item in indicator.released if item) or "-"
    raise InputRefused(
        "table-not-released",
        f"该指标不按这些维度发布；可用：{known}。",
        f"Not released by these dimensions; there are: {known}.",
    )


def _expected(session: Session, node: Node, federation: Federation | None) -> dict[str, str]:
    """Return who should report: the active members that are not the hub, id to name."""
    if federation is None:
        return {}
    names = {
        peer.id: peer.name
        for peer in list_peers(session, federation.id)
        if is_active(peer, node.clock()) and reports(peer) and peer.id not in {federation.hub_id, node.node_id}
    }
    told = federation.hub_id != node.node_id and AGGREGATOR not in own_member(session, node, federation).groups
    own = {node.node_id: node.settings.node.name} if told else {}
    return own | names


def _levels(session: Session, node: Node, federation: Federation | None) -> Callable[[Indicator], str]:
    """Return what tells at which level this node may read an indicator; everything that came, where no grants are."""
    grants = find_grants(session, federation.id) if federation else None
    if federation is None or grants is None:
        return lambda _: NODES
    own = own_member(session, node, federation)
    return lambda indicator: level_of(grants, own, indicator)


def _persons(figures: list[SharedFigure]) -> dict[str, int]:
    totals = [figure for figure in figures if (figure.indicator, figure.dims) == (STAFF_TOTAL, "")]
    return {figure.origin: int(figure.value) for figure in totals if figure.status == REPORTED and not figure.method}


def _cells(catalogue: Catalogue, indicator: Indicator, table: Table) -> list[str]:
    codes = [[code.code for code in catalogue.dimension(indicator, letter).codes] for letter in table]
    return [dims_key(dict(zip(table, found, strict=True))) for found in product(*codes)]


def _rows(
    catalogue: Catalogue,
    indicator: Indicator,
    period: str,
    cells: list[str],
    figures: list[SharedFigure],
    members: _Members,
) -> list[ViewRow]:
    level = members.level(indicator)
    by_cell: dict[str, list[SharedFigure]] = {cell: [] for cell in cells}
    for figure in figures:
        if figure.dims in by_cell and (level or figure.origin == members.own):
            by_cell[figure.dims].append(figure)
    labels = {
        (letter, code.code): code.name
        for letter in {letter for table in indicator.released for letter in table}
        for code in catalogue.dimension(indicator, letter).codes
    }
    rows = [_row(indicator, period, cell, by_cell[cell], members, labels) for cell in cells]
    return [_without_nodes(row) for row in rows] if level == TOTALS else rows


def _row(
    indicator: Indicator,
    period: str,
    cell: str,
    figures: list[SharedFigure],
    members: _Members,
    labels: Mapping[tuple[str, str], Text],
) -> ViewRow:
    dims = read_dims(cell)
    parts = [_part(figure) for figure in figures]
    combined = combine(indicator.rollup, parts, members.names, members.persons)
    if (exact := members.exact.get((indicator.code, cell))) and members.level(indicator):
        combined = complete(combined, parts, exact, members.persons)
    nodes = tuple(_node_figure(indicator, figure, members) for figure in figures)
    own = next((node for node in nodes if node.own), None)
    return ViewRow(
        indicator.code,
        period,
        dims,
        tuple(labels[letter, code] for letter, code in dims.items()),
        combined.status,
        _shown(indicator, combined),
        combined.numerator,
        combined.denominator,
        combined.coverage,
        own,
        _band(indicator, parts, members.own),
        nodes,
        _error(indicator, combined),
        tuple(sorted({node.method for node in nodes if node.method and node.value is not None})),
        tuple(sorted({node.record_id for node in nodes if node.status != MISSING})),
    )


def _without_nodes(row: ViewRow) -> ViewRow:
    """Return the combined figure and our own alone."""
    own = (row.own,) if row.own else ()
    return replace(row, nodes=own, band=None, sources=tuple(node.record_id for node in own))


def _part(figure: SharedFigure) -> Part:
    value = Decimal(figure.value) if figure.value else None
    variance = Decimal(figure.variance) if figure.variance and figure.status == REPORTED else None
    return Part(figure.origin, figure.status, value, figure.numerator, figure.denominator, variance)


def _node_figure(indicator: Indicator, figure: SharedFigure, members: _Members) -> NodeFigure:
    nobody = indicator.rollup == RATIO and figure.denominator == 0
    word = NOISY if figure.method and figure.status == REPORTED else WORDS[figure.status]
    return NodeFigure(
        figure.origin,
        members.names[figure.origin],
        figure.origin == members.own,
        DOES_NOT_APPLY if nobody else word,
        _shown(indicator, _part(figure)),
        figure.numerator,
        figure.denominator,
        figure.record_id,
        figure.revision,
        figure.method or "",
        _error(indicator, _part(figure)),
    )


def _error(indicator: Indicator, figure: Part | Combined) -> str:
    """Return the standard error of a figure in the unit in which it is shown, "" where chance had no part in it."""
    error = expected_error(figure)
    return "" if error is None else f"{error * (100 if indicator.is_percent else 1):.1f}"


def _shown(indicator: Indicator, figure: Part | Combined) -> int | str | None:
    """Return the value as it is shown: a count as an int, an amount or a rate as a decimal text."""
    if indicator.rollup == RATIO:
        return _written(indicator, Fraction(figure.numerator or 0, figure.denominator)) if figure.denominator else None
    if figure.value is None:
        return None
    return (
        int(figure.value)
        if figure.value == figure.value.to_integral_value() and not indicator.decimals
        else str(figure.value)
    )


def _written(indicator: Indicator, number: Fraction) -> str:
    return written(number * (100 if indicator.is_percent else 1), indicator.decimals)


def _band(indicator: Indicator, parts: list[Part], own: str) -> ShownBand | None:
    if indicator.rollup == COUNT_YES:  # quartiles of yes and no say nothing
        return None
    numbers = {part.origin: number for part in parts if (number := number_of(part)) is not None}
    mine = numbers.pop(own, None)
    band = quartiles(list(numbers.values()))
    if band is None:
        return None
    place = ""
    if mine is not None:
        place = BELOW if mine < band.lower else ABOVE if mine > band.upper else WITHIN
    lower, median, upper = (_band_text(indicator, number) for number in (band.lower, band.median, band.upper))
    return ShownBand(lower, median, upper, band.peers, place)


def _band_text(indicator: Indicator, number: Fraction) -> str:
    """Return a quartile with one decimal where counts meet between two whole numbers."""
    if indicator.rollup == RATIO or indicator.decimals:
        return _written(indicator, number)
    return written(number, 0 if number.denominator == 1 else 1)
