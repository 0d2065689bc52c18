"""`gonghui indicators`: the catalogue, and this node's own figures."""

from typing import Annotated, Any

import typer

from federation.catalogue import Catalogue, Indicator, Table, load_catalogue, read_dims
from federation.errors import Text, UsageError
from federation.periods import read_period
from node.cli.state import OUT, State, print_json, print_table
from node.indicators import service
from node.indicators.models import Figure
from node.indicators.reasons import explain_reason
from node.indicators.texts import STATUS

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]
Code = Annotated[str, typer.Argument(metavar="CODE", help="指标代码 / the indicator, as in MEM_CNT")]
KnownAt = Annotated[int | None, typer.Option(help="已知时点（第几次数据变动） / as known at this change of data")]

_KINDS = {
    "stock": Text("期末数", "stock"),
    "flow": Text("期间数", "flow"),
    "ratio": Text("比率", "rate"),
    "formula": Text("由公式得出", "formula"),
    "entered": Text("填报", "entered"),
    "unavailable": Text("暂缺", "not yet"),
}
_COLUMNS = (Text("代码", "code"), Text("名称", "name"), Text("级别", "class"), Text("类别", "kind"))


def _facts(indicator: Indicator) -> dict[str, Any]:
    return {
        "code": indicator.code,
        "name": indicator.name._asdict(),
        "definition": indicator.definition._asdict(),
        "unit": indicator.unit._asdict(),
        "kind": indicator.kind,
        "sensitivity": indicator.sensitivity,
        "frequencies": indicator.frequencies,
        "dims": indicator.dims,
        "tables": indicator.tables,
        "released": indicator.released,
        "dataflow": indicator.dataflow,
        "rollup": indicator.rollup,
        "sources": indicator.sources,
        "lacks": indicator.lacks,
    }


def _tables(tables: tuple[Table, ...]) -> str:
    return " ".join("×".join(table) or "·" for table in tables) or "—"


@app.command("list")
def list_(
    context: typer.Context,
    computed: Annotated[bool, typer.Option("--computed", help="只列能计算的 / those that are computed")] = False,
    as_json: Json = False,
) -> None:
    """列出指标 / list the indicators.  Example: gonghui indicators list --computed."""
    state: State = context.obj
    found = service.list_indicators(state.actor)
    if computed:
        found = [indicator for indicator in found if indicator.kind not in {"entered", "unavailable"}]
    if as_json:
        print_json({"catalogue": load_catalogue().version, "indicators": [_facts(indicator) for indicator in found]})
        return
    columns = [text.in_language(state.language) for text in _COLUMNS]
    rows = [
        [
            indicator.code,
            indicator.name.in_language(state.language),
            indicator.sensitivity,
            _KINDS[indicator.kind].in_language(state.language),
        ]
        for indicator in found
    ]
    print_table("指标 / indicators", columns, rows)


@app.command()
def show(context: typer.Context, code: Code, as_json: Json = False) -> None:
    """说明一个指标 / explain one indicator.  Example: gonghui indicators show MEM_CNT."""
    state: State = context.obj
    indicator = service.get_indicator(state.actor, code)
    if as_json:
        print_json(_facts(indicator))
        return
    language = state.language
    rows = [
        ["名称 / name", indicator.name.in_language(language)],
        ["定义 / definition", indicator.definition.in_language(language)],
        ["单位 / unit", indicator.unit.in_language(language)],
        ["类别 / kind", _KINDS[indicator.kind].in_language(language)],
        ["级别 / class", indicator.sensitivity],
        ["频度 / for", " ".join(indicator.frequencies)],
        ["计算的表 / tables", _tables(indicator.tables)],
        ["可发布的表 / released", _tables(indicator.released if indicator.dataflow else ())],
        ["数据流 / dataflow", indicator.dataflow or "—"],
    ]
    if indicator.lacks:
        rows.append(["缺少 / lacks", explain_reason(f"no-source:{indicator.lacks}").in_language(language)])
    print_table(indicator.code, ["", ""], rows)


