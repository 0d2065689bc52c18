"""`gonghui privacy`: what a release leaves visible, what is public so far, and the audit that anybody can run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from federation.dossier import read_collected
from federation.errors import InputRefused, UsageError
from federation.evidence import FindMember, read_key_file
from federation.history import History
from federation.keys import public_pem
from node import papers
from node.cli import totals
from node.cli.files import new_file
from node.cli.state import OUT, State, print_json, print_table
from node.indicators import budget
from node.indicators import ledger as service
from node.indicators.compute import VALUE
from node.indicators.gate import WITHHELD
from node.indicators.preview import Cell, Preview, preview
from node.indicators.reasons import explain_reason

app = typer.Typer(no_args_is_help=True)

OPEN = 1  # exit code: the audit found a cell open
KEYS = "public-key.pem"
_SHOWN = 40
_MAX_BYTES = 1_000_000
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


@app.command("preview", epilog="Example: gonghui privacy preview r-… --json")
def preview_(
    context: typer.Context,
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="发布编号 / the release, r-…")],
    as_json: Json = False,
) -> None:
    """审批前查看：还看得见多少人，不公开的为什么、外人能推到什么范围 / what stays visible and what can be inferred."""
    state: State = context.obj
    with state.node.database.read() as session:
        shown = preview(session, state.node, state.actor, release)
    told = [(table.indicator.code, cell) for flow in shown.flows for table in flow.tables for cell in table.cells]
    if as_json:
        print_json(shown.as_json())
        return
    _tell(shown, [cell for _, cell in told])
    rows = [
        [code, _dims(cell), cell.inside, cell.range, explain_reason(cell.reason).in_language(state.language)]
        for code, cell in told
        if cell.status == WITHHELD
    ]
    columns = ["指标 / indicator", "维度 / dims", "数值 / inside", "外人所知 / outside", "原因 / why"]
    print_table(f"不公开的单元格 {len(rows)} / withheld cells（前 {_SHOWN} 个）", columns, rows[:_SHOWN])


def _tell(shown: Preview, cells: list[Cell]) -> None:
    share = "—" if shown.visible_share is None else f"{shown.visible_share:.0%}"
    published = sum(cell.status == VALUE for cell in cells)
    OUT.print(
        f"{shown.release.period} r{shown.release.revision} · 公开 / published {published} · "
        f"仍可见人数比例 / persons still visible {share}",
        highlight=False,
    )
    if shown.release.lost:
        OUT.print(
            f"单凭以往的发布就能推出 / told by earlier releases alone: {shown.release.lost}（gonghui privacy audit）",
            highlight=False,
        )
    if shown.budget:
        OUT.print(
            f"隐私预算 / privacy budget {shown.budget.year}: ε {shown.budget.left} / {shown.budget.budget}",
            highlight=False,
        )
    if shown.last_period:
        newly, gone = shown.since_last()
        OUT.print(
            f"与 {shown.last_period} 相比 / against the period before: 新公开 / newly shown {newly}, "
            f"新不公开 / newly withheld {gone}",
            highlight=False,
        )


def _dims(cell: Cell) -> str:
    return ";".join(f"{letter}={code}" for letter, code in cell.dims.items())


@app.command("budget", epilog="Example: gonghui privacy budget --json")
def budget_(context: typer.Context, as_json: Json = False) -> None:
    """每人每年的隐私预算：已用多少、用在哪里、还剩多少 / each person's budget of a union year: spent on what, left."""
    state: State = context.obj
    years = budget.list_spent(state.node, state.actor)
    if as_json:
        print_json([year.as_json() for year in years])
        return
    rows = [[year.year, str(year.budget), str(year.spent), str(year.left), _taken(year)] for year in years]
    columns = ["工会年度 / year", "预算 / budget", "已用 / spent", "剩余 / left", "数据流 / dataflows"]
    print_table("隐私预算（ε）/ privacy budget", columns, rows)


def _taken(year: budget.Spent) -> str:
    return "，".join(f"{dataflow} {epsilon}" for dataflow, epsilon in sorted(year.by_dataflow.items()))


@app.command("ledger", epilog="Example: gonghui privacy ledger --out public-so-far")
def ledger(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="另存全部已签名条目与公钥的新文件夹 / new folder for all records and the key")
    ] = None,
    everybody: Annotated[
        bool,
        typer.Option("--everybody", help="连同本节点收到的各校发布和合计 / with all releases and totals held here"),
    ] = False,
    as_json: Json = False,
) -> None:
    """发布台账：本节点已公开的一切，按签名先后 / everything this node made public, in the order it was signed."""
    state: State = context.obj
    entries = [entry.model_dump() for entry in service.list_ledger(state.node, state.actor)]
    if everybody and out is None:
        raise UsageError("out-missing", "请用 --out 给出新文件夹。", "Name a new folder with --out.")
    if out is not None:
        _export(state, out, everybody=everybody)
    if as_json:
        print_json(entries)
        return
    columns = ["position", "period", "dataflow", "revision", "audience", "published", "withheld", "record_id"]
    print_table("发布台账 / release ledger", columns, [[entry[name] for name in columns] for entry in entries])


