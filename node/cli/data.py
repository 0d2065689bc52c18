"""`gonghui data`: rosters in, looked at before they count, and out again."""

import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.prompt import Confirm, Prompt

from federation.errors import GonghuiError, StorageError, UsageError
from node.cli.state import ERR, OUT, State, print_json, print_table
from node.intake.headers import DROP, field_names, header_key, label_of
from node.intake.reading import check_size
from node.intake.rows import Answers
from node.members import roster
from node.members.answers import check_answers, check_leave_reason
from node.members.roster import Preview

app = typer.Typer(no_args_is_help=True)
mapping_app = typer.Typer(no_args_is_help=True)
app.add_typer(mapping_app, name="mapping", help="来源的列对应关系 / mappings kept per source")

_SHOWN = 20  # lines of a table on a terminal
FileArgument = Annotated[Path, typer.Argument(help="csv、tsv、txt、xls 或 xlsx", metavar="FILE")]
AsOf = Annotated[str, typer.Option("--as-of", help="名册日期 / the day the roster describes, 2026-09-30")]
Full = Annotated[bool, typer.Option("--full/--partial", help="完整名册或部分 / a full or a partial roster")]
UnknownColumns = Annotated[str, typer.Option(help="ask、refuse 或 drop：不认识的列 / unknown columns")]
ColumnOption = Annotated[list[str] | None, typer.Option("--column", help="列名=字段或 drop / HEADER=FIELD")]
ValueOption = Annotated[list[str] | None, typer.Option("--value", help="字段:值=代码 / FIELD:VALUE=CODE")]
Source = Annotated[str, typer.Option(help="来源名，用于保存对应关系 / name the mapping is kept under")]
MatchZeros = Annotated[bool, typer.Option("--match-zeros", help="确认丢了前导零的工号 / match lost leading zeros")]
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "date-misspelt", "日期请写成 2026-09-30。", "Write a date as 2026-09-30.", value=text[:20]
        ) from error


def _answers(
    state: State, unknown: str, columns: list[str] | None, values: list[str] | None, *, zeros: bool
) -> Answers:
    mapped = {}
    for pair in columns or []:
        header, _, name = pair.rpartition("=")
        mapped[header] = name
    coded: dict[str, dict[str, str]] = {}
    for item in values or []:
        name, _, rest = item.partition(":")
        word, _, code = rest.rpartition("=")
        coded.setdefault(name, {})[word] = code
    policy = unknown or state.node.settings.intake.unknown_columns
    return check_answers(mapped, coded, policy, match_zeros=zeros)


def _stage(state: State, file: Path, as_of: str, answers: Answers, *, complete: bool, source: str) -> str:
    try:
        check_size(file.stat().st_size, state.node.settings.intake.max_bytes)
        data = file.read_bytes()
    except OSError as error:
        raise StorageError(
            "file-unreadable", f"读不到文件 {file}：{error.strerror}。", f"Cannot read {file}: {error.strerror}."
        ) from error
    return roster.stage(
        state.node,
        state.actor,
        file_name=file.name,
        data=data,
        as_of=_read_day(as_of),
        complete=complete,
        source=source,
        answers=answers,
    )


def _preview(state: State, import_id: str, progress: Progress) -> Preview:
    task = progress.add_task("读取并核对 / reading and checking", total=None)
    shown = roster.preview(state.node, state.actor, import_id)
    progress.update(task, total=shown.counts["rows"], completed=shown.counts["rows"])
    return shown


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"), console=ERR, disable=quiet
    )