@app.command()
def compute(
    context: typer.Context,
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="2026-09、2026-Q3、2026、2026U")],
    known_at: KnownAt = None,
    as_json: Json = False,
) -> None:
    """计算一个期间的全部指标 / compute all indicators of a period.  Example: gonghui indicators compute 2026U."""
    state: State = context.obj
    shown = service.compute_period(state.node, state.actor, read_period(period), known_at)
    states = service.count_states(shown)
    if as_json:
        print_json(_head(shown) | {"figures": states})
        return
    OUT.print(
        f"{shown.period}：有值 / values {states.get('A', 0)}，无数据 / missing {states.get('O', 0)}，"
        f"不适用 / not applicable {states.get('M', 0)}（已知时点 / known at {shown.known_at}）",
        highlight=False,
    )
    if shown.preliminary:
        OUT.print("期间尚未结束，数据为初步 / the period is not over: preliminary")


def _head(shown: service.Shown) -> dict[str, Any]:
    return {
        "period": str(shown.period),
        "known_at": shown.known_at,
        "known_time": shown.known_time.isoformat() if shown.known_time else None,
        "preliminary": shown.preliminary,
        "protected": not shown.bare,
    }


@app.command()
def values(
    context: typer.Context,
    code: Code,
    period: Annotated[str, typer.Option(help="2026-09、2026-Q3、2026、2026U")],
    by: Annotated[str, typer.Option(help="按哪些维度，如 G 或 G,T / which table, as in G or G,T")] = "",
    known_at: KnownAt = None,
    as_json: Json = False,
) -> None:
    """查看本单位一个指标的数值 / show this node's figures.

    Example: gonghui indicators values MEM_CNT --period 2026U --by G,T
    """
    state: State = context.obj
    indicator = service.get_indicator(state.actor, code)
    table = tuple(letter for letter in by.upper().replace("×", ",").split(",") if letter)
    if table not in indicator.tables:
        tables = "、".join(",".join(known) or "（总数）" for known in indicator.tables)
        raise UsageError(
            "table-unknown", f"{code} 没有这张表，可用：{tables}。", f"{code} has no such table: {tables}."
        )
    shown = service.read_figures(state.node, state.actor, read_period(period), known_at)
    found = [figure for figure in shown.figures.get(code, {}).values() if tuple(read_dims(figure.dims)) == table]
    found.sort(key=lambda figure: _place(load_catalogue(), indicator, figure))
    if as_json:
        print_json(_head(shown) | {"indicator": code, "figures": [_figure(indicator, figure) for figure in found]})
        return
    columns = [
        *(load_catalogue().dimension(indicator, letter).name.in_language(state.language) for letter in table),
        f"{indicator.name.in_language(state.language)}（{indicator.unit.in_language(state.language)}）",
    ]
    print_table(f"{code} {shown.period}", columns, [_row(state.language, indicator, figure) for figure in found])
    if shown.bare:
        OUT.print("未经保护，仅供本单位内部使用 / not protected: for this office only")
    if shown.preliminary:
        OUT.print("期间尚未结束，数据为初步 / the period is not over: preliminary")


def _place(catalogue: Catalogue, indicator: Indicator, figure: Figure) -> list[int]:
    """Put figures in the order of their code lists."""
    dims = read_dims(figure.dims)
    lists = {letter: [code.code for code in catalogue.dimension(indicator, letter).codes] for letter in dims}
    return [(*lists[letter], code).index(code) for letter, code in dims.items()]


def _figure(indicator: Indicator, figure: Figure) -> dict[str, Any]:
    told: dict[str, Any] = {"dims": read_dims(figure.dims), "status": figure.status}
    if figure.status == "A":
        told["value"] = service.shown_value(indicator, figure)
    if figure.numerator is not None:
        told |= {"numerator": figure.numerator, "denominator": figure.denominator}
    return told | ({"reason": figure.reason} if figure.reason else {})


def _row(language: str, indicator: Indicator, figure: Figure) -> list[str]:
    names = []
    for letter, code in read_dims(figure.dims).items():
        codes = load_catalogue().dimension(indicator, letter).codes
        names.append(next((known.name.in_language(language) for known in codes if known.code == code), code))
    if figure.status == "A":
        return [*names, service.shown_value(indicator, figure)]
    why = explain_reason(figure.reason).in_language(language) if figure.reason else ""
    return [*names, STATUS[figure.status].in_language(language) + (f"：{why}" if why else "")]
