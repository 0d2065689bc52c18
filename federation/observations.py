"""What a release may say: its observations held against the catalogue, by its receiver and by its own node alike.

The schema has settled the shape. Here: each observation is a cell that the catalogue releases in this dataflow and
period, stands there once, carries the kind of value its indicator has, and counts nobody who may not be counted: a
published cell of 1 to minimum-1 persons is refused, so that a node whose gate is broken (or was taken out) is told
before others show what it let out. The minimum is the release's own word, never below the schema's 5 and 10.
"""

from collections.abc import Iterator, Mapping
from itertools import permutations, product
from typing import Any, NamedTuple, NoReturn

from federation.catalogue import Catalogue, Indicator, dims_key
from federation.errors import InputRefused
from federation.periods import read_period

COUNT, AMOUNT, YES_NO, RATE = "count", "amount", "yes-no", "rate"
RATIO = "ratio"


class Observation(NamedTuple):
    """One cell of a release. With status A: `value` as a decimal text, or of a rate numerator and denominator.

    A tuple, as there are thousands in a release.
    """

    indicator: str
    dims: str  # `G=2;T=NONE`, "" for the total
    status: str
    value: str = ""
    numerator: int | None = None
    denominator: int | None = None


class _Cell(NamedTuple):
    """A cell that may be released. `sensitivity`: whose minimum holds for it, "" where none does."""

    dims: str
    kind: str
    sensitivity: str
    bounded: bool  # a rate whose numerator is a part of its denominator


_Dims = tuple[tuple[str, str], ...]  # as a document has them, in whatever order
_Cells = dict[str, dict[_Dims, _Cell]]


def kind_of_value(indicator: Indicator) -> str:
    """Return what an observation of this indicator carries: a count, an amount, yes or no, or a rate."""
    if indicator.rollup == RATIO:
        return RATE
    if indicator.rollup == "count_yes":
        return YES_NO
    return AMOUNT if indicator.decimals else COUNT


def has_minimum(catalogue: Catalogue, indicator: Indicator, table: tuple[str, ...]) -> bool:
    """Tell whether a cell of this table must count nobody or at least the minimum of persons.

    Not of class S0, not where no persons are counted, and not the totals that are public by decision. A rate's total is
    exempt where its numerator is what two public totals have in common (density: the members among the staff).
    """
    if indicator.sensitivity == "S0" or not indicator.subject or kind_of_value(indicator) in {AMOUNT, YES_NO}:
        return False
    if table:
        return True
    if indicator.kind != RATIO:
        return not indicator.total_public
    known = catalogue.indicators
    wholes = known[indicator.numerator].part_of
    return not (len(wholes) > 1 and all(known[code].total_public for code in {*wholes, indicator.denominator}))


