"""Indicators for page, API and command: the catalogue for everybody, this node's own figures by role.

Own figures are bare: a cell of one person stands there as 1. So they are for those who may see rows about persons
(`person.read`: officer, approver). Everybody else sees of a period what left the node for all: the observations of its
approved release. Hiding single small cells instead would not do, for they come back by subtraction.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from federation.catalogue import Indicator, dims_key, load_catalogue
from federation.errors import Conflict
from federation.periods import Period
from node.access.permissions import Actor, check_permission, may
from node.context import Node
from node.indicators.compute import VALUE, Figures, compute_figures, find_set, load_figures
from node.indicators.models import Figure, Release, ReleaseItem
from node.intake.models import DataChange
from node.members.service import current_known_at


@dataclass(frozen=True)
class Shown:
    """Figures of one period as one account may see them.

    `bare`: not protected, for this node's eyes only. `preliminary`: the period is not over. `known_time`: when the last
    change of data that they rest on was made.
    """

    period: Period
    known_at: int
    known_time: datetime | None
    preliminary: bool
    bare: bool
    figures: Figures


def list_indicators(actor: Actor) -> list[Indicator]:
    """Return the indicators of the catalogue, without its helpers."""
    check_permission(actor, "indicator.read")
    return [indicator for indicator in load_catalogue().indicators.values() if not indicator.internal]


def get_indicator(actor: Actor, code: str) -> Indicator:
    """Return one indicator; raise InputRefused where there is none."""
    check_permission(actor, "indicator.read")
    return load_catalogue().get(code)


def is_over(node: Node, period: Period) -> bool:
    """Tell whether the period has ended where this node is."""
    return period.end < node.clock().astimezone(ZoneInfo(node.settings.node.timezone)).date()


def compute_period(node: Node, actor: Actor, period: Period, known_at: int | None = None) -> Shown:
    """Compute and keep the figures of a period, as known now or at an earlier change; the same again is the same."""
    check_permission(actor, "release.prepare")
    with node.database.write() as session:
        number = current_known_at(session) if known_at is None else known_at
        set_id = compute_figures(session, period, number, node.clock())
        return _shown(session, node, period, number, load_figures(session, set_id), bare=True)


def read_figures(node: Node, actor: Actor, period: Period, known_at: int | None = None) -> Shown:
    """Return this node's figures of a period as the account may see them.

    Raise Conflict `figures-not-released` for an account without `person.read` while nothing was released.
    """
    check_permission(actor, "indicator.read")
    with node.database.read() as session:
        if not may(actor, "person.read"):
            return _released(session, node, period)
        number = current_known_at(session) if known_at is None else known_at
        set_id = find_set(session, period, number)
        if set_id is not None:
            return _shown(session, node, period, number, load_figures(session, set_id), bare=True)
    return compute_period(node, actor, period, number)


def _shown(session: Session, node: Node, period: Period, known_at: int, figures: Figures, *, bare: bool) -> Shown:
    change = session.get(DataChange, known_at)
    internal = {indicator.code for indicator in load_catalogue().indicators.values() if indicator.internal}
    told = {code: cells for code, cells in figures.items() if code not in internal}
    return Shown(period, known_at, change.at if change else None, not is_over(node, period), bare, told)


def _released(session: Session, node: Node, period: Period) -> Shown:
    release = session.exec(
        select(Release)
        .where(Release.period == str(period), Release.state == "approved")
        .order_by(col(Release.revision).desc())
    ).first()
    if release is None:
        raise Conflict(
            "figures-not-released",
            f"{period} 的数据尚未发布；未发布的明细只有干部和审批人可以查看。",
            f"Figures of {period} are not released; until then officers and approvers alone may see them.",
            period=str(period),
        )
    figures: Figures = {}
    for item in session.exec(select(ReleaseItem).where(ReleaseItem.release_id == release.id)).all():
        if item.dataflow.endswith(".all"):
            for told in json.loads(item.content)["observations"]:
                figure = _figure_of(told)
                figures.setdefault(figure.indicator, {})[figure.dims] = figure
    return _shown(session, node, period, release.known_at, figures, bare=False)


def _figure_of(told: Mapping[str, Any]) -> Figure:
    value = told.get("value", "")
    return Figure(
        set_id=0,
        indicator=told["indicator"],
        dims=dims_key(told["dims"]),
        status=told["status"],
        value=str(value),
        numerator=told.get("numerator"),
        denominator=told.get("denominator"),
    )


def count_states(shown: Shown) -> dict[str, int]:
    """Return how many figures have a value (A), are missing (O) or do not apply (M)."""
    return dict(Counter(figure.status for cells in shown.figures.values() for figure in cells.values()))


def shown_value(indicator: Indicator, figure: Figure) -> str:
    """Return the value as people read it, a rate worked out to the indicator's decimals; "" where there is none."""
    if figure.status != VALUE or figure.numerator is None or figure.denominator is None:
        return figure.value
    rate = Decimal(figure.numerator) / Decimal(figure.denominator) * (100 if indicator.is_percent else 1)
    return format(rate.quantize(Decimal(1).scaleb(-indicator.decimals), ROUND_HALF_UP), "f")
