"""Shared figures in the words of a page: numbers as people write them, bars, lines, and the file of the same view."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from federation.catalogue import Catalogue, Indicator, load_catalogue
from federation.errors import Text
from federation.periods import read_period
from federation.statuses import LOWER_BOUND, STATUSES, VALUE, WITHHELD, Status, legend, marked
from node.exchange.view import PLACE_TEXTS, NodeFigure, Table, View, ViewRow
from node.web.charts import Bar, Point, draw_bars, draw_trend
from node.web.export import Sheet

TOTAL = Text("总数", "Total")
FEDERATION, OWN, BAND = (
    Text("联合体", "Federation"),
    Text("本校", "This college"),
    Text("各校四分位区间", "Quartile band"),
)
PERSONS, STATUS = Text("覆盖职工数", "Staff covered"), Text("状态", "Status")
SDMX, METHOD = Text("状态代码（SDMX）", "OBS_STATUS"), Text("保护方法", "Method")
ERROR = Text("预期误差", "Expected error")
REPORTED, EXPECTED, KEPT_BACK = (
    Text("已报", "Reported"),
    Text("应报", "Expected"),
    Text("其中不公开", "Of these withheld"),
)
LOWER, UPPER, PLACE = Text("下四分位", "Lower quartile"), Text("上四分位", "Upper quartile"), Text("位置", "Place")
PERIOD = Text("期间", "Period")


@dataclass(frozen=True)
class Shown:
    """One number of a page: `text` as it stands there, `light` where it is not the whole truth."""

    text: str
    status: str
    light: bool


def number_text(value: int | str | None, indicator: Indicator) -> str:
    """Return a number as people write it: thousands apart, a rate with its percent sign."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value}%" if indicator.is_percent else value


def show_row(row: ViewRow | NodeFigure, indicator: Indicator, language: str) -> Shown:
    """Return what stands in a cell: the number, or the word for why there is none; never zero for what is unknown."""
    if row.value is None or (row.status == LOWER_BOUND and row.value == 0):  # "at least nobody" says nothing
        word = STATUSES[row.status if row.value is None else WITHHELD].name
        return Shown(word.in_language(language), row.status, light=True)
    error = f"{row.error}%" if row.error and indicator.is_percent else row.error
    text = marked(row.status, number_text(row.value, indicator), error)
    return Shown(text, row.status, STATUSES[row.status].light)


def legend_of(rows: Iterable[ViewRow]) -> list[Status]:
    """Return what needs a word below a table of these rows."""
    return legend(status for row in rows for status in (row.status, *(node.status for node in row.nodes)))


def colleges_of(view: View, language: str) -> list[tuple[NodeFigure, list[Shown | None]]]:
    """Return each college with its figure of every row, None where it told none: its own table as it was released."""
    names = {node.origin: node for row in view.rows for node in row.nodes}
    cells = [{node.origin: show_row(node, view.indicator, language) for node in row.nodes} for row in view.rows]
    return [(node, [told.get(origin) for told in cells]) for origin, node in names.items()]


def label_of(row: ViewRow, language: str) -> str:
    """Return the names of a row's codes, as in `女 · 副高`."""
    return " · ".join(text.in_language(language) for text in row.labels) or TOTAL.in_language(language)


def place_name(row: ViewRow, language: str) -> str:
    """Return where this node's value lies in the band of the others; "" where that cannot be said."""
    return PLACE_TEXTS[row.band.place].in_language(language) if row.band and row.band.place else ""


def table_name(catalogue: Catalogue, table: Table, language: str) -> str:
    """Return what a table is by, as in `性别 × 职称`."""
    names = [catalogue.dimensions[letter].name.in_language(language) for letter in table]
    return " × ".join(names) or TOTAL.in_language(language)


def period_name(label: str, language: str) -> str:
    """Return a period with what it is: `2026U（2025-10-01 至 2026-09-30）`."""
    period = read_period(label)
    if language.startswith("en"):
        return f"{label} ({period.start} to {period.end})"
    return f"{label}（{period.start} 至 {period.end}）"


def bars_of(view: View, rows: Sequence[ViewRow], language: str) -> str:
    """Return the picture of one table: its rows as bars, those that count nobody at all left out."""
    shown = [row for row in rows if row.value not in {0, "0"} or row.status != VALUE] or list(rows)
    bars = [_bar(row, view.indicator, language) for row in shown]
    unit = view.indicator.unit.in_language(language)
    return draw_bars(bars, unit, title=view.indicator.name.in_language(language))