@app.command("import", epilog="Example: gonghui data import roster.xlsx --as-of 2026-09-30 --full")
def import_(
    context: typer.Context,
    file: FileArgument,
    as_of: AsOf,
    full: Full,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")] = False,
    unknown_columns: UnknownColumns = "",
    leavers: Annotated[str, typer.Option(help="confirm 或 keep：缺席者 / absent persons")] = "",
    leave_reason: Annotated[str, typer.Option(help="RETIRE、TRANSFER、QUIT、OTHER 或 _U")] = "_U",
    column: ColumnOption = None,
    value: ValueOption = None,
    source: Source = "",
    match_zeros: MatchZeros = False,
    as_json: Json = False,
) -> None:
    """导入名册：核对、预览、确认，一次写入 / Import a roster: checked, previewed, confirmed, written at once."""
    state: State = context.obj
    check_leave_reason(leave_reason)
    if leavers not in {"", "confirm", "keep"}:
        raise UsageError("leavers-misspelt", "--leavers 只能是 confirm 或 keep。", "Use --leavers confirm or keep.")
    answers = _answers(state, unknown_columns, column, value, zeros=match_zeros)
    import_id = _stage(state, file, as_of, answers, complete=full, source=source)
    talking = not yes and not as_json and sys.stdin.isatty()
    try:
        with _bar(quiet=as_json) as progress:
            shown = _preview(state, import_id, progress)
        if talking and shown.unknown:
            shown = _ask_columns(state, shown, answers)
        if not as_json:
            _show(shown, state.language)
        if shown.unknown or _agreed(talking=talking, yes=yes):
            left = _who_left(shown, leavers, leave_reason, talking=talking)
            done = roster.confirm(state.node, state.actor, shown, leavers=left)
        else:
            roster.discard(state.node, state.actor, import_id)
            OUT.print("没有写入任何内容 / nothing was written")
            return
    except (GonghuiError, KeyboardInterrupt):
        roster.discard(state.node, state.actor, import_id)
        raise
    if as_json:
        print_json(
            {**shown.as_json(), "number": done.number, "left": len(left), "rows_refused": done.counts["refused"]}
        )
    elif done.number is None:
        OUT.print("与已有数据完全相同，没有写入 / the same as what is known; nothing was written")
    else:
        OUT.print(f"已写入，第 {done.number} 次数据变动；撤销：gonghui data undo {done.import_id}")


def _agreed(*, talking: bool, yes: bool) -> bool:
    if yes:
        return True
    if not talking:
        raise UsageError(
            "confirmation-missing",
            "没有终端可以确认：请先用 gonghui data preview 查看，再加 --yes。",
            "No terminal to confirm at: look with `gonghui data preview`, then add --yes.",
        )
    return Confirm.ask("确认写入？/ Write this?", default=False)


def _who_left(shown: Preview, choice: str, reason: str, *, talking: bool) -> dict[str, str]:
    """Return who left: nobody unless somebody says so."""
    if not shown.leavers or choice == "keep" or (not choice and not talking):
        return {}
    if choice == "confirm" or Confirm.ask(
        f"{len(shown.leavers)} 人不在完整名册中，确认他们已离开？/ confirm them as leavers?", default=False
    ):
        return {leaver.person_id: reason for leaver in shown.leavers}
    return {}


def _ask_columns(state: State, shown: Preview, answers: Answers) -> Preview:
    """Ask for the meaning of each column nobody knows; enter drops it."""
    said = {}
    for unknown in shown.unknown:
        said[header_key(unknown.header)] = Prompt.ask(
            f"列“{unknown.header}”是什么？/ what is this column?",
            choices=[*field_names(), DROP],
            default=unknown.field or DROP,
            console=ERR,
        )
    roster.answer(state.node, state.actor, shown.import_id, roster.with_columns(answers, said))
    return roster.preview(state.node, state.actor, shown.import_id)


