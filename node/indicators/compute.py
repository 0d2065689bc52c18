"""All figures of one (catalogue, period, known_at), computed once and kept: the same key always gives the same.

A figure is a value (A), missing with a reason (O) or not applicable (M, a rate of nobody); it is never zero because
something is unknown. Nothing here depends on the time of computing: whether a period is over is the reader's question.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, select

from federation.catalogue import Catalogue, Indicator, Table, dims_key, load_catalogue
from federation.errors import InputRefused
from federation.periods import UNION_YEAR, YEAR, Period
from node.db import lock_number
from node.indicators.counting import Cells, count
from node.indicators.models import Figure, FigureSet
from node.indicators.told import MEMBERSHIP, Told, load_told
from node.indicators.vocabulary import FIELDS, fields_of
from node.members.service import current_known_at

VALUE, MISSING, NOT_APPLICABLE = "A", "O", "M"
Figures = dict[str, dict[str, Figure]]  # indicator -> dims key -> figure
_SOURCES = {"staff": "staff", "member": MEMBERSHIP}


def set_name(catalogue: Catalogue) -> str:
    """Return the name under which figures of a catalogue are kept: another content is another catalogue."""
    return f"{catalogue.id}:{catalogue.version}:{catalogue.digest[:16]}"


def compute_figures(
    session: Session, period: Period, known_at: int, at: datetime, *, catalogue: Catalogue | None = None
) -> int:
    """Return the id of the figure set, computing it in the running write transaction where it is missing.

    Raise InputRefused `known-at-unknown` for a change of data that has not happened.
    """
    catalogue = catalogue or load_catalogue()
    lock_number(session, "data")  # nobody computes the same twice, and no change is half there
    if not 0 <= known_at <= current_known_at(session):
        raise InputRefused(
            "known-at-unknown",
            f"没有第 {known_at} 次数据变动。",
            f"There is no change of data number {known_at}.",
            known_at=known_at,
        )
    held = find_set(session, period, known_at, catalogue=catalogue)
    if held is not None:
        return held
    made = FigureSet(catalogue=set_name(catalogue), period=str(period), known_at=known_at, computed_at=at)
    session.add(made)
    session.flush()
    rows = [
        figure.model_dump() | {"set_id": made.id}
        for cells in figures_of(session, catalogue, period, known_at).values()
        for figure in cells.values()
    ]
    session.connection().execute(insert(Figure), rows)
    return int(made.id or 0)


def find_set(session: Session, period: Period, known_at: int, *, catalogue: Catalogue | None = None) -> int | None:
    """Return the id of the figure set of a key, None where it was not computed yet."""
    name = set_name(catalogue or load_catalogue())
    return session.exec(
        select(FigureSet.id).where(
            FigureSet.catalogue == name, FigureSet.period == str(period), FigureSet.known_at == known_at
        )
    ).first()


def load_figures(session: Session, set_id: int) -> Figures:
    """Return the figures of a set by indicator and dims key; helpers of the catalogue are among them."""
    found: Figures = {}
    for figure in session.exec(select(Figure).where(Figure.set_id == set_id)).all():
        found.setdefault(figure.indicator, {})[figure.dims] = figure
    return found


def figures_of(session: Session, catalogue: Catalogue, period: Period, known_at: int) -> Figures:
    """Compute without keeping: what is counted first, then rates, then formulas, then what only says why not."""
    told = load_told(session, known_at)
    counted = count(session, catalogue, period, known_at)
    found: Figures = {}
    for code, cells in counted.items():
        found[code] = _counted(catalogue, catalogue.indicators[code], cells, told, period)
    for indicator in catalogue.indicators.values():
        if indicator.kind == "ratio":
            found[indicator.code] = _ratio(catalogue, indicator, found)
        elif indicator.kind in {"entered", "unavailable"} and _is_due(indicator, period):
            reason = f"no-source:{indicator.lacks}" if indicator.lacks else "not-entered"
            found[indicator.code] = {"": _missing(indicator.code, "", reason)}
    for indicator in catalogue.indicators.values():
        if indicator.kind == "formula":
            found[indicator.code] = {"": _formula(indicator, found)}
    return found


def _is_due(indicator: Indicator, period: Period) -> bool:
    """Tell whether somebody asks for the figure in such a period; a calendar year asks what a union year asks."""
    return (UNION_YEAR if period.frequency == YEAR else period.frequency) in indicator.frequencies


def _missing(code: str, key: str, reason: str) -> Figure:
    return Figure(set_id=0, indicator=code, dims=key, status=MISSING, reason=reason)


def _counted(catalogue: Catalogue, indicator: Indicator, cells: Cells, told: Told, period: Period) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for table, counts in cells.items():
        reason = _why_not(catalogue, indicator, table, told, period)
        for key, number in counts.items():
            found[key] = (
                _missing(indicator.code, key, reason)
                if reason
                else Figure(set_id=0, indicator=indicator.code, dims=key, status=VALUE, value=str(number))
            )
    return found


def _why_not(catalogue: Catalogue, indicator: Indicator, table: Table, told: Told, period: Period) -> str:
    """Return the reason code why a table is unknown, "" where it is known."""
    subject = (
        told.why_no_flow(indicator.event, period)
        if indicator.event
        else told.why_not(_SOURCES[indicator.subject], period)
    )
    fields = [FIELDS[name] for name in fields_of(catalogue, indicator, table)]
    reasons = [told.why_not(field.source, period, timeless=field.timeless) for field in fields]
    return next(filter(None, [subject, *reasons]), "")


def _ratio(catalogue: Catalogue, indicator: Indicator, found: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    return {
        key: _rate(indicator.code, key, found[indicator.numerator][key], found[indicator.denominator][key])
        for key in _keys(catalogue, indicator)
    }


def _rate(code: str, key: str, above: Figure, below: Figure) -> Figure:
    for part in (below, above):
        if part.status != VALUE:
            return _missing(code, key, part.reason)
    figure = Figure(set_id=0, indicator=code, dims=key, status=VALUE)
    figure.numerator, figure.denominator = int(above.value), int(below.value)
    if figure.denominator == 0:
        figure.status, figure.reason, figure.numerator, figure.denominator = NOT_APPLICABLE, "nobody", None, None
    return figure


def _keys(catalogue: Catalogue, indicator: Indicator) -> Iterable[str]:
    for table in indicator.tables:
        lists = ([code.code for code in catalogue.dimension(indicator, letter).codes] for letter in table)
        for codes in product(*lists):
            yield dims_key(dict(zip(table, codes, strict=True)))


def _formula(indicator: Indicator, found: Mapping[str, Mapping[str, Figure]]) -> Figure:
    total = Decimal(0)
    for code, factor in indicator.formula:
        part: Any = found.get(code, {}).get("")
        if part is None or part.status != VALUE:
            return _missing(indicator.code, "", part.reason if part else f"not-due:{code}")
        total += Decimal(factor) * Decimal(part.value)
    value = format(total.quantize(Decimal(1).scaleb(-indicator.decimals)), "f")
    return Figure(set_id=0, indicator=indicator.code, dims="", status=VALUE, value=value)
