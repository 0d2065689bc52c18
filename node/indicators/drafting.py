"""The bytes of a release: what each dataflow of a period says, and what only the approver sees beside it."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from federation.catalogue import Catalogue, dims_key
from federation.documents import dump_document, format_time, read_object
from federation.errors import InputRefused
from federation.linkage import small_moves
from federation.periods import Period
from federation.publications import Name, Publication, cells_of, counts_behind, read_publication, with_counts
from node.context import Node
from node.indicators.compute import MISSING, VALUE
from node.indicators.gate import (
    NEW,
    WITHHELD,
    Decision,
    Figures,
    Observation,
    counts_of,
    new_publication,
    protect_figures,
)
from node.indicators.noise import Frame, Moved, move_figures
from node.indicators.service import is_over
from node.intake.models import DataChange


@dataclass(frozen=True)
class Draft:
    """One dataflow: the content bytes, and for each cell without a public value why (JSON, kept in this node).

    `lost` counts the cells of earlier releases, of all dataflows, that what was published before gives away by itself.
    """

    content: bytes
    explanation: str
    lost: int = 0


@dataclass(frozen=True)
class Order:
    """What is asked of a draft: the change of data, why, what may not be missing, whether a correction may be coarse.

    `expected` are dataflows that an earlier revision published: they are said again, if only to say that there is no
    value any more.
    """

    known_at: int
    reason: str = ""
    expected: Sequence[str] = ()
    coarser: bool = False
    revision: int = 1


def draft_contents(
    session: Session,
    node: Node,
    catalogue: Catalogue,
    period: Period,
    figures: Figures,
    past: Sequence[Publication],
    order: Order,
) -> dict[str, Draft]:
    """Return the draft of each dataflow of a period, all protected together and with everything in `past`.

    Raise InputRefused where nothing can be computed, or where the difference to what is public would tell too much.
    """
    header = _header(session, node, catalogue, period, order.known_at, order.reason)
    frame = Frame(period, order.known_at, order.revision, header["minimum_cell"])
    moved = move_figures(session, node, catalogue, frame, figures)
    silent: set[Name] = set()
    while True:
        drafts = _protected(node, catalogue, period, figures, moved, past, silent, header, order.expected)
        tells = _small_moves(catalogue, past, period, drafts, counts_of(figures))
        hushed = silent | {name for code, letters in tells for name in _cells_with(catalogue, code, letters)}
        if not tells:
            return drafts
        if not order.coarser or hushed == silent:
            raise _tells(tells, coarser=order.coarser)
        silent = hushed


def _nothing(period: Period) -> InputRefused:
    return InputRefused(
        "nothing-to-release",
        f"{period} 没有可计算的指标。请先导入名册，再看 gonghui indicators compute {period}。",
        f"No indicator of {period} can be computed. Import a roster first (`gonghui data import`), then see "
        f"`gonghui indicators compute {period}`.",
    )


def _protected(
    node: Node,
    catalogue: Catalogue,
    period: Period,
    figures: Figures,
    moved: Mapping[str, Moved],
    past: Sequence[Publication],
    silent: Collection[Name],
    header: Mapping[str, Any],
    expected: Sequence[str],
) -> dict[str, Draft]:
    privacy = node.settings.privacy
    new = new_publication(figures, period, header["known_at"]["number"], privacy, moved=moved)
    decision = protect_figures(
        catalogue,
        figures,
        new,
        node.derived_key("ties"),
        past=past,
        silent=silent,
        insiders=privacy.insiders,
        moved=moved,
    )
    told = {
        name: items
        for name, items in decision.flows.items()
        if name in expected or any(item.status in {VALUE, WITHHELD} for item in items)
    }
    if not told:
        raise _nothing(period)
    noise = {name: {"noise": dict(one.noise)} for name, one in moved.items()}
    return {
        name: _draft(catalogue, {"dataflow": name, **header, **noise.get(name, {})}, items, decision)
        for name, items in told.items()
    }


def _small_moves(
    catalogue: Catalogue,
    past: Sequence[Publication],
    period: Period,
    drafts: Mapping[str, Draft],
    counts: Mapping[Name, int],
) -> list[tuple[str, str]]:
    """Return the tables whose difference to what is public of the same day is a handful of persons."""
    said = read_publication(catalogue, (read_object(draft.content) for draft in drafts.values()), NEW)
    new = with_counts(said, counts)
    same = [item for item in past if item.period.end == period.end and not item.provisional]
    return list(dict.fromkeys(table for item in same for table in small_moves(catalogue, item, new)))


def _cells_with(catalogue: Catalogue, code: str, letters: str) -> Iterator[Name]:
    """Return all cells of an indicator's tables that break down by (at least) these letters."""
    indicator = catalogue.indicators[code]
    for table in indicator.released:
        if set(letters) <= set(table):
            for dims in cells_of(catalogue, table):
                yield from ((counted, dims_key(dims)) for counted in counts_behind(indicator))


def _tells(moved: Sequence[tuple[str, str]], *, coarser: bool) -> InputRefused:
    tables = "、".join(f"{code} {letters}" for code, letters in moved[:6])
    coarse = "" if coarser else "；或加 --coarser，只更正总数，所涉分组表不公开"
    also = "" if coarser else ", or correct the totals alone and withhold these tables (--coarser)"
    return InputRefused(
        "difference-tells",
        f"与已公开的同一天数字相比，下列表只差几个人，对照两次发布就能看出是谁：{tables}。"
        f"请等下一期自然带入，或等更正累计到更多人{coarse}。",
        f"Compared with what is public of the same day, these tables differ by a few persons, whom the difference "
        f"would show: {tables}. Let the next period carry it, wait until more is to be corrected{also}.",
        tables=[f"{code} {letters}" for code, letters in moved],
    )


def _header(
    session: Session, node: Node, catalogue: Catalogue, period: Period, known_at: int, reason: str
) -> dict[str, Any]:
    change = session.get(DataChange, known_at)
    if change is None:
        raise _nothing(period)
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


def _draft(catalogue: Catalogue, header: Mapping[str, Any], items: Sequence[Observation], decision: Decision) -> Draft:
    observations = [item.as_json(is_ratio=catalogue.indicators[item.indicator].kind == "ratio") for item in items]
    inner = {
        f"{item.indicator}|{dims_key(item.dims)}": {
            "reason": item.reason,
            **_inside(item),
            **_left_open(catalogue, item, decision),
        }
        for item in items
        if item.status in {WITHHELD, MISSING} or item.told
    }
    content = dump_document({**header, "observations": observations})
    return Draft(content, json.dumps(inner, sort_keys=True), len(decision.lost))


def _inside(item: Observation) -> dict[str, Any]:
    figure = item.figure
    if figure is None or item.status == MISSING:
        return {}
    if figure.numerator is not None:
        return {"numerator": figure.numerator, "denominator": figure.denominator}
    return {"value": figure.value}


def _left_open(catalogue: Catalogue, item: Observation, decision: Decision) -> dict[str, Any]:
    """Return between which counts an outsider cannot tell, as the gate has shown: at least this wide."""
    if item.left is not None:
        return {"range": list(item.left)}
    if item.status != WITHHELD:
        return {}
    names = [(code, dims_key(item.dims)) for code in counts_behind(catalogue.indicators[item.indicator])]
    found = [decision.ranges[name] for name in names if name in decision.ranges]
    return {"range": list(found[-1])} if found else {}
