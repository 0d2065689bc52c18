"""The report matrix of the hub: who has reported what, when, in which revision; and what the hub says of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from federation.errors import Conflict, GonghuiError, InputRefused, Text
from node.exchange import hub
from node.exchange.explain import explain
from node.exchange.view import read_periods
from node.web import figures
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)

STATES = {
    hub.MISSING: ("warn", Text("缺报", "missing")),
    hub.REPORTED: ("", Text("已报", "reported")),
    hub.QUARANTINED: ("bad", Text("隔离", "quarantined")),
    hub.CONTRADICTED: ("bad", Text("自相矛盾", "contradicted")),
}
VERDICTS = {
    hub.ACCEPTED: ("good", Text("已接受", "accepted")),
    hub.RETURNED: ("warn", Text("退回修改", "returned")),
}


@router.get("/matrix")
def matrix(request: Request, visitor: VisitorOf, period: Annotated[str, Query(max_length=10)] = "") -> Response:
    """Show who has reported for a period."""
    return _show(request, visitor, period)


def _show(request: Request, visitor: Visitor, period: str, error: GonghuiError | None = None) -> Response:
    node, actor, language = visitor.node, visitor.account, visitor.language
    periods = read_periods(node, actor)
    chosen = period or (periods[0] if periods else "")
    shown = hub.report_matrix(node, actor, [chosen] if chosen else ())
    lines = [(line, [_cell(cell, language) for cell in line.cells]) for line in shown.lines]
    reported = sum(any(cell.state == hub.REPORTED for cell in line.cells) for line in shown.lines)
    return page(
        request,
        "matrix.html",
        error.http_status if error else 200,
        periods=[(label, figures.period_name(label, language)) for label in periods],
        period=chosen,
        columns=shown.columns,
        lines=lines,
        reported=reported,
        expected=sum(line.active for line in shown.lines),
        error=error,
    )


@router.post("/matrix/review")
def review(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Accept a release, or return it for correction with a note."""
    period = form.text("period")
    try:
        hub.review_release(visitor.node, visitor.account, form.text("record"), form.text("verdict"), form.text("note"))
    except (Conflict, InputRefused) as error:
        return _show(request, visitor, period, error)
    return see_other(f"/matrix?period={period}", "reviewed")


def _cell(cell: hub.Cell, language: str) -> dict[str, Any]:
    kind, text = STATES[cell.state]
    if cell.review is not None and cell.state == hub.REPORTED:
        kind, text = VERDICTS[cell.review.verdict]
    return {
        "cell": cell,
        "kind": kind,
        "text": text.in_language(language),
        "why": explain(cell.code).in_language(language) if cell.code else "",
    }
