"""`gonghui audit`: check that nothing was cut from the audit trail, and export it."""

from pathlib import Path
from typing import Annotated

import typer

from federation.errors import InputRefused
from node.cli.state import OUT, State, print_json, print_table
from node.exchange.trail import list_audit, read_seen, verify_audit

app = typer.Typer(no_args_is_help=True)


@app.command()
def verify(
    context: typer.Context,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="他人保存的本节点检查点 / a checkpoint of this node that somebody else kept"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """核验审计日志未被删改 / check that the audit trail was not cut or changed.

    Example: gonghui audit verify --checkpoint checkpoint.json
    """
    state: State = context.obj
    trail = verify_audit(state.node, state.actor, [read_seen(state.node, _load(path)) for path in checkpoint or []])
    if as_json:
        print_json({"valid": True, "entries": trail.size, "head": trail.head})
        return
    text = f"审计日志完整，共 {trail.size} 条 / the audit trail is whole, {trail.size} entries"
    OUT.print(f"{text}: {trail.head}", highlight=False)


@app.command()
def export(
    context: typer.Context,
    after: Annotated[int, typer.Option(help="只要此编号之后的 / only after this number")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """导出审计日志 / export the audit trail.  Example: gonghui audit export --json."""
    state: State = context.obj
    rows = list_audit(state.node, state.actor, after=after)
    if as_json:
        print_json(rows)
        return
    columns = ["number", "at", "account", "action", "subject", "result", "detail"]
    print_table("审计日志 / audit trail", columns, [[row[name] for name in columns] for row in rows])


def _load(path: Path) -> bytes:
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise InputRefused("file-unreadable", f"读不到文件 {path}。", f"Cannot read {path}.") from error
