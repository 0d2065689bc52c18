"""`gonghui release`: the figures of a period, prepared by one person and approved by another."""

from contextlib import nullcontext
from typing import Annotated

import typer

from federation.errors import UsageError
from node.cli import review
from node.cli.state import ERR, OUT, State, print_json, print_table
from node.handlers import HANDLERS
from node.indicators import release as service
from node.indicators.compute import VALUE
from node.indicators.gate import WITHHELD
from node.indicators.preview import Preview, Table, preview
from node.indicators.reasons import explain_reason

app = typer.Typer(no_args_is_help=True)

_SHOWN = 40  # withheld cells on a terminal
Identifier = Annotated[str, typer.Argument(metavar="RELEASE", help="发布编号 / the release, r-…")]
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


def _look(state: State, release_id: str) -> Preview:
    with state.node.database.read() as session:
        return preview(session, state.node, state.actor, release_id)


@app.command(epilog="Example: gonghui release prepare 2026U")
def prepare(
    context: typer.Context,
    period: Annotated[str, typer.Argument(help="2026U、2026-Q3、2026-09")],
    reason: Annotated[str, typer.Option(help="更正的原因 / why it is corrected")] = "",
    provisional: Annotated[
        bool, typer.Option("--provisional", help="期间未结束也编制 / before the period ends")
    ] = False,
    coarser: Annotated[
        bool,
        typer.Option("--coarser", help="与已公开相差几人的分组表不公开 / withhold tables that differ by a few persons"),
    ] = False,
    as_json: Json = False,
) -> None:
    """计算一个期间的全部指标并作披露保护，形成待批草稿 / compute, protect, and keep a draft for approval."""
    state: State = context.obj
    with nullcontext() if as_json else ERR.status("计算并保护 / computing and protecting"):
        release = service.prepare(
            state.node, state.actor, period, reason=reason, provisional=provisional, coarser=coarser
        )
    _show(state, _look(state, release.id), as_json=as_json)


@app.command("list", epilog="Example: gonghui release list --json")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """列出发布，最新在前 / releases, newest first."""
    state: State = context.obj
    with state.node.database.read() as session:
        found = service.list_releases(session, state.actor)
    rows = [service.facts(release) for release in found]
    if as_json:
        print_json(rows)
    else:
        columns = ["id", "period", "revision", "state", "known_at", "prepared_at", "reason"]
        print_table("发布 / releases", columns, [[row[name] for name in columns] for row in rows])


@app.command("preview", epilog="Example: gonghui release preview r-… --json")
def preview_(context: typer.Context, release: Identifier, as_json: Json = False) -> None:
    """批准前查看：发布什么、哪些不公开、为什么 / what goes out, what is withheld, and why."""
    state: State = context.obj
    _show(state, _look(state, release), as_json=as_json)


@app.command(epilog="Example: gonghui release approve r-… --all")
def approve(
    context: typer.Context,
    release: Identifier,
    all_: Annotated[bool, typer.Option("--all", help="批准全部数据流 / all its dataflows")] = False,
    digest: Annotated[list[str] | None, typer.Option(help="已看过的内容摘要 / digest that was looked at")] = None,
    as_json: Json = False,
) -> None:
    """批准并签名发布，编制人不能批准自己的 / approve and sign; the preparer cannot."""
    state: State = context.obj
    if all_ == bool(digest):
        raise UsageError(
            "digests-missing",
            "请用 --all，或用 --digest 逐个列出预览中的内容摘要。",
            "Use --all, or name each digest of the preview with --digest.",
        )
    digests = [flow.digest for flow in _look(state, release).flows] if all_ else digest or []
    records = service.approve(state.node, state.actor, release, digests, take=HANDLERS["release"])
    if as_json:
        print_json([{"record": item.id, "subject": item.subject, "revision": item.revision} for item in records])
        return
    for record in records:
        OUT.print(f"已签名 / signed: {record.subject} r{record.revision}  {record.id}", highlight=False)


@app.command(epilog="Example: gonghui release withdraw r-…")
def withdraw(context: typer.Context, release: Identifier, as_json: Json = False) -> None:
    """撤回草稿 / give a draft up."""
    state: State = context.obj
    done = service.withdraw(state.node, state.actor, release)
    if as_json:
        print_json({"id": done.id, "state": done.state})
    else:
        OUT.print("已撤回 / withdrawn")


def _show(state: State, shown: Preview, *, as_json: bool) -> None:
    if as_json:
        print_json(shown.as_json())
        return
    release = shown.release
    OUT.print(
        f"{release.period} r{release.revision} · {release.state} · {release.id} · "
        f"仍可见人数比例 / persons still visible {'—' if (share := shown.visible_share) is None else f'{share:.0%}'}",
        highlight=False,
    )
    for one in shown.addressees:
        flows = ", ".join(one.dataflows) or "—"
        sent = "（已发出 / sent）" if one.sent and one.sent == one.dataflows else ""
        OUT.print(f"发往 / goes to {one.name}: {flows}{sent}", markup=False, highlight=False)
    if shown.newer_data:
        OUT.print("编制之后数据有变动 / data changed since this was prepared")
    print_table(
        "数据流 / dataflows",
        ["数据流 / dataflow", "公开 / published", "不公开 / withheld", "内容摘要 / digest"],
        [[flow.dataflow, flow.count(VALUE), flow.count(WITHHELD), flow.digest] for flow in shown.flows],
    )
    rows = [row for flow in shown.flows for table in flow.tables for row in _rows(state, table)]
    if rows:
        print_table(
            f"不公开的单元格 {len(rows)} / withheld cells（前 {_SHOWN} 个）",
            ["指标 / indicator", "维度 / dims", "数值 / inside", "原因 / why"],
            rows[:_SHOWN],
        )


def _rows(state: State, table: Table) -> list[list[str]]:
    return [
        [
            table.indicator.code,
            ";".join(f"{letter}={code}" for letter, code in cell.dims.items()),
            cell.inside,
            explain_reason(cell.reason).in_language(state.language),
        ]
        for cell in table.cells
        if cell.status == WITHHELD
    ]


app.command("review")(review.review)
app.command("matrix")(review.matrix)
