"""`gonghui release review` and `gonghui release matrix`: what the hub says of releases, and who has reported."""

from typing import Annotated

import typer

from federation.errors import Text, UsageError
from node.cli.state import OUT, State, print_json, print_table
from node.exchange.hub import ACCEPTED, RETURNED, Cell, report_matrix, review_release

_STATES = {
    "missing": Text("缺报", "missing"),
    "reported": Text("已报", "reported"),
    "quarantined": Text("隔离", "quarantined"),
    "contradicted": Text("自相矛盾", "contradicted"),
}
_VERDICTS = {ACCEPTED: Text("已接受", "accepted"), RETURNED: Text("退回修改", "returned")}
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


def review(
    context: typer.Context,
    record: Annotated[str, typer.Argument(metavar="RECORD", help="条目编号（可只写开头）/ id, or how it begins")],
    accept: Annotated[bool, typer.Option("--accept", help="接受 / accept it")] = False,
    returned: Annotated[
        str, typer.Option("--return", metavar="NOTE", help="退回修改，写明要改什么 / return it with a note")
    ] = "",
    as_json: Json = False,
) -> None:
    """汇总节点审核收到的发布 / the hub accepts a release, or returns it for correction.

    Example: gonghui release review 3f2a --return 教授人数与上期相差过大，请核对
    """
    state: State = context.obj
    if accept == bool(returned):
        raise UsageError(
            "review-verdict", "请写 --accept 或 --return 意见，二者选一。", "Give either --accept or --return NOTE."
        )
    said = review_release(state.node, state.actor, record, ACCEPTED if accept else RETURNED, returned)
    if as_json:
        print_json(vars(said))
        return
    OUT.print(
        f"{_VERDICTS[said.verdict].in_language(state.language)}  {said.record_id}  r{said.revision}", markup=False
    )


def matrix(
    context: typer.Context,
    period: Annotated[list[str] | None, typer.Option(help="只看此期间，可多次 / only this period; may repeat")] = None,
    as_json: Json = False,
) -> None:
    """谁已上报、何时、缺什么 / who has reported what and when, and what is missing.

    Example: gonghui release matrix --period 2026U --json
    """
    state: State = context.obj
    found = report_matrix(state.node, state.actor, period or ())
    if as_json:
        print_json(found.as_json())
        return
    columns = ["成员 / member", *(f"{column.dataflow}\n{column.period}" for column in found.columns)]
    rows = [[line.name, *(_cell(cell, state.language) for cell in line.cells)] for line in found.lines]
    print_table("上报情况 / report matrix", columns, rows)


def _cell(cell: Cell, language: str) -> str:
    parts = [_STATES[cell.state].in_language(language)]
    if cell.revision:
        parts.append(f"r{cell.revision}")
    if cell.code:
        parts.append(cell.code)
    if cell.review:
        parts.append(_VERDICTS[cell.review.verdict].in_language(language))
    if cell.received_at:
        parts.append(f"{cell.received_at:%Y-%m-%d}")
    return " ".join(parts)
