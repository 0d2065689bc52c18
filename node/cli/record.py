"""`gonghui record`: look at the log of signed records and export one, byte for byte."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.files import new_file
from node.cli.state import OUT, State, print_each, print_json, print_table
from node.exchange.alarms import evidence_status, export_evidence
from node.exchange.records import export_opened, export_record, list_records, seal_again
from node.exchange.revocation import countersign
from node.handlers import HANDLERS

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    kind: Annotated[str, typer.Option(help="只列此类 / only this kind")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """列出最近的条目 / list the newest records.  Example: gonghui record list --kind release --json."""
    state: State = context.obj
    rows = list_records(state.node, state.actor, kind=kind)
    if as_json:
        print_json(rows)
        return
    columns = ["position", "kind", "origin", "subject", "revision", "state", "code", "id"]
    print_table("条目 / records", columns, [[row[name] for name in columns] for row in rows])


@app.command()
def export(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="条目编号（可只写开头）/ id, or how it begins")],
    out: Annotated[Path, typer.Option(help="写入的新文件 / new file to write")],
    opened: Annotated[
        Path | None, typer.Option(help="另存密封条目的明文 / new file for the plaintext of a sealed record")
    ] = None,
) -> None:
    """导出条目原文，可用 gonghui verify 核验 / export a record verbatim.

    With --opened its plaintext too: both together prove to a third person what was sealed.

    Example: gonghui record export 3f2a --out r.json
    """
    state: State = context.obj
    envelope = export_record(state.node, state.actor, record_id)
    plaintext = export_opened(state.node, state.actor, record_id) if opened else b""
    with new_file(out, 0o600) as file:
        file.write(envelope)
    if opened:
        with new_file(opened, 0o600) as file:
            file.write(plaintext)
    OUT.print(str(out), markup=False, highlight=False)


@app.command("seal-again")
def seal_again_(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="条目编号（可只写开头）/ id, or how it begins")],
) -> None:
    """读者丢失密钥后，按名录中现在的密钥重新密封（下一修订）/ seal a record anew for a reader that lost its key.

    Example: gonghui record seal-again 3f2a
    """
    state: State = context.obj
    OUT.print(seal_again(state.node, state.actor, record_id, HANDLERS).id, markup=False, highlight=False)


@app.command()
def prove(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="条目编号（可只写开头）/ id, or how it begins")],
    out: Annotated[Path, typer.Option(help="写入的新文件 / new file to write")],
) -> None:
    """导出证据：见证时间，或自相矛盾的两份签名 / export when witnesses saw it, or a contradiction.

    Example: gonghui record prove 3f2a --out proof.json
    """
    state: State = context.obj
    evidence = export_evidence(state.node, state.actor, record_id)
    with new_file(out, 0o600) as file:
        file.write(evidence)
    OUT.print(str(out), markup=False, highlight=False)


@app.command()
def alarms(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """列出矛盾、恢复、检查点与见证 / show contradictions, restores, checkpoint, witnesses.

    Example: gonghui record alarms --json
    """
    state: State = context.obj
    found = [evidence_status(node, state.actor) for node in state.places]
    if as_json:
        print_each(found)
        return
    for told in found:
        _show_alarms(told)


def _show_alarms(told: dict[str, Any]) -> None:
    checkpoint = told["checkpoint"] or {"size": 0, "witnesses": [], "missing": "-"}
    print_table(
        "日志 / log",
        ["leaves", "checkpoint", "witnesses", "missing", "unproven"],
        [[told["log_size"], checkpoint["size"], len(checkpoint["witnesses"]), checkpoint["missing"], told["unproven"]]],
    )
    columns = ["origin", "code", "found_at", "message_zh"]
    print_table("被删改的日志 / cut logs", columns, [[row[name] for name in columns] for row in told["logs"]])
    columns = ["origin", "stream", "sequence", "first_id", "id", "found_at"]
    print_table("矛盾 / contradictions", columns, [[row[name] for name in columns] for row in told["contradictions"]])
    columns = ["origin", "stream", "sequence", "missing", "issued_at"]
    odd = [row for row in told["statements"] if row["silent"] or row["missing"]]
    print_table("来源所述而未收到 / said, not received", columns, [[row[name] for name in columns] for row in odd])
    columns = ["origin", "stream", "before", "after", "found_at"]
    print_table("从备份恢复 / restored", columns, [[row[name] for name in columns] for row in told["restored"]])


@app.command("countersign")
def countersign_(context: typer.Context) -> None:
    """旧密钥作废后，用新密钥补签自己的条目 / sign own records again after the old key was revoked.

    Example: gonghui record countersign
    """
    state: State = context.obj
    count = countersign(state.node, state.actor)
    OUT.print(f"已补签 / signed again: {count}", highlight=False)
