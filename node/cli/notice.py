"""`gonghui notice`: events offered to other colleges."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from federation.errors import StorageError
from node.activities import service
from node.activities.calendar import issue_feed, revoke_feed, write_calendar
from node.activities.draft import KINDS, Draft, kind_of
from node.cli.state import OUT, State, print_json, print_table
from node.founding import local_url

app = typer.Typer(no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(metavar="ID", help="通知编号 / the notice")]
Title = Annotated[str | None, typer.Option(help="标题 / title")]
Kind = Annotated[str | None, typer.Option(help="类别：" + "、".join(text.zh for text in KINDS.values()) + " / kind")]
Place = Annotated[str | None, typer.Option(help="地点 / place")]
Starts = Annotated[str | None, typer.Option(help="开始时间 / start, 2026-12-12T14:00")]
Ends = Annotated[str | None, typer.Option(help="结束时间 / end, 2026-12-12T17:00")]
Zone = Annotated[str | None, typer.Option(help="时区 / zone, default as configured")]
Who = Annotated[str | None, typer.Option(help="参加对象 / who may come")]
Seats = Annotated[int | None, typer.Option(help="名额，0 不限 / seats, 0: not limited")]
Contact = Annotated[str | None, typer.Option(help="联系办公室 / contact of the office, not a private number")]
Details = Annotated[str | None, typer.Option(help="说明 / details")]
Note = Annotated[str | None, typer.Option(help="改动或取消的原因 / what changed, or why")]
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


def _tell(state: State, notice_id: str, verb: str, *, as_json: bool) -> None:
    with state.node.database.read() as session:
        shown = service.get_notice(session, state.node, state.actor, notice_id)
    if as_json:
        print_json(shown.as_json())
    else:
        OUT.print(f"{verb}：{shown.notice.title}  {notice_id}  r{shown.notice.revision}", highlight=False, markup=False)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given, the kind as its code."""
    given = {name: value for name, value in options.items() if value is not None}
    if "kind" in given:
        given["kind"] = kind_of(given["kind"])
    return given


@app.command()
def publish(
    context: typer.Context,
    title: Annotated[str, typer.Option(help="标题 / title")],
    place: Annotated[str, typer.Option(help="地点 / place")],
    starts: Annotated[str, typer.Option(help="开始时间 / start, 2026-12-12T14:00")],
    ends: Annotated[str, typer.Option(help="结束时间 / end, 2026-12-12T17:00")],
    kind: Kind = None,
    zone: Zone = None,
    who: Who = None,
    seats: Seats = None,
    contact: Contact = None,
    details: Details = None,
    as_json: Json = False,
) -> None:
    """发布活动通知 / offer an event.

    Example: gonghui notice publish --title 羽毛球赛 --place 体育馆 --starts 2026-12-12T14:00 --ends 2026-12-12T17:00
    """
    state: State = context.obj
    base = Draft(title=title, place=place, starts=starts, ends=ends, zone=state.node.settings.node.timezone)
    draft = replace(base, **_given(kind=kind, zone=zone, who=who, seats=seats, contact=contact, details=details))
    _tell(state, service.publish(state.node, state.actor, draft).id, "已发布 / published", as_json=as_json)


@app.command()
def update(
    context: typer.Context,
    notice: Identifier,
    title: Title = None,
    kind: Kind = None,
    place: Place = None,
    starts: Starts = None,
    ends: Ends = None,
    zone: Zone = None,
    who: Who = None,
    seats: Seats = None,
    contact: Contact = None,
    details: Details = None,
    note: Note = None,
    as_json: Json = False,
) -> None:
    """更新活动通知，只写要改的项 / change an event.  Example: gonghui notice update ID --place 图书馆报告厅."""
    state: State = context.obj
    with state.node.database.read() as session:
        held = service.get_notice(session, state.node, state.actor, notice).notice
    given = _given(
        title=title, kind=kind, place=place, starts=starts, ends=ends, zone=zone, who=who, seats=seats,
        contact=contact, details=details, note=note,
    )  # fmt: skip
    draft = service.draft_of(held, **given)
    service.update(state.node, state.actor, notice, draft, revision=held.revision)
    _tell(state, notice, "已更新 / updated", as_json=as_json)


@app.command()
def cancel(context: typer.Context, notice: Identifier, note: Note = None, as_json: Json = False) -> None:
    """取消活动，不能恢复 / cancel an event, for good.  Example: gonghui notice cancel ID --note 因天气原因."""
    state: State = context.obj
    service.cancel(state.node, state.actor, notice, note or "")
    _tell(state, notice, "已取消 / cancelled", as_json=as_json)


@app.command("list")
def list_(
    context: typer.Context,
    past: Annotated[bool, typer.Option("--past", help="包括已结束的 / those that are over, too")] = False,
    as_json: Json = False,
) -> None:
    """列出活动通知 / list events.  Example: gonghui notice list --json."""
    state: State = context.obj
    with state.node.database.read() as session:
        found = service.list_notices(session, state.node, state.actor, past=past)
    facts = [shown.as_json() for shown in found]
    if as_json:
        print_json({"notices": facts})
        return
    columns = ["编号 / id", "状态 / state", "时间 / time", "标题 / title", "地点 / place", "主办 / host"]
    keys = ("id", "state", "starts", "title", "place", "office")
    print_table("活动通知 / notices", columns, [[fact[key] for key in keys] for fact in facts])


@app.command()
def feed(
    context: typer.Context,
    revoke: Annotated[bool, typer.Option("--revoke", help="作废地址 / let the address die")] = False,
    as_json: Json = False,
) -> None:
    """取得本账号的日历订阅地址 / make this account's calendar address.  Example: gonghui notice feed."""
    state: State = context.obj
    url = ""
    if revoke:
        revoke_feed(state.node, state.actor)
    else:
        url = local_url(state.node.settings) + issue_feed(state.node, state.actor)
    if as_json:
        print_json({"url": url})
    else:
        OUT.print(url or "已作废 / revoked", highlight=False)


@app.command()
def calendar(
    context: typer.Context, out: Annotated[Path, typer.Option(help="写入的文件 / file to write")], as_json: Json = False
) -> None:
    """导出日历文件 / write the events as a calendar file.  Example: gonghui notice calendar --out events.ics."""
    state: State = context.obj
    with state.node.database.read() as session:
        found = service.list_notices(session, state.node, state.actor)
    try:
        out.write_bytes(write_calendar(found, "工会活动通知", state.language))
    except OSError as error:
        raise StorageError(
            "file-unwritable", f"无法写入 {out}：{error.strerror}。", f"Cannot write {out}: {error.strerror}."
        ) from error
    if as_json:
        print_json({"file": str(out), "notices": len(found)})
