"""`gonghui query`: the shared indicators, combined or node by node, with status, coverage and sources."""

from typing import Annotated, Any

import typer

from federation.catalogue import load_catalogue
from federation.errors import Text
from federation.statuses import STATUSES, marked
from node.cli.state import OUT, State, print_json, print_table
from node.exchange.view import PLACE_TEXTS, View, ViewRow, read_tables, read_view


def query(
    context: typer.Context,
    indicator: Annotated[str, typer.Argument(metavar="INDICATOR", help="指标代码 / code of the indicator")],
    period: Annotated[str, typer.Option(help="期间，如 2026U / period, such as 2026U, 2026-Q3, 2026-09")],
    dims: Annotated[
        str, typer.Option(help="维度：G、GT（二维）、all；多张表用 ; 隔开 / G, GT (two-way), all; several by ;")
    ] = "",
    rollup: Annotated[bool, typer.Option("--rollup", help="汇总各节点 / combine all nodes")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="列出来源条目编号 / ids of the records a figure rests on")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """查询共享指标：各节点的值，或汇总值 / shared indicators, node by node or combined.

    Example: gonghui query MEM_CNT --period 2026U --dims G --rollup --sources
    """
    state: State = context.obj
    actor = state.actor
    tables = read_tables(load_catalogue().get(indicator), dims)
    view = read_view(state.node, actor, indicator, period, tables=tables)
    if as_json:
        print_json(_as_json(view, rollup=rollup, sources=sources))
        return
    defined = view.indicator
    name, unit = (text.in_language(state.language) for text in (defined.name, defined.unit))
    title = f"{defined.code} {name} ({unit}) {view.period}"
    if rollup:
        _show_rollup(title, view, state.language, sources=sources)
    else:
        _show_nodes(title, view, state.language, sources=sources)
    if view.missing:
        OUT.print(f"缺报 / missing: {'、'.join(view.missing)}", markup=False, highlight=False)


def _as_json(view: View, *, rollup: bool, sources: bool) -> list[dict[str, Any]]:
    if rollup:
        return [row.as_json(sources=sources) for row in view.rows]
    return [entry for row in view.rows for entry in row.nodes_as_json(sources=sources)]


def _show_rollup(title: str, view: View, language: str, *, sources: bool) -> None:
    columns = ["分组 / cell", "值 / value", "状态 / status", "覆盖 / coverage", "职工 / persons"]
    columns += ["本节点 / own", "同行四分位 / peers' quartiles"]
    rows = []
    for row in view.rows:
        covered = row.coverage
        behind = f"{covered.reported}/{covered.expected}"
        behind += f"，不公开 / withheld {covered.withheld}" if covered.withheld else ""
        rows.append(
            [
                _cell(row, language),
                _value(row.value, row.status, row.error),
                _word(row.status, language),
                behind,
                "" if covered.persons is None else covered.persons,
                _value(row.own.value, row.own.status, row.own.error) if row.own else "",
                _band(row, language),
            ]
        )
    print_table(title, columns, rows)
    if sources:
        listed = sorted({identity for row in view.rows for identity in row.sources})
        print_table("来源条目 / source records", ["id"], [[identity] for identity in listed])


def _show_nodes(title: str, view: View, language: str, *, sources: bool) -> None:
    columns = ["分组 / cell", "节点 / node", "值 / value", "状态 / status", "修订 / revision"]
    rows = [
        [
            _cell(row, language),
            node.name,
            _value(node.value, node.status, node.error),
            _word(node.status, language),
            node.revision,
        ]
        + ([node.record_id] if sources else [])
        for row in view.rows
        for node in row.nodes
    ]
    print_table(title, [*columns, "来源条目 / record"] if sources else columns, rows)


def _cell(row: ViewRow, language: str) -> str:
    return " × ".join(label.in_language(language) for label in row.labels) or Text("合计", "total").in_language(
        language
    )


def _value(value: int | str | None, status: str, error: str) -> str:
    if value is None:
        return "-"
    return marked(status, str(value), error)


def _word(status: str, language: str) -> str:
    return STATUSES[status].name.in_language(language)


def _band(row: ViewRow, language: str) -> str:
    band = row.band
    if band is None:
        return ""
    place = f" {PLACE_TEXTS[band.place].in_language(language)}" if band.place else ""
    return f"{band.lower} | {band.median} | {band.upper} (n={band.peers}){place}"