class ReleaseReader:
    """Reads releases by one catalogue; what may be released is worked out once a dataflow and frequency."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._cells: dict[tuple[str, str], _Cells] = {}

    def read(self, content: Mapping[str, Any], *, subject: str, audience: str) -> list[Observation]:
        """Return the observations of a release that conforms to its schema; raise InputRefused with a stable code.

        `subject` and `audience` are those of the record that carries it.
        """
        self._check_head(content, subject, audience)
        cells = self._cells_of(content["dataflow"], read_period(content["period"]).frequency)
        noise = content.get("noise")
        minimum: dict[str, int] = {"": 0, **content["minimum_cell"]}
        if noise is not None and "bound" not in noise:
            minimum = dict.fromkeys(minimum, 0)  # chance alone may make a small number of it
        found: dict[tuple[str, str], Observation] = {}
        for item in content["observations"]:
            code = item["indicator"]
            cell = cells.get(code, {}).get(tuple(item["dims"].items()))
            if cell is None:
                self._explain(item, content["dataflow"])
            if item["status"] == "A":
                observation = _read_value(item, cell, minimum[cell.sensitivity], moved=noise is not None)
            else:
                observation = Observation(code, cell.dims, item["status"])
            found[code, cell.dims] = observation
        if len(found) != len(content["observations"]):
            _refuse("observation-duplicate", "同一观测值出现两次。", "An observation stands there twice.", {})
        return list(found.values())

    def _check_head(self, content: Mapping[str, Any], subject: str, audience: str) -> None:
        named, own = content["catalogue"], self.catalogue
        if named["id"] != own.id or named["version"].partition(".")[0] != own.version.partition(".")[0]:
            _refuse("catalogue-unknown", "指标目录不同，请升级。", "It is of another catalogue; update this node.", {})
        if subject != f"{content['dataflow']}/{content['period']}":
            _refuse("release-subject", "条目主题与内容不符。", "The record's subject is not what it holds.", {})
        if content["dataflow"].partition(".")[2] != audience:
            _refuse("release-audience", "数据流与交换流不符。", "The dataflow is not for this stream's readers.", {})

    def _cells_of(self, dataflow: str, frequency: str) -> _Cells:
        if (dataflow, frequency) not in self._cells:
            self._cells[dataflow, frequency] = {
                indicator.code: {
                    dims: cell
                    for table in indicator.released
                    for dims, cell in _table_cells(self.catalogue, indicator, table)
                }
                for indicator in self.catalogue.indicators.values()
                if indicator.dataflow == dataflow and frequency in indicator.frequencies
            }
        return self._cells[dataflow, frequency]

    def _explain(self, item: Mapping[str, Any], dataflow: str) -> NoReturn:
        """Say why the catalogue releases no such cell in this dataflow."""
        indicator = self.catalogue.indicators.get(item["indicator"])
        if indicator is None:
            _refuse("indicator-unknown", "没有这个指标。", "There is no such indicator.", item)
        if indicator.dataflow != dataflow:
            _refuse("dataflow-mismatch", "该指标不属此数据流。", "The indicator is not of this dataflow.", item)
        if {*item["dims"]} not in [set(table) for table in indicator.released]:
            _refuse("table-not-released", "该指标不按这些维度发布。", "Not released by these dimensions.", item)
        codes = {letter: self.catalogue.dimension(indicator, letter).codes for letter in item["dims"]}
        if any(value not in {code.code for code in codes[letter]} for letter, value in item["dims"].items()):
            _refuse("code-unknown", "维度代码不在代码表中。", "A code is not in the dimension's code list.", item)
        _refuse("period-not-released", "该指标不按此频度发布。", "Not released at this frequency.", item)


def _table_cells(catalogue: Catalogue, indicator: Indicator, table: tuple[str, ...]) -> Iterator[tuple[_Dims, _Cell]]:
    """Yield every cell of a table, under its dimensions in every order."""
    codes = [[code.code for code in catalogue.dimension(indicator, letter).codes] for letter in table]
    kind = kind_of_value(indicator)
    sensitivity = indicator.sensitivity if has_minimum(catalogue, indicator, table) else ""
    for combination in product(*codes):
        dims = list(zip(table, combination, strict=True))
        cell = _Cell(dims_key(dict(dims)), kind, sensitivity, indicator.kind == RATIO)
        yield from ((order, cell) for order in permutations(dims))


def _read_value(item: Mapping[str, Any], cell: _Cell, minimum: int, *, moved: bool) -> Observation:
    """Check what stands in a published cell: its kind, its range, the persons behind it."""
    if cell.kind == RATE:
        return _read_rate(item, cell, minimum, moved=moved)
    value = item.get("value")
    if value is None or (isinstance(value, str) and cell.kind != AMOUNT):
        _refuse("value-kind", "该指标的值写法不对。", "The value is not of this indicator's kind.", item)
    if (isinstance(value, str) and value.startswith("-")) or (cell.kind == YES_NO and value > 1):
        _refuse("value-range", "该指标的值超出范围。", "The value is out of this indicator's range.", item)
    if cell.kind == COUNT and 0 < value < minimum:
        _refuse_small(item)
    return Observation(item["indicator"], cell.dims, "A", str(value))


def _read_rate(item: Mapping[str, Any], cell: _Cell, minimum: int, *, moved: bool) -> Observation:
    """Check a rate. Where numerator and denominator were moved apart, neither bounds the other."""
    numerator, denominator = item.get("numerator"), item.get("denominator")
    if numerator is None or denominator is None:
        _refuse("value-kind", "比率须写分子和分母。", "A rate is written as numerator and denominator.", item)
    if cell.bounded and numerator > denominator and not moved:
        _refuse("value-range", "分子大于分母。", "The numerator is larger than the denominator.", item)
    if 0 < numerator < minimum or (not moved and 0 < denominator - numerator < minimum):
        _refuse_small(item)
    return Observation(item["indicator"], cell.dims, "A", "", numerator, denominator)


def _refuse_small(item: Mapping[str, Any]) -> NoReturn:
    _refuse("cell-too-small", "单元格人数少于下限，不得公布。", "A published cell counts too few persons.", item)


def _refuse(code: str, zh: str, en: str, item: Mapping[str, Any]) -> NoReturn:
    raise InputRefused(code, zh, en, indicator=str(item.get("indicator", ""))[:40])
