"""Four figures for the home page: this node's own where the account may see them, beside the federation's.

Reads only what is shared or already computed; a home page computes nothing.
"""

from dataclasses import dataclass

from federation.catalogue import Indicator
from federation.errors import Text
from node.exchange.view import ViewRow, read_periods, read_view
from node.web.figures import period_name, show_row
from node.web.visitors import Visitor

CODES = ("MEM_CNT", "MEM_DENSITY", "MEM_JOIN_CNT", "MEM_STAFF_CNT")


@dataclass(frozen=True)
class KeyFigure:
    """One figure: `text` as it stands there, and a remark on whose it is or how far it reaches."""

    code: str
    name: Text
    text: str
    unit: Text
    remark: Text


def read_key_figures(visitor: Visitor) -> tuple[str, list[KeyFigure]]:
    """Return the newest shared period as people read it and its figures; ("", []) before anything was shared."""
    node, actor = visitor.node, visitor.account
    periods = read_periods(node, actor, CODES[0])
    if not periods:
        return "", []
    found = []
    for code in CODES:
        view = read_view(node, actor, code, periods[0])
        found += [_figure(row, view.indicator, visitor) for row in view.rows]
    return period_name(periods[0], visitor.language), found


def _figure(row: ViewRow, indicator: Indicator, visitor: Visitor) -> KeyFigure:
    shown = row.own if row.own is not None and not visitor.node.settings.hub.enabled else row
    told = show_row(shown, indicator, visitor.language)
    part = Text(
        f"{row.coverage.reported}/{row.coverage.expected} 所", f"{row.coverage.reported} of {row.coverage.expected}"
    )
    if shown is row:
        return KeyFigure(
            indicator.code,
            indicator.name,
            told.text,
            indicator.unit,
            Text(f"联合体 {part.zh}", f"federation, {part.en}"),
        )
    whole = show_row(row, indicator, visitor.language).text
    return KeyFigure(
        indicator.code,
        indicator.name,
        told.text,
        indicator.unit,
        Text(f"本校；联合体 {whole}", f"own; federation {whole}"),
    )
