"""The indicator catalogue and the code lists, typed and checked: what is counted, and what of it may leave the node.

Catalogues come from outside, so nothing in them is executed: definitions are words of a closed vocabulary
(`schemas/indicator-catalogue.v1.json`), and a word or a reference that is unknown refuses the whole catalogue. The
classes written there are minima: a rate or a formula takes the strictest class of its parts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from federation.documents import read_object, sha256_hex
from federation.errors import InputRefused, Text
from federation.validation import check_schema
from schemas import load_data

UNKNOWN = "_U"
LETTERS = "GATCKEDYM"  # the order in which the dimensions of a table are written
Table = tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """One code. An age band says which ages (full years) it holds: at_least <= age < below."""

    code: str
    name: Text
    at_least: int = 0
    below: int = 0


@dataclass(frozen=True)
class Codelist:
    """One list of codes, named as SDMX names it."""

    id: str
    name: Text
    codes: tuple[Code, ...]


@dataclass(frozen=True)
class Dimension:
    """What figures are broken down by; its codes end with `_U`, unknown. `field` is the word of the vocabulary."""

    letter: str
    name: Text
    codelist: str
    codes: tuple[Code, ...]
    field: str


@dataclass(frozen=True)
class Condition:
    """Either `field` has one of `codes`, or it is a day on or after `since`, or one of `any_of` holds."""

    field: str = ""
    codes: tuple[str, ...] = ()
    since: str = ""
    any_of: tuple["Condition", ...] = ()


@dataclass(frozen=True)
class Indicator:
    """One defined figure. `sensitivity` is raised already; `tables` are all computed, `released` may leave the node."""

    code: str
    name: Text
    definition: Text
    unit: Text
    kind: str  # stock | flow | ratio | formula | entered | unavailable
    subject: str  # whose persons are counted; "" where none are
    sensitivity: str  # S0..S3
    frequencies: tuple[str, ...]  # of M, Q, A in which it is released
    dims: tuple[str, ...]  # of the reported figure
    tables: tuple[Table, ...]
    released: tuple[Table, ...]
    dataflow: str  # `MEM.all`; "" when nothing of it may leave
    numerator: str
    denominator: str
    parts: tuple[str, ...]  # every indicator it is made of
    part_of: tuple[str, ...]
    stock: str  # what a flow changes
    event: str  # start | end, of a flow
    measure: str  # persons | filled | fields
    fields: tuple[str, ...]  # of measures filled and fields
    filters: tuple[Condition, ...]
    formula: tuple[tuple[str, str], ...]  # (indicator, factor as a decimal)
    types: tuple[str, str]  # field and code list of dimension Y
    possible: Mapping[str, tuple[str, ...]]  # letter -> codes that the filters leave; the others are zero by definition
    sources: tuple[str, ...]
    lacks: str  # the source that nobody can supply yet
    mode: str  # micro | entered | derived
    report: str  # R | D
    rollup: str  # sum | ratio | count_yes | none
    total_public: bool
    internal: bool
    decimals: int

    @property
    def is_percent(self) -> bool:
        """Tell whether the value of a ratio is shown times 100."""
        return self.unit.en == "%"


@dataclass(frozen=True)
class Catalogue:
    """All indicators by code (helpers included), the dimensions by letter, and every code list."""

    id: str
    version: str
    digest: str  # SHA-256 of the bytes, so that an edited catalogue is another one
    dimensions: Mapping[str, Dimension]
    indicators: Mapping[str, Indicator]
    codelists: Mapping[str, Codelist]

    def get(self, code: str) -> Indicator:
        """Return one indicator; raise InputRefused where there is none."""
        indicator = self.indicators.get(code)
        if indicator is None:
            raise InputRefused("indicator-unknown", "没有这个指标。", "There is no such indicator.", value=code[:40])
        return indicator

    def dimension(self, indicator: Indicator, letter: str) -> Dimension:
        """Return what a letter means for an indicator: Y is the type within its own subject."""
        if letter != "Y":
            return self.dimensions[letter]
        field, codelist = indicator.types
        found = self.codelists[codelist]
        return Dimension("Y", found.name, codelist, found.codes, field)


def dims_key(dims: Mapping[str, str]) -> str:
    """Return `G=2;T=NONE` in the order of LETTERS; "" for the total."""
    return ";".join(f"{letter}={dims[letter]}" for letter in sorted(dims, key=_place))


def read_dims(key: str) -> dict[str, str]:
    """Return the dimensions of a key that `dims_key` made."""
    return dict(part.split("=", 1) for part in key.split(";")) if key else {}


def _place(letter: str) -> tuple[int, str]:
    return (LETTERS.find(letter) % 99, letter)


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue of this program."""
    return read_catalogue(load_data("catalogue"), load_data("codelists"))


