"""Pictures of figures: Vega-Lite specifications drawn to SVG in this process; nothing is loaded from elsewhere.

A picture tells the same statuses as the table below it, by the words, marks and opacity of `federation.statuses`; what
is withheld or missing stands as a word where its bar would be. It never draws zero for what is unknown.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

FONT = "Noto Sans CJK SC, Noto Sans SC, Microsoft YaHei, PingFang SC, sans-serif"
COLOURS = ("#1f6f8b", "#d98032", "#5b8c5a", "#8a5a8c", "#b5485d", "#6b7280", "#c2a83e", "#3f5f9e", "#8c6d46")
INK, QUIET, GRID = "#1f2933", "#667380", "#e4e8ec"
_WIDTH, _BAR = 560, 26


@dataclass(frozen=True)
class Bar:
    """One bar: `value` None where there is none, `word` what is written beside it, or instead of it."""

    label: str
    value: float | None
    word: str
    series: str = ""
    opacity: float = 1.0
    error: float = 0.0  # the band about the value, either way, within which chance has moved it


@dataclass(frozen=True)
class Point:
    """One period of a line; `low` and `high` are the quartiles of the others where enough of them reported."""

    period: str
    value: float | None
    low: float | None = None
    high: float | None = None
    own: float | None = None
    error: float = 0.0  # of `value`, where chance moved it


def draw_bars(bars: Sequence[Bar], unit: str, *, title: str) -> str:
    """Return an SVG of horizontal bars, grouped by `series` where there is more than one."""
    series = list(dict.fromkeys(bar.series for bar in bars))
    labels = list(dict.fromkeys(bar.label for bar in bars))
    grouped = len(series) > 1
    rows = [
        {
            "label": bar.label,
            "series": bar.series,
            "value": bar.value or 0,
            "text": bar.word,
            "drawn": bar.value is not None,
            "opacity": bar.opacity,
            "low": max((bar.value or 0) - bar.error, 0),
            "high": (bar.value or 0) + bar.error,
            "moved": bar.error > 0,
        }
        for bar in bars
    ]
    place: dict[str, Any] = {"field": "label", "type": "nominal", "sort": labels, "title": None}
    encoding: dict[str, Any] = {
        "y": place | {"axis": {"labelLimit": 220}},
        "x": {"field": "value", "type": "quantitative", "title": unit, "axis": {"tickCount": 5}},
    }
    if grouped:
        encoding["yOffset"] = {"field": "series", "sort": series}
    bar_colour: dict[str, Any] = {"value": COLOURS[0]}
    if grouped:
        scale = {"domain": series, "range": list(COLOURS[: len(series)])}
        legend = {"title": None, "orient": "top", "labelLimit": 160, "columns": 4}
        bar_colour = {"field": "series", "type": "nominal", "scale": scale, "legend": legend}
    step = _BAR if not grouped else max(12, 44 // len(series))
    height: Any = {"step": step} if not grouped else {"step": step, "for": "offset"}
    layers = [
        {
            "transform": [{"filter": "datum.drawn"}],
            "mark": {"type": "bar", "cornerRadiusEnd": 2},
            "encoding": {
                **encoding,
                "color": bar_colour,
                "opacity": {"field": "opacity", "type": "quantitative", "scale": None, "legend": None},
            },
        },
        {
            "transform": [{"filter": "datum.moved"}],
            "mark": {"type": "rule", "strokeWidth": 2, "color": INK},
            "encoding": {**encoding, "x": encoding["x"] | {"field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 4, "fontSize": 11, "fill": QUIET},
            "encoding": {**encoding, "x": encoding["x"] | {"field": "high"}, "text": {"field": "text"}},
        },
    ]
    return _draw({"data": {"values": rows}, "height": height, "layer": layers}, title)


def draw_trend(points: Sequence[Point], unit: str, *, title: str, names: tuple[str, str, str]) -> str:
    """Return an SVG of a line over periods, with this node's own line and the others' quartile band.

    `names` are those of the combined figure, of this node's own and of the band, for the legend.
    """
    periods = [point.period for point in points]
    combined, own, band = names
    lines = [
        {"period": point.period, "value": value, "series": name}
        for name, get in ((combined, "value"), (own, "own"))
        for point in points
        if (value := getattr(point, get)) is not None
    ]
    bands = [
        {"period": point.period, "low": point.low, "high": point.high, "series": band}
        for point in points
        if point.low is not None and point.high is not None
    ]
    errors = [
        {"period": point.period, "from": max(point.value - point.error, 0), "to": point.value + point.error}
        for point in points
        if point.value is not None and point.error
    ]
    x = {"field": "period", "type": "ordinal", "sort": periods, "title": None, "axis": {"labelAngle": 0}}
    colour = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": [combined, own, band], "range": [COLOURS[0], COLOURS[1], "#b9d4de"]},
        "legend": {"title": None, "orient": "top", "values": _shown(lines, bands, names)},
    }
    value_axis = {"type": "quantitative", "title": unit, "axis": {"tickCount": 5}, "scale": {"zero": False}}
    layers = [
        {
            "data": {"values": bands},
            "mark": {"type": "bar", "width": 34, "opacity": 0.7},
            "encoding": {"x": x, "y": {"field": "low", **value_axis}, "y2": {"field": "high"}, "color": colour},
        },
        {
            "data": {"values": errors},
            "mark": {"type": "rule", "strokeWidth": 2, "color": INK},
            "encoding": {"x": x, "y": {"field": "from", **value_axis}, "y2": {"field": "to"}},
        },
        {
            "data": {"values": lines},
            "mark": {"type": "line", "point": {"size": 50, "filled": True}, "strokeWidth": 2},
            "encoding": {"x": x, "y": {"field": "value", **value_axis}, "color": colour},
        },
    ]
    return _draw({"height": 220, "layer": layers}, title)


def _shown(lines: Sequence[dict[str, Any]], bands: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    there = {row["series"] for row in (*lines, *bands)}
    return [name for name in names if name in there]


def _draw(spec: dict[str, Any], title: str) -> str:
    whole = {
        "description": title,
        "width": _WIDTH,
        "background": "white",
        "padding": 6,
        **spec,
        "config": {
            "font": FONT,
            "view": {"stroke": None},
            "axis": {
                "labelColor": INK,
                "titleColor": QUIET,
                "titleFontWeight": "normal",
                "gridColor": GRID,
                "domain": False,
                "tickColor": GRID,
                "labelFontSize": 12,
            },
            "legend": {"labelFontSize": 12, "labelColor": INK},
        },
    }
    return str(vl_convert.vegalite_to_svg(json.dumps(whole), allowed_base_urls=[]))