def _bar(row: ViewRow, indicator: Indicator, language: str) -> Bar:
    names = [text.in_language(language) for text in row.labels] or [TOTAL.in_language(language)]
    return Bar(
        names[-1],
        _number(row.value),
        show_row(row, indicator, language).text,
        names[0] if len(names) > 1 else "",
        STATUSES[row.status].opacity,
        float(row.error or 0),
    )


def trend_of(views: Sequence[View], language: str) -> str:
    """Return the picture of the totals of one indicator over periods, oldest first."""
    points = []
    for view in views:
        row = view.rows[0]
        points.append(
            Point(
                view.period,
                _number(row.value),
                _number(row.band.lower) if row.band else None,
                _number(row.band.upper) if row.band else None,
                _number(row.own.value) if row.own else None,
                float(row.error or 0),
            )
        )
    names = (FEDERATION.in_language(language), OWN.in_language(language), BAND.in_language(language))
    indicator = views[0].indicator
    title, unit = indicator.name.in_language(language), indicator.unit.in_language(language)
    return draw_trend(points, unit, title=title, names=names)


def _number(value: int | str | None) -> float | None:
    return None if value is None else float(value)


def sheet_of(view: View, rows: Sequence[ViewRow], language: str, *, own: bool) -> Sheet:
    """Return exactly this view for a file: numbers as numbers, status and coverage beside each."""
    catalogue, indicator = load_catalogue(), view.indicator
    letters = tuple(rows[0].dims) if rows else ()
    names = [catalogue.dimensions[letter].name.in_language(language) for letter in letters]
    texts = [FEDERATION, STATUS, SDMX, METHOD, ERROR, REPORTED, EXPECTED, KEPT_BACK, PERSONS, LOWER, UPPER]
    texts += [OWN, STATUS, PLACE] if own else []
    header = [*names, *(text.in_language(language) for text in texts)]
    body = [_sheet_row(row, language, own=own) for row in rows]
    notes = [
        f"{indicator.code} {indicator.name.in_language(language)}, {indicator.unit.in_language(language)}",
        indicator.definition.in_language(language),
        f"{PERIOD.in_language(language)}: {period_name(view.period, language)}",
    ]
    facts = [row.as_json(sources=True) for row in rows]
    return Sheet(f"{indicator.code}-{view.period}-{''.join(letters) or 'total'}", notes, header, body, facts)


def _sheet_row(row: ViewRow, language: str, *, own: bool) -> list[str | int | float | None]:
    labels: list[str | int | float | None] = [text.in_language(language) for text in row.labels]
    told: list[str | int | float | None] = [
        _cell(row.value),
        STATUSES[row.status].name.in_language(language),
        STATUSES[row.status].sdmx,
        ", ".join(row.methods),
        float(row.error) if row.error else None,
        row.coverage.reported,
        row.coverage.expected,
        row.coverage.withheld,
        row.coverage.persons,
        _cell(row.band.lower) if row.band else None,
        _cell(row.band.upper) if row.band else None,
    ]
    mine = row.own
    extra: list[str | int | float | None] = []
    if own:
        status = STATUSES[mine.status].name.in_language(language) if mine else None
        extra = [_cell(mine.value) if mine else None, status, place_name(row, language)]
    return [*labels, *told, *extra]


def _cell(value: int | str | None) -> int | float | None:
    return value if value is None or isinstance(value, int) else float(value)


def by_family(rows: Sequence[ViewRow], catalogue: Catalogue) -> Mapping[str, list[ViewRow]]:
    """Return the totals of a period by family (the part of the code before `_`), in the catalogue's order."""
    families: dict[str, list[ViewRow]] = {}
    for row in rows:
        if not row.dims and row.indicator in catalogue.indicators:
            families.setdefault(row.indicator.partition("_")[0], []).append(row)
    return families


FAMILY_TEXTS: Mapping[str, Text] = {
    "ORG": Text("组织建设", "Organisation"),
    "MEM": Text("职工与会员", "Staff and members"),
    "WOM": Text("女职工", "Women"),
    "DEM": Text("民主管理", "Democratic management"),
    "CON": Text("合同", "Contracts"),
    "SAF": Text("劳动保护", "Labour protection"),
    "LAW": Text("法律维权", "Legal rights"),
    "ECO": Text("劳动竞赛", "Contests"),
    "FIN": Text("经费", "Funds"),
    "CUL": Text("文体活动", "Culture and sports"),
    "REL": Text("帮扶慰问", "Relief"),
    "MUT": Text("互助保障", "Mutual aid"),
    "TRN": Text("培训", "Training"),
    "POL": Text("政策", "Policies"),
    "SVC": Text("服务诉求", "Service requests"),
    "CPL": Text("意见投诉", "Complaints"),
    "PSY": Text("心理关爱", "Counselling"),
    "DQ": Text("数据质量", "Data quality"),
}