def read_catalogue(data: bytes, codelists: bytes) -> Catalogue:
    """Read and check a catalogue; raise TrustError for its form, InputRefused `catalogue-refused` for its content."""
    value, lists_value = read_object(data), read_object(codelists)
    check_schema("indicator-catalogue.v1", value)
    check_schema("codelists.v1", lists_value)
    lists = {item["id"]: _codelist(item) for item in lists_value["lists"]}
    for item in value["dimensions"]:
        _check_list(lists, item["codelist"])
    dimensions = {item["letter"]: _dimension(item, lists[item["codelist"]]) for item in value["dimensions"]}
    raw = {item["code"]: item for item in value["indicators"]}
    if len(raw) < len(value["indicators"]):
        _refuse("", "有指标重复", "an indicator stands there twice")
    indicators = {code: _indicator(item, raw, dimensions) for code, item in raw.items()}
    catalogue = Catalogue(
        value["id"], value["version"], sha256_hex(data + b"\n" + codelists), dimensions, indicators, lists
    )
    for indicator in indicators.values():
        _check(catalogue, indicator)
    return catalogue


def _refuse(code: str, zh: str, en: str) -> NoReturn:
    raise InputRefused(
        "catalogue-refused", f"指标目录有误（{code}）：{zh}。", f"The catalogue is wrong ({code}): {en}.", place=code
    )


def _text(value: Mapping[str, str]) -> Text:
    return Text(value["zh"], value["en"])


def _codelist(item: Mapping[str, Any]) -> Codelist:
    codes = tuple(Code(c["id"], _text(c["names"]), c.get("at_least", 0), c.get("below", 0)) for c in item["codes"])
    if len({code.code for code in codes}) < len(codes):
        _refuse(item["id"], "有代码重复", "a code stands there twice")
    return Codelist(item["id"], _text(item["names"]), codes)


def _check_list(lists: Mapping[str, Codelist], codelist: str) -> None:
    if codelist not in lists or lists[codelist].codes[-1].code != UNKNOWN:
        _refuse(codelist, "维度的代码表须以 _U 结尾", "a dimension needs a code list that ends with _U")


def _dimension(item: Mapping[str, Any], found: Codelist) -> Dimension:
    return Dimension(item["letter"], _text(item["name"]), found.id, found.codes, item["field"])


def _condition(item: Mapping[str, Any]) -> Condition:
    return Condition(
        item.get("field", ""),
        tuple(item.get("in", ())),
        item.get("from", ""),
        tuple(_condition(part) for part in item.get("any", ())),
    )


def _indicator(
    item: Mapping[str, Any], raw: Mapping[str, Mapping[str, Any]], dimensions: Mapping[str, Dimension]
) -> Indicator:
    filters = tuple(_condition(part) for part in item.get("filters", ()))
    sensitivity, released = _strictest(item, raw, ()), tuple(tuple(table) for table in item["released"])
    leaves = bool(released) and not item.get("internal", False) and sensitivity != "S3"
    audience = "hub" if sensitivity == "S2" else "all"
    types = item.get("types", {"field": "", "codelist": ""})
    plain: dict[str, Any] = {
        **{name: _text(item[name]) for name in ("name", "definition", "unit")},
        **{name: item[name] for name in ("code", "kind", "subject", "mode", "report", "rollup")},
        **{name: tuple(item.get(name, ())) for name in ("frequencies", "dims", "part_of", "fields", "sources")},
        **{name: item.get(name, "") for name in ("numerator", "denominator", "stock", "event", "measure", "lacks")},
        **{name: item.get(name, False) for name in ("total_public", "internal")},
    }
    return Indicator(
        **plain,
        sensitivity=sensitivity,
        tables=tuple(tuple(table) for table in item["tables"]),
        released=released,
        dataflow=f"{item['code'].partition('_')[0]}.{audience}" if leaves else "",
        parts=tuple(_parts(item)),
        filters=filters,
        formula=tuple((part["indicator"], part["factor"]) for part in item.get("formula", ())),
        types=(types["field"], types["codelist"]),
        possible={
            letter: condition.codes
            for letter, dimension in dimensions.items()
            for condition in filters
            if condition.codes and condition.field == dimension.field
        },
        decimals=item.get("decimals", 0),
    )


def _parts(item: Mapping[str, Any]) -> Iterator[str]:
    yield from (item[name] for name in ("numerator", "denominator") if item.get(name))
    yield from (part["indicator"] for part in item.get("formula", ()))
    yield from item.get("parts", ())


def _strictest(item: Mapping[str, Any], raw: Mapping[str, Mapping[str, Any]], above: tuple[str, ...]) -> str:
    """Return the strictest class of an indicator and everything it is made of."""
    if item["code"] in above:
        _refuse(item["code"], "引用了自己", "it is made of itself")
    found = [item["sensitivity"]]
    for code in _parts(item):
        if code not in raw:
            _refuse(item["code"], f"没有 {code}", f"{code} is unknown")
        found.append(_strictest(raw[code], raw, (*above, item["code"])))
    return str(max(found))


def _check(catalogue: Catalogue, indicator: Indicator) -> None:
    """Refuse what contradicts itself, and what would let more leave the node than its class allows."""
    rules = (_table_rules, _filter_rules, _kind_rules, _whole_rules, _release_rules)
    for broken, zh, en in (rule for rules_of in rules for rule in rules_of(catalogue, indicator)):
        if broken:
            _refuse(indicator.code, zh, en)