def _show(shown: Preview, language: str) -> None:
    """Print the preview for a person."""
    labels = {
        "rows": "行 / rows",
        "new": "新增 / new",
        "changed": "变化 / changed",
        "unchanged": "不变 / unchanged",
        "absent": "缺席 / absent",
        "refused": "拒绝 / refused",
        "membership_ended": "退会 / membership ended",
    }
    print_table(
        f"{shown.file_name} · {shown.as_of}",
        ["", "人数 / persons"],
        [[labels[name], count] for name, count in shown.counts.items()],
    )
    print_table(
        "列 / columns",
        ["列名 / header", "含义 / field", ""],
        [[c.header, label_of(c.field, language) if c.field else "—", c.how] for c in shown.columns],
    )
    for note in shown.notes:
        OUT.print(f"· {note.in_language(language)}")
    if shown.dropped:
        OUT.print(f"· 不保存的列 / columns not kept: {'、'.join(shown.dropped)}")
    if shown.unmapped:
        print_table(
            "没有代码的取值 / values without a code",
            ["字段 / field", "值 / value", "行 / rows"],
            [[label_of(item.field, language), item.value, item.rows] for item in shown.unmapped[:_SHOWN]],
        )
    if shown.errors:
        print_table(
            f"问题 {len(shown.errors)} / problems",
            ["表 / sheet", "行 / row", "列 / column", "值 / value", "怎么改 / mend"],
            [
                [e.sheet, e.row, e.column, e.value, e.en if language.startswith("en") else e.zh]
                for e in shown.errors[:_SHOWN]
            ],
        )
    if shown.leavers:
        print_table(
            "不在完整名册中 / absent from a full roster",
            ["工号 / staff no.", "姓名 / name"],
            [[leaver.staff_no, leaver.name] for leaver in shown.leavers[:_SHOWN]],
        )


@app.command("preview", epilog="Example: gonghui data preview roster.xlsx --as-of 2026-09-30 --full --json")
def preview(
    context: typer.Context,
    file: FileArgument,
    as_of: AsOf,
    full: Full,
    unknown_columns: UnknownColumns = "",
    column: ColumnOption = None,
    value: ValueOption = None,
    source: Source = "",
    match_zeros: MatchZeros = False,
    as_json: Json = False,
) -> None:
    """只看不写：会新增、变化、缺席和拒绝什么 / Look only: what is new, changed, absent, refused."""
    state: State = context.obj
    answers = _answers(state, unknown_columns, column, value, zeros=match_zeros)
    import_id = _stage(state, file, as_of, answers, complete=full, source=source)
    try:
        with _bar(quiet=as_json) as progress:
            shown = _preview(state, import_id, progress)
        if as_json:
            print_json(shown.as_json())
        else:
            _show(shown, state.language)
    finally:
        roster.discard(state.node, state.actor, import_id)


@app.command("list", epilog="Example: gonghui data list --json")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """列出导入 / List imports, newest first."""
    state: State = context.obj
    rows: list[dict[str, Any]] = [
        {
            "import": item.id,
            "file": item.file_name,
            "source": item.source,
            "as_of": item.as_of.isoformat(),
            "complete": item.complete,
            "state": item.state,
            "number": item.change_number,
        }
        for item in roster.list_imports(state.node, state.actor)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table("导入 / imports", list(rows[0]) if rows else ["import"], [list(row.values()) for row in rows])


@app.command("undo", epilog="Example: gonghui data undo i-0123456789abcdef")
def undo(context: typer.Context, import_id: str, as_json: Json = False) -> None:
    """撤销一次导入 / Take a whole import back."""
    state: State = context.obj
    number = roster.undo(state.node, state.actor, import_id)
    if as_json:
        print_json({"import": import_id, "number": number})
    else:
        OUT.print(f"已撤销，第 {number} 次数据变动 / undone by change {number}")


@app.command("discard", epilog="Example: gonghui data discard i-0123456789abcdef")
def discard(context: typer.Context, import_id: str) -> None:
    """放弃一个尚未确认的文件 / Give up a file that waits for confirmation."""
    state: State = context.obj
    roster.discard(state.node, state.actor, import_id)
    OUT.print("已放弃 / discarded")


@mapping_app.command("list", epilog="Example: gonghui data mapping list --json")
def mapping_list(context: typer.Context, as_json: Json = False) -> None:
    """列出保存的对应关系 / List the mappings kept."""
    state: State = context.obj
    found = roster.list_mappings(state.node, state.actor)
    if as_json:
        print_json([{"source": item.source, "mapping": item.mapping} for item in found])
    else:
        print_table("对应关系 / mappings", ["来源 / source", "JSON"], [[item.source, item.mapping] for item in found])


@mapping_app.command("forget", epilog="Example: gonghui data mapping forget roster")
def mapping_forget(context: typer.Context, source: str) -> None:
    """忘掉一个来源的对应关系 / Forget the mapping of one source."""
    state: State = context.obj
    roster.forget_mapping(state.node, state.actor, source)
    OUT.print("已删除 / forgotten")
