"""The indicator board, and one indicator: picture, table, definition, coverage, source records, files.

The view is wholly in the address (`period`, `table`, `lang`): what one person sees another sees by the same link, and
the picture and the files are made of exactly that view.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from federation.catalogue import Indicator, load_catalogue
from federation.errors import InputRefused
from federation.periods import read_period
from node.exchange.view import View, ViewRow, read_periods, read_rollup, read_tables, read_view
from node.web import figures
from node.web.export import WRITERS
from node.web.pages import PageRoute, page
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)

TREND_PERIODS = 8
Period = Annotated[str, Query(max_length=10)]
Table = Annotated[str, Query(max_length=10)]


@router.get("/indicators")
def board(request: Request, visitor: VisitorOf, period: Period = "") -> Response:
    """Show the totals of a period, family by family, and what nobody has reported."""
    node, actor, language = visitor.node, visitor.account, visitor.language
    catalogue = load_catalogue()
    periods = read_periods(node, actor)
    chosen = period or (periods[0] if periods else "")
    rows = read_rollup(node, actor, chosen) if chosen else []
    families = [
        (
            figures.FAMILY_TEXTS[family],
            [_line(row, catalogue.get(row.indicator), language) for row in found],
        )
        for family, found in figures.by_family(rows, catalogue).items()
    ]
    there = {row.indicator for row in rows}
    rest = [item for item in catalogue.indicators.values() if not item.internal and item.code not in there]
    return page(
        request,
        "board.html",
        periods=[(label, figures.period_name(label, language)) for label in periods],
        period=chosen,
        families=families,
        legend=figures.legend_of(row for row in rows if not row.dims),
        rest=rest,
        hub=visitor.node.settings.hub.enabled,
    )


@router.get("/indicators/{code}")
def indicator(request: Request, visitor: VisitorOf, code: str, period: Period = "", table: Table = "") -> Response:
    """Show one indicator by one table of one period."""
    language = visitor.language
    defined, chosen, periods = _choose(visitor, code, period)
    catalogue = load_catalogue()
    view = _view(visitor, defined, chosen, table) if chosen else None
    total = read_view(visitor.node, visitor.account, code, chosen).rows[0] if chosen else None
    return page(
        request,
        "indicator.html",
        indicator=defined,
        period=chosen,
        periods=[(label, figures.period_name(label, language)) for label in periods],
        table=table,
        tables=[(",".join(item), figures.table_name(catalogue, item, language)) for item in defined.released],
        total=_line(total, defined, language) if total else None,
        nodes=[(node, figures.show_row(node, defined, language)) for node in total.nodes] if total else [],
        colleges=figures.colleges_of(view, language) if view and table else [],
        rows=[_line(row, defined, language) for row in view.rows] if view else [],
        legend=figures.legend_of(view.rows) if view else [],
        missing=view.missing if view else (),
        sources=sorted({source for row in view.rows for source in row.sources}) if view else [],
        trend=len(periods) > 1,
        hub=visitor.node.settings.hub.enabled,
    )


@router.get("/indicators/{code}/chart.svg")
def chart(visitor: VisitorOf, code: str, period: Period = "", table: Table = "") -> Response:
    """Draw the table of the view."""
    defined, chosen, _ = _choose(visitor, code, period)
    view = _view(visitor, defined, chosen, table)
    return Response(figures.bars_of(view, view.rows, visitor.language), media_type="image/svg+xml")


@router.get("/indicators/{code}/trend.svg")
def trend(visitor: VisitorOf, code: str, period: Period = "") -> Response:
    """Draw the totals of the periods of one frequency up to the one of the view."""
    _, chosen, periods = _choose(visitor, code, period)
    shown = [label for label in reversed(periods) if label <= chosen or label == chosen][-TREND_PERIODS:]
    if not shown:
        raise InputRefused("figures-missing", "还没有院校报过这个指标。", "No college has reported this indicator.")
    views = [read_view(visitor.node, visitor.account, code, label) for label in shown]
    return Response(figures.trend_of(views, visitor.language), media_type="image/svg+xml")


@router.get("/indicators/{code}/figures.{suffix}")
def download(visitor: VisitorOf, code: str, suffix: str, period: Period = "", table: Table = "") -> Response:
    """Give exactly this view as csv, xlsx or json."""
    if suffix not in WRITERS:
        raise InputRefused("format-unknown", "只能下载 csv、xlsx 或 json。", "There is csv, xlsx and json.")
    defined, chosen, _ = _choose(visitor, code, period)
    view = _view(visitor, defined, chosen, table)
    sheet = figures.sheet_of(view, view.rows, visitor.language, own=not visitor.node.settings.hub.enabled)
    file = WRITERS[suffix](sheet)
    name = f"{sheet.name}.{file.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(file.content, media_type=file.media_type, headers=headers)


def _choose(visitor: Visitor, code: str, period: str) -> tuple[Indicator, str, list[str]]:
    """Return the indicator, the period of the view (the newest where none is named), and those of its frequency."""
    defined = load_catalogue().get(code)
    if defined.internal:
        raise InputRefused("indicator-unknown", "没有这个指标。", "There is no such indicator.")
    periods = read_periods(visitor.node, visitor.account, code)
    chosen = read_period(period).label if period else periods[0] if periods else ""
    same = [label for label in periods if read_period(label).frequency == read_period(chosen).frequency]
    return defined, chosen, same


def _view(visitor: Visitor, defined: Indicator, period: str, table: str) -> View:
    return read_view(visitor.node, visitor.account, defined.code, period, tables=read_tables(defined, table))


def _line(row: ViewRow, defined: Indicator, language: str) -> dict[str, Any]:
    """Return a row as templates want it: texts only."""
    band = row.band
    return {
        "row": row,
        "indicator": defined,
        "label": figures.label_of(row, language),
        "shown": figures.show_row(row, defined, language),
        "own": figures.show_row(row.own, defined, language) if row.own else None,
        "band": (figures.number_text(band.lower, defined), figures.number_text(band.upper, defined)) if band else None,
        "place": figures.place_name(row, language),
    }
