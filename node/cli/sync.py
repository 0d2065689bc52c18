"""`gonghui sync`: a round by hand, how things stand, and what lies in quarantine."""

from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from node.access.permissions import check_permission
from node.cli.state import ERR, OUT, State, print_each, print_json, print_table
from node.exchange import inbox, status
from node.exchange.explain import explain
from node.exchange.reopened import reopen_streams
from node.exchange.routes import STICK
from node.exchange.sync import FAILED, PeerResult, exit_code_of, result_as_json, run_now
from node.exchange.sync import recover as recover_node
from node.handlers import HANDLERS

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


@app.command(epilog="Example: gonghui sync run --json")
def run(
    context: typer.Context,
    peer: Annotated[str, typer.Option(help="只联系此对端 / only this peer (n-…)")] = "",
    as_json: Json = False,
) -> None:
    """立即同步一轮 / run one round now. Exit 6: no peer was reached; 5: a signature or key did not hold."""
    state: State = context.obj
    check_permission(state.actor, "sync.run")
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=ERR,
        disable=as_json,
        transient=True,
    ) as progress:
        task = progress.add_task("同步 / synchronising", total=None)
        results = run_now(state.node, state.actor, HANDLERS, only=peer, on_result=lambda _: progress.advance(task))
    if as_json:
        print_json([result_as_json(result) for result in results])
    else:
        _show(results, state)
    raise typer.Exit(exit_code_of(results))


def _show(results: list[PeerResult], state: State) -> None:
    if not results and state.node.settings.exchange.transport == STICK:
        OUT.print(
            "本节点只用介质交换，请运行 / by stick alone, so run: gonghui bundle export --to n-… --out FILE",
            highlight=False,
        )
        return
    if not results:
        OUT.print("没有需要联系的对端 / no peer to call")
        return
    print_table(
        "同步 / round",
        ["对端 / peer", "结果 / state", "送达 / delivered", "被拒 / refused", "收到 / received", "说明 / remark"],
        [
            [
                item.name,
                item.state,
                item.delivered,
                item.refused,
                " ".join(f"{verdict}={count}" for verdict, count in sorted(item.received.items())),
                item.text.in_language(state.language) if item.state == FAILED and item.text else "",
            ]
            for item in results
        ],
    )


@app.command("status", epilog="Example: gonghui sync status --json")
def status_(context: typer.Context, as_json: Json = False) -> None:
    """上次成功、所示内容的新旧、下一次、待发与回执 / last success, age, what comes next, outbox and receipts."""
    state: State = context.obj
    found = [status.sync_status(node, state.actor) for node in state.places]
    if as_json:
        print_each(found)
        return
    for told in found:
        _show_status(told)


def _show_status(told: dict[str, Any]) -> None:
    waiting = sorted({reader for readers in told["recovering"].values() for reader in readers})
    facts = {
        "联合体 / federation": told["federation"]["name"] if told["federation"] else "-",
        "上次成功 / last success": told["last_success_at"] or "-",
        "内容已有（秒）/ age in seconds": "-" if told["shown_age_seconds"] is None else told["shown_age_seconds"],
        "下一次 / next": told["next_run_at"] or "-",
        "待发 / waiting to go": told["outbox"]["waiting"],
        "已送达 / delivered": told["outbox"]["delivered"],
        "被拒 / refused": told["outbox"]["refused"],
        **({"恢复中，等待答复 / restored, waits for": " ".join(waiting)} if waiting else {}),
        "隔离区 / quarantined": told["quarantined"],
        "等候 / waiting": told["waiting"],
    }
    print_table("同步状况 / sync", ["", ""], [[name, value] for name, value in facts.items()])
    columns = ["name", "status", "transport", "last_contact_at", "next_try_at", "last_error"]
    print_table("对端 / peers", columns, [[row[name] or "" for name in columns] for row in told["peers"]])
    columns = ["kind", "subject", "revision", "state", "verdict", "code"]
    print_table("发出 / sent", columns, [[row[name] for name in columns] for row in told["deliveries"]])
    if told["reviews"]:
        columns = ["subject", "verdict", "note", "at"]
        print_table("审核意见 / reviews", columns, [[row[name] for name in columns] for row in told["reviews"]])


@app.command(epilog="Example: gonghui sync quarantine --retry 3f2a…")
def quarantine(
    context: typer.Context,
    retry: Annotated[str, typer.Option(metavar="ID", help="再试此条目 / try this record again")] = "",
    as_json: Json = False,
) -> None:
    """查看隔离区，或再试其中一条 / look at what was received and refused, or try one record again."""
    state: State = context.obj
    if retry:
        outcome = inbox.retry(state.node, state.actor, retry, HANDLERS)
        if as_json:
            print_json({"id": retry, "verdict": str(outcome.verdict), "code": outcome.code})
        else:
            OUT.print(f"{outcome.verdict}  {explain(outcome.code).in_language(state.language)}", markup=False)
        return
    items = status.list_quarantine(state.node, state.actor)
    if as_json:
        print_json([item.as_json() for item in items])
        return
    print_table(
        "隔离区 / quarantine",
        ["id", "state", "code", "subject", "说明 / explanation"],
        [[i.id, i.state, i.code, i.subject, explain(i.code).in_language(state.language)] for i in items],
    )


@app.command(epilog="Example: gonghui sync outbox --json")
def outbox(context: typer.Context, as_json: Json = False) -> None:
    """被拒或两周未送达的条目及原因 / what was refused or not delivered for two weeks, and why."""
    state: State = context.obj
    rows = status.list_outbox(state.node, state.actor)
    if as_json:
        print_json(rows)
        return
    words = "explanation" if state.language.startswith("en") else "explanation_zh"
    columns = ["item", "subject", "peer_name", "state", "way", "since_at", words]
    print_table("未送达 / undelivered", columns, [[row[name] for name in columns] for row in rows])


@app.command(epilog="Example: gonghui sync retry --all")
def retry(
    context: typer.Context,
    items: Annotated[list[int] | None, typer.Argument(metavar="ITEM…", help="见 sync outbox / see sync outbox")] = None,
    everything: Annotated[bool, typer.Option("--all", help="全部 / all of them")] = False,
) -> None:
    """让未送达的条目重新发送 / let what was not delivered go again."""
    state: State = context.obj
    wanted = items or []
    if everything:
        wanted = [row["item"] for row in status.list_outbox(state.node, state.actor)]
    count = status.retry_outbox(state.node, state.actor, wanted)
    OUT.print(f"{count} 条将重新发送 / go again", highlight=False)


@app.command(epilog="Example: gonghui sync recover")
def recover(context: typer.Context) -> None:
    """从备份恢复后运行：先向对端取回自己签名过的条目，再签新的 / after a restore: first get back what was signed."""
    state: State = context.obj
    recover_node(state.node, state.actor)
    OUT.print("请运行 / now run: gonghui sync run", highlight=False)


@app.command("reopen", epilog="Example: gonghui sync reopen --yes")
def reopen_(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")] = False,
    as_json: Json = False,
) -> None:
    """无人能答复时：放弃已丢失的条目，重新开流，各读者会看到中断 / where nobody can answer: open the streams anew."""
    state: State = context.obj
    if not yes:
        typer.confirm("读者将看到中断，丢失的条目不能再取回。继续？/ Readers see the break. Go on?", abort=True)
    known = reopen_streams(state.node, state.actor)
    if as_json:
        print_json(known)
        return
    print_table("重新开始 / opened anew", ["stream", "known"], [[name, last] for name, last in known.items()])
