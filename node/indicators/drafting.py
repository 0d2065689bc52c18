"""The bytes of a release: what each dataflow of a period says, and what only the approver sees beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from federation.catalogue import Catalogue, dims_key
from federation.documents import dump_document, format_time
from federation.errors import InputRefused
from federation.periods import Period
from node.context import Node
from node.indicators.compute import MISSING, VALUE
from node.indicators.gate import WITHHELD, Figures, Observation, protect_figures
from node.indicators.service import is_over
from node.intake.models import DataChange


@dataclass(frozen=True)
class Draft:
    """One dataflow: the content bytes, and for each cell without a public value why (JSON, kept in this node)."""

    content: bytes
    explanation: str


def draft_contents(
    session: Session,
    node: Node,
    catalogue: Catalogue,
    period: Period,
    figures: Figures,
    *,
    known_at: int,
    reason: str,
    expected: Sequence[str],
) -> dict[str, Draft]:
    """Return the draft of each dataflow of a period, all protected together.

    `expected` are dataflows that an earlier revision published: they are said again, if only to say that there is no
    value any more. Raise InputRefused where nothing can be computed.
    """
    tie_key = node.derived_key("ties")
    flows = protect_figures(catalogue, figures, period.frequency, node.settings.privacy, tie_key)
    told = {
        name: items
        for name, items in flows.items()
        if name in expected or any(item.status in {VALUE, WITHHELD} for item in items)
    }
    if not told:
        raise InputRefused(
            "nothing-to-release",
            f"{period} 没有可计算的指标。请先导入名册，再看 gonghui indicators compute {period}。",
            f"No indicator of {period} can be computed. Import a roster first (`gonghui data import`), then see "
            f"`gonghui indicators compute {period}`.",
        )
    header = _header(session, node, catalogue, period, known_at, reason)
    return {name: _draft(catalogue, {"dataflow": name, **header}, items) for name, items in told.items()}


def _header(
    session: Session, node: Node, catalogue: Catalogue, period: Period, known_at: int, reason: str
) -> dict[str, Any]:
    change = session.get(DataChange, known_at)
    if change is None:
        raise InputRefused("no-data", "还没有导入任何数据。", "No data has been imported yet.")
    privacy = node.settings.privacy
    header: dict[str, Any] = {
        "catalogue": {"id": catalogue.id, "version": catalogue.version},
        "period": period.label,
        "known_at": {"number": known_at, "at": format_time(change.at)},
        "reason": reason,
        "approval": privacy.approval,
        "minimum_cell": {"S1": privacy.minimum_cell, "S2": privacy.minimum_cell_s2},
    }
    return header | ({"provisional": True} if not is_over(node, period) else {})


def _draft(catalogue: Catalogue, header: Mapping[str, Any], items: Sequence[Observation]) -> Draft:
    observations = [item.as_json(is_ratio=catalogue.indicators[item.indicator].kind == "ratio") for item in items]
    inner = {
        f"{item.indicator}|{dims_key(item.dims)}": {"reason": item.reason, **_inside(item)}
        for item in items
        if item.status in {WITHHELD, MISSING}
    }
    content = dump_document({**header, "observations": observations})
    return Draft(content, json.dumps(inner, sort_keys=True))


def _inside(item: Observation) -> dict[str, Any]:
    figure = item.figure
    if figure is None or item.status == MISSING:
        return {}
    if figure.numerator is not None:
        return {"numerator": figure.numerator, "denominator": figure.denominator}
    return {"value": figure.value}
