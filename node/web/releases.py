"""Releases: prepare a period, look at what goes out and what does not and why, approve, withdraw."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from federation.catalogue import Catalogue, load_catalogue
from federation.errors import Conflict, GonghuiError, InputRefused
from federation.periods import MONTH, QUARTER, UNION_YEAR, period_of
from federation.statuses import NOISY, STATUSES, marked
from node.access.permissions import check_permission
from node.indicators import release as service
from node.indicators.preview import Cell, Flow, Preview, Table, preview
from node.indicators.reasons import explain_reason
from node.indicators.texts import STATE, STATUS
from node.stream.service import list_federations
from node.web import figures
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)

_KINDS = {"draft": "warn", "approved": "good", "withdrawn": "", "superseded": ""}
_OFFERED = 4  # periods of each frequency


@router.get("/releases")
def releases(request: Request, visitor: VisitorOf) -> Response:
    """List releases, and offer periods to prepare."""
    return _list(request, visitor)


def _list(request: Request, visitor: Visitor, error: GonghuiError | None = None, **typed: str) -> Response:
    with visitor.node.database.read() as session:
        found = service.list_releases(session, visitor.account)
        joined = bool(list_federations(session))
    return page(
        request,
        "releases.html",
        422 if error else 200,
        releases=[(item, STATE[item.state], _KINDS[item.state]) for item in found],
        periods=_periods(visitor) if visitor.may("release.prepare") else [],
        joined=joined,
        error=error,
        typed={"period": "", "reason": "", "provisional": "", "coarser": "", **typed},
    )


@router.post("/releases")
def prepare(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Prepare the draft of a period and show it."""
    check_permission(visitor.account, "release.prepare")
    typed = {name: form.text(name) for name in ("period", "reason", "provisional", "coarser")}
    try:
        release = service.prepare(
            visitor.node,
            visitor.account,
            typed["period"],
            reason=typed["reason"],
            provisional=bool(typed["provisional"]),
            coarser=bool(typed["coarser"]),
        )
    except (Conflict, InputRefused) as error:
        return _list(request, visitor, error, **typed)
    return see_other(f"/releases/{release.id}", "release-prepared")


@router.get("/releases/{release}")
def show(request: Request, visitor: VisitorOf, release: str) -> Response:
    """Show a release as its approver sees it."""
    return _show(request, visitor, release)


def _show(request: Request, visitor: Visitor, release_id: str, error: GonghuiError | None = None) -> Response:
    node, actor = visitor.node, visitor.account
    with node.database.read() as session:
        shown = preview(session, node.within(""), actor, release_id)  # a release goes to every federation
    release = shown.release
    lacking = [one for one in shown.addressees if one.sent != one.dataflows]
    waits = release.state == service.DRAFT or (release.state == service.APPROVED and bool(lacking))
    alone = release.approval == service.ONE_PERSON
    return page(
        request,
        "release.html",
        error.http_status if error else 200,
        shown=shown,
        release=release,
        state=STATE[release.state],
        kind=_KINDS[release.state],
        period_name=figures.period_name(release.period, visitor.language),
        flows=[_flow(flow, visitor.language) for flow in shown.flows],
        withheld=sum(flow.count("Q") for flow in shown.flows),
        published=sum(flow.count("A") for flow in shown.flows),
        changed=_changed(shown),
        may_approve=waits and visitor.may("release.approve") and (alone or actor.account_id != release.prepared_by),
        own_draft=waits and actor.account_id == release.prepared_by and not alone,
        lacking=lacking,
        may_withdraw=release.state == service.DRAFT and visitor.may("release.prepare"),
        error=error,
    )


@router.post("/releases/{release}/approve")
def approve(request: Request, visitor: VisitorOf, form: FormOf, release: str) -> Response:
    """Sign exactly what the page showed: its digests come with the form."""
    take = request.app.state.handlers[service.KIND]
    try:
        service.approve(visitor.node.within(""), visitor.account, release, form.all("digest"), take=take)
    except (Conflict, InputRefused) as error:
        return _show(request, visitor, release, error)
    return see_other(f"/releases/{release}", "release-approved")


@router.post("/releases/{release}/withdraw")
def withdraw(visitor: VisitorOf, release: str) -> Response:
    """Give a draft up."""
    service.withdraw(visitor.node, visitor.account, release)
    return see_other("/releases", "release-withdrawn")


def _periods(visitor: Visitor) -> list[tuple[str, str]]:
    """Return the newest periods that are over, union years first."""
    today = visitor.node.clock().date()
    found = []
    for frequency in (UNION_YEAR, QUARTER, MONTH):
        period = period_of(today, frequency).previous()
        for _ in range(_OFFERED):
            found.append((period.label, figures.period_name(period.label, visitor.language)))
            period = period_of(period.start - timedelta(days=1), frequency)
    return found


def _changed(shown: Preview) -> int:
    return sum(cell.is_new for flow in shown.flows for table in flow.tables for cell in table.cells)


def _flow(flow: Flow, language: str) -> dict[str, Any]:
    """Return a dataflow for the template: its indicators, each with its tables."""
    catalogue = load_catalogue()
    indicators: dict[str, list[Table]] = {}
    for table in flow.tables:
        indicators.setdefault(table.indicator.code, []).append(table)
    return {
        "flow": flow,
        "noisy": STATUSES[NOISY] if flow.noise else None,
        "error": f"{float(flow.noise['variance']) ** 0.5:.1f}" if flow.noise else "",
        "indicators": [
            {
                "indicator": tables[0].indicator,
                "total": _cell(tables[0].cells[0], language),
                "withheld": sum(cell.status == "Q" for table in tables for cell in table.cells),
                "cells": sum(len(table.cells) for table in tables),
                "tables": [_table(catalogue, table, language) for table in tables if table.letters],
            }
            for tables in indicators.values()
        ],
    }


def _table(catalogue: Catalogue, table: Table, language: str) -> dict[str, Any]:
    """Return a table as a grid: one row a code of the last dimension, one column a code of the first of two."""
    names = [
        {code.code: code.name.in_language(language) for code in catalogue.dimensions[letter].codes}
        for letter in table.letters
    ]
    across = list(names[0].items()) if len(names) == 2 else [("", "")]
    cells = {tuple(cell.dims.values()): cell for cell in table.cells}
    rows = []
    for code, name in names[-1].items():
        keys: Sequence[tuple[str, ...]] = [(first, code) if len(names) == 2 else (code,) for first, _ in across]
        rows.append((name, [_cell(cells[key], language) if key in cells else None for key in keys]))
    title = figures.table_name(catalogue, table.letters, language)
    return {"title": title, "across": [name for _, name in across], "rows": rows}


def _text(cell: Cell, language: str) -> str:
    if cell.status != "A":
        return STATUS[cell.status].in_language(language)
    return marked(NOISY, cell.value) if cell.moved else cell.value


def _cell(cell: Cell, language: str) -> dict[str, Any]:
    before = cell.before
    if before in STATUS:
        before = STATUS[before].in_language(language)
    return {
        "cell": cell,
        "text": _text(cell, language),
        "reason": explain_reason(cell.reason).in_language(language) if cell.reason else "",
        "before": before if cell.is_new else "",
    }