def _export(state: State, out: Path, *, everybody: bool) -> None:
    if everybody:
        files = service.export_everybody(state.node, state.actor)
    else:
        key = public_pem(state.node.signer.public_key)
        files = [*service.export_ledger(state.node, state.actor), (KEYS, key.encode())]
    try:
        out.mkdir()
    except OSError as error:
        raise InputRefused("folder-unusable", f"不能新建文件夹 {out}。", f"Cannot make the folder {out}.") from error
    for name, content in files:
        with new_file(out / name) as file:
            file.write(content)


@app.command("audit", epilog="Example: gonghui privacy audit --history public-so-far --json")
def audit(
    context: typer.Context,
    history: Annotated[
        Path | None, typer.Option(metavar="DIR", help="已签名条目的文件夹 / folder of signed records")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="签名者公钥文件 / public-key file of the signer")] = None,
    as_json: Json = False,
) -> int:
    """从外部重算全部已公开的数字，能推出一格即以 1 结束 / re-read what is public; 1 if a cell is open.

    With --history from signed files alone, by anybody: no node and no account is needed. Compare the fingerprint.
    Files of several nodes are audited together with the exact totals over them.
    """
    state: State = context.obj
    told: dict[str, Any] = {}
    if history is None:
        found = service.audit_own(state.node, state.actor)
        told["origin"] = state.node.node_id
    else:
        collected = read_collected(_documents(history), _keys(history if key is None else key))
        origins = [one.origin for one in collected.dossiers]
        prints = [print_ for one in collected.dossiers for print_ in one.fingerprints]
        if len(origins) == 1:
            found = service.audit_contents(collected.dossiers[0].contents)
        else:
            found = service.audit_collected(collected)
            told["totals"] = len(collected.totals)
        told |= {"origin": "、".join(origins), "fingerprints": prints}
    told |= _result(found)
    if as_json:
        print_json(told)
    else:
        _show(told)
    return OPEN if found.findings else 0


def _documents(folder: Path) -> Iterator[bytes]:
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputRefused(
            "history-empty", f"{folder} 里没有已签名的条目。", f"There are no signed records in {folder}."
        )
    for path in paths:
        with path.open("rb") as file:
            yield file.read(_MAX_BYTES + 3).rstrip(b"\r\n")


def _keys(where: Path) -> FindMember:
    """Return the look-up of the keys in a file, or in the folder's public-key files: a key may have been rotated."""
    paths = sorted(where.glob("*.pem")) if where.is_dir() else [where]
    try:
        texts = [path.read_text(encoding="utf-8") for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefused("file-unreadable", f"读不到文件 {where}。", f"Cannot read {where}.") from error
    looks = [read_key_file(pem) for text in texts for pem in re.findall(r"-----BEGIN.+?-----END[^-]+-----", text, re.S)]
    if not looks:
        raise InputRefused("key-missing", f"{where} 里没有公钥。", f"There is no public key in {where}.")
    return lambda keyid: next((member for look in looks if (member := look(keyid)) is not None), None)


def _result(found: History) -> dict[str, Any]:
    return {
        "releases": len(found.publications),
        "cells": found.cells,
        "withheld": found.withheld,
        "components": found.components,
        "open": [vars(finding) for finding in found.findings],
    }


def _show(told: dict[str, Any]) -> None:
    for name in ("origin", "fingerprints", "releases", "totals", "cells", "withheld"):
        if name in told:
            value = told[name]
            OUT.print(f"{name}: {value if isinstance(value, (str, int)) else ', '.join(value)}", highlight=False)
    if not told["open"]:
        OUT.print("没有能推出的单元格 / no cell is open")
        return
    columns = ["release", "indicator", "dims", "why", "low", "high"]
    rows = [[finding[name] for name in columns] for finding in told["open"]]
    print_table(f"能推出的单元格 {len(rows)} / open cells（前 {_SHOWN} 个）", columns, rows[:_SHOWN])


@app.command("record", epilog="Example: gonghui privacy record --out 处理活动记录.md")
def record(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="新文件（Markdown）/ new file")],
    as_json: Json = False,
) -> None:
    """个人信息处理活动记录，按实际配置填好 / the record of processing, filled from what this node really is."""
    _write_paper(context.obj, papers.RECORD, out, as_json=as_json)


@app.command("assessment", epilog="Example: gonghui privacy assessment --out 影响评估.md")
def assessment(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="新文件（Markdown）/ new file")],
    as_json: Json = False,
) -> None:
    """个人信息保护影响评估报告，按实际配置填好 / the impact assessment, filled from what this node really is."""
    _write_paper(context.obj, papers.ASSESSMENT, out, as_json=as_json)


def _write_paper(state: State, kind: str, out: Path, *, as_json: bool) -> None:
    paper = papers.write_paper(state.node, state.actor, kind)
    with new_file(out) as file:
        file.write(paper.text.encode())
    blanks = paper.text.count("【请填写：")
    if as_json:
        print_json({"file": str(out), "title": paper.title, "sha256": paper.digest, "blanks": blanks})
        return
    OUT.print(f"{paper.title}：{out}；还有 {blanks} 处请填写 / {blanks} blanks are left to a person", highlight=False)


totals.add_to(app)