Rules = Iterator[tuple[bool, str, str]]  # whether it is broken, and what it says


def _table_rules(catalogue: Catalogue, indicator: Indicator) -> Rules:
    tables = {*indicator.tables, *indicator.released}
    letters = {letter for table in tables for letter in table} | set(indicator.dims) - {"Y"}
    known = {*catalogue.dimensions, *("Y" if indicator.types[0] else "")}
    if "Y" in letters and "Y" in known:
        _check_list(catalogue.codelists, indicator.types[1])
    yield not letters <= known, "有不认识的维度", "a dimension is unknown"
    yield (
        any(list(table) != sorted(set(table), key=_place) for table in (*tables, indicator.dims)),
        f"维度按 {LETTERS} 的顺序书写",
        f"the letters of a table stand in the order {LETTERS}",
    )
    yield (
        bool(indicator.tables[0]) or len(set(indicator.tables)) < len(indicator.tables),
        "总数列在最前，表不得重复",
        "the total comes first and no table twice",
    )


def _filter_rules(catalogue: Catalogue, indicator: Indicator) -> Rules:
    for condition in [part for whole in indicator.filters for part in (whole, *whole.any_of)]:
        found = catalogue.codelists.get(f"CL_{condition.field.upper()}")
        codes = {code.code for code in found.codes} if found else set()
        yield not set(condition.codes) <= codes, "筛选条件中有不认识的代码", "a code of a filter is unknown"


def _kind_rules(catalogue: Catalogue, indicator: Indicator) -> Rules:
    kind, known = indicator.kind, catalogue.indicators
    counted = kind in {"stock", "flow"}
    yield counted != bool(indicator.measure), "存量和流量必须有计量，其他没有", "stocks and flows have a measure"
    yield (
        counted and indicator.subject not in {"staff", "member"},
        "只能统计职工或会员",
        "what is counted is staff or members",
    )
    yield (
        (kind == "flow") != bool(indicator.event and indicator.stock)
        or (kind == "flow" and (indicator.subject, indicator.measure) != ("member", "persons")),
        "流量统计会员的增减，并指明对应的存量",
        "a flow counts members, at an event, and names its stock",
    )
    yield (
        (kind == "ratio") != bool(indicator.numerator and indicator.denominator),
        "比率（且只有比率）有分子和分母",
        "a ratio, and nothing else, has numerator and denominator",
    )
    yield (
        (kind == "formula") != bool(indicator.formula)
        or any(known[part].kind in {"formula", "ratio"} for part, _ in indicator.formula),
        "公式的各项须为数值，不能是公式或比率",
        "a formula has terms, and they are neither formulas nor ratios",
    )
    yield (
        (kind == "unavailable") != bool(indicator.lacks),
        "暂不能计算的指标要说明缺什么",
        "what is unavailable, and nothing else, says what it lacks",
    )
    yield (
        kind not in {"stock", "flow", "ratio"} and indicator.tables != ((),),
        "不是由人员数据计算的指标只有总数",
        "what is not computed from rows has a total only",
    )


def _whole_rules(catalogue: Catalogue, indicator: Indicator) -> Rules:
    named = (*indicator.part_of, indicator.stock, indicator.numerator, indicator.denominator)
    wholes = {code: catalogue.indicators.get(code) for code in named if code}
    yield None in wholes.values(), "引用了不存在的指标", "a reference is unknown"
    above, below = wholes.get(indicator.numerator), wholes.get(indicator.denominator)
    if above is not None and below is not None:
        yield {above.kind, below.kind} != {"stock"}, "比率的分子分母须为存量", "a ratio is made of stocks"
        yield (
            above.measure == "persons" and below.code not in above.part_of,
            "分子须在 part_of 中写明属于分母",
            "the numerator says in part_of that the denominator contains it",
        )
    tables = {table for table in indicator.tables if "Y" not in table}
    yield (
        any(whole is not None and not tables <= set(whole.tables) for whole in wholes.values()),
        "所引用的指标没有同样的表",
        "what it refers to lacks one of its tables",
    )


def _release_rules(catalogue: Catalogue, indicator: Indicator) -> Rules:
    released, class_ = set(indicator.released), indicator.sensitivity
    yield (
        not released <= set(indicator.tables) or any("Y" in table for table in released),
        "只能发布计算过的表，类型（Y）不发布",
        "only what is computed is released, and never by type (Y)",
    )
    yield class_ == "S2" and not released <= {()}, "S2 级只能报总数", "of class S2 only the total leaves the node"
    yield (
        (class_ == "S3" or indicator.internal) and bool(released),
        "S3 级和辅助指标不出本节点",
        "nothing of class S3 and no helper leaves the node",
    )
    if indicator.kind == "flow":
        stock = catalogue.indicators[indicator.stock]
        yield (
            not released <= {table for table in stock.released if len(table) <= 1},
            "流量只按存量已发布的单维表发布",
            "a flow is released one-way, in tables that its stock publishes",
        )
    yield (
        indicator.total_public and (indicator.kind, class_) != ("stock", "S1"),
        "只有 S1 级存量的总数可定为公开",
        "only the total of a stock of class S1 can be public by decision",
    )
