"""`gonghui privacy contribute | vouch | aggregate | open`: exact totals over many nodes, in which nobody can look."""

from typing import Annotated

import typer

from federation.family import find_family
from node.cli.state import OUT, State, print_json, print_table
from node.totals import service
from node.totals.words import CONSENT, STATES

Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]
Family = Annotated[str, typer.Option(help="指标族 / the family of indicators")]
Period = Annotated[str, typer.Option(help="期间，如 2025U / the period")]


def contribute(
    context: typer.Context,
    switch: Annotated[str, typer.Argument(metavar="on|off|status", help="参加、退出、查看 / on, off or status")],
    family: Family = "staff",
    as_json: Json = False,
) -> None:
    """本校参加或退出跨校精确合计 / contribute to exact totals, or no more."""
    state: State = context.obj
    if switch not in {"on", "off", "status"}:
        raise typer.BadParameter("on | off | status")
    if switch != "status":
        service.consent(state.node, state.actor, family, on=switch == "on")
    on = service.contributes(state.node, family)
    if as_json:
        print_json({"family": family, "on": on})
        return
    name = find_family(family).name.in_language(state.language)
    OUT.print(f"{name}：{'参加 / on' if on else '不参加 / off'}", highlight=False)
    OUT.print(CONSENT.in_language(state.language), highlight=False)


def vouch(
    context: typer.Context,
    nodes: Annotated[list[str], typer.Argument(metavar="NODE…", help="登记册上的节点 / nodes of the register")],
    family: Family = "staff",
) -> None:
    """第二汇总方按自己的登记册核实成员 / the second body says whom its own register knows."""
    state: State = context.obj
    service.vouch(state.node, state.actor, family, nodes)
    OUT.print(f"已核实 / vouched for: {len(set(nodes))}", highlight=False)


def aggregate(
    context: typer.Context,
    period: Period,
    family: Family = "staff",
    leave_out: Annotated[
        list[str] | None, typer.Option(help="不等的节点，其整组不参加 / nodes not waited for; their block is left out")
    ] = None,
    give_up: Annotated[bool, typer.Option("--give-up", help="放弃当前一次 / give the present attempt up")] = False,
    as_json: Json = False,
) -> None:
    """汇总节点发起一期合计，或放弃 / begin a period's total as the hub, or give it up. The rest runs by itself."""
    state: State = context.obj
    if give_up:
        service.give_up(state.node, state.actor, family, period)
    else:
        service.begin(state.node, state.actor, family, period, leave_out=leave_out or ())
    _show(state, family, period, as_json=as_json)


def open_(context: typer.Context, period: Period, family: Family = "staff", as_json: Json = False) -> None:
    """查看一期合计：进展、覆盖、合计 / a period's total: where it stands, its coverage, its figures."""
    state: State = context.obj
    _show(state, family, period, as_json=as_json)


def _show(state: State, family: str, period: str, *, as_json: bool) -> None:
    found = service.look(state.node, state.actor, family, period)
    if as_json:
        print_json(found.as_json())
        return
    said = STATES[found.state].in_language(state.language)
    OUT.print(
        f"{find_family(family).name.in_language(state.language)} {period} · 第 {found.attempt} 次 / attempt · {said}"
        f"{' · ' + found.reason if found.reason else ''}",
        highlight=False,
    )
    OUT.print(
        f"参加节点 / contributors {len(found.contributors)} · 未到 / awaited {len(found.awaited)}", highlight=False
    )
    rows = [[code, dims, value] for (code, dims), value in found.published.items()]
    rows += [[code, dims, "不公布 / withheld"] for code, dims in found.withheld]
    if rows:
        print_table("精确合计 / exact totals", ["指标 / indicator", "维度 / dims", "合计 / total"], rows)


def add_to(app: typer.Typer) -> None:
    """Put these commands among those of `gonghui privacy`."""
    app.command("contribute", epilog="Example: gonghui privacy contribute on --family staff")(contribute)
    app.command("vouch", epilog="Example: gonghui privacy vouch n-… n-… --family staff")(vouch)
    app.command("aggregate", epilog="Example: gonghui privacy aggregate --period 2025U --family staff")(aggregate)
    app.command("open", epilog="Example: gonghui privacy open --period 2025U --json")(open_)
