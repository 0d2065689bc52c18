"""A release as its approver sees it: table by table, what goes out, what is withheld and why, what is new.

What is shown is read from the very bytes that will be signed; the numbers behind withheld cells stand beside them only
here, and only for those who may see rows about persons.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from federation.catalogue import Catalogue, Indicator, dims_key, load_catalogue, read_dims
from federation.documents import read_object
from federation.periods import read_period
from federation.protection import PRIVACY
from node.access.models import Account
from node.access.permissions import Actor, may
from node.context import Node
from node.db import last_number
from node.indicators.addressees import Addressee, list_addressees
from node.indicators.budget import Spent, load_spent, year_of
from node.indicators.compute import VALUE
from node.indicators.gate import WITHHELD
from node.indicators.models import Release, ReleaseItem
from node.indicators.noise_choice import agreed_protection
from node.indicators.release import find_record, get_release, list_items
from node.stream.service import read_content

Told = Mapping[str, Any]  # one observation of a document


@dataclass(frozen=True)
class Cell:
    """One cell: what goes out (`status`, `value`), what is behind it (`inside`) and why it is withheld (`reason`).

    A rate is `numerator/denominator`. `before` is what is public now, "" where nothing is; `last` what the period
    before has. `range`: the counts that whoever pools everything published cannot exclude; there may be more.
    """

    dims: Mapping[str, str]
    status: str
    value: str
    inside: str
    reason: str
    before: str
    last: str = ""
    range: str = ""
    moved: bool = False  # what goes out was moved by chance

    @property
    def is_new(self) -> bool:
        """Tell whether this says something else than what is public now."""
        return bool(self.before) and self.before != (self.value if self.status == VALUE else self.status)


@dataclass(frozen=True)
class Table:
    """One table of an indicator; `letters` is () for the total."""

    indicator: Indicator
    letters: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Flow:
    """One dataflow: the digest to approve, its tables, and how much of it is withheld."""

    dataflow: str
    digest: str
    record_id: str
    tables: tuple[Table, ...]
    noise: Mapping[str, Any]  # what the release says of it; empty where nothing is moved

    def count(self, status: str) -> int:
        """Return how many cells have a status."""
        return sum(cell.status == status for table in self.tables for cell in table.cells)


@dataclass(frozen=True)
class Preview:
    """A release before somebody decides about it."""

    release: Release
    flows: tuple[Flow, ...]
    prepared_by: str
    approved_by: str
    newer_data: bool  # data changed since it was prepared
    inside: bool  # whether the numbers behind withheld cells are in it
    addressees: tuple[Addressee, ...] = ()  # where the node is in several federations
    last_period: str = ""  # the one before, where it was published
    budget: Spent | None = None  # of the year, where any of it is told with differential privacy

    def since_last(self) -> tuple[int, int]:
        """Return how many cells are told now and were not last time, and the other way round."""
        cells = [cell for flow in self.flows for table in flow.tables for cell in table.cells if cell.last]
        told = sum(cell.status == VALUE and cell.last == WITHHELD for cell in cells)
        return told, sum(cell.status == WITHHELD and cell.last != WITHHELD for cell in cells)

    @property
    def visible_share(self) -> float | None:
        """Return the share of persons still visible in one- and two-way tables, 0 to 1; None for who may not know."""
        if not self.inside:
            return None
        shown = all_persons = 0
        for table in (table for flow in self.flows for table in flow.tables):
            if table.letters and table.indicator.kind in {"stock", "flow"}:
                for cell in table.cells:
                    persons = int(cell.inside or cell.value or 0)
                    all_persons += persons
                    shown += persons if cell.status == VALUE else 0
        return shown / all_persons if all_persons else 1.0

    def as_json(self, *, cells: bool = True) -> dict[str, Any]:
        """Return the release for a script; the numbers behind withheld cells are not in it."""
        release = self.release
        return {
            "id": release.id,
            "period": release.period,
            "revision": release.revision,
            "state": release.state,
            "known_at": release.known_at,
            "reason": release.reason,
            "approval": release.approval,
            "prepared_by": self.prepared_by,
            "prepared_at": release.prepared_at.isoformat(),
            "approved_by": self.approved_by,
            "newer_data": self.newer_data,
            "since_last": {
                "period": self.last_period,
                **dict(zip(("shown", "withheld"), self.since_last(), strict=True)),
            },
            **({"federations": [vars(one) for one in self.addressees]} if self.addressees else {}),
            "lost": release.lost,
            **({"budget": self.budget.as_json()} if self.budget else {}),
            "visible_share": None if self.visible_share is None else round(self.visible_share, 4),
            "dataflows": [
                {
                    "dataflow": flow.dataflow,
                    "digest": flow.digest,
                    **({"noise": dict(flow.noise)} if flow.noise else {}),
                    "record": flow.record_id,
                    "observations": sum(len(table.cells) for table in flow.tables),
                    "withheld": flow.count(WITHHELD),
                    **({"withheld_cells": _withheld(flow)} if cells else {}),
                }
                for flow in self.flows
            ],
        }


def _withheld(flow: Flow) -> list[dict[str, Any]]:
    return [
        {"indicator": table.indicator.code, "dims": dict(cell.dims), "reason": cell.reason, "range": cell.range}
        for table in flow.tables
        for cell in table.cells
        if cell.status == WITHHELD
    ]


def preview(session: Session, node: Node, actor: Actor, release_id: str) -> Preview:
    """Return a release as its approver sees it; raise NotPermitted or InputRefused."""
    release = get_release(session, actor, release_id)
    inside = may(actor, "person.read")
    items = list_items(session, actor, release)
    flows = tuple(_flow(session, node, release, item, inside=inside) for item in items)
    last = read_period(release.period).previous().label
    told_last = any(find_record(session, node, f"{item.dataflow}/{last}") for item in items)
    names = [session.get(Account, account) for account in (release.prepared_by, release.approved_by)]
    prepared_by, approved_by = (account.name if account else "" for account in names)
    newer = release.known_at < last_number(session, "data")
    addressees = list_addressees(session, node, release, items)
    budget = _budget(session, release) if any(flow.noise.get("method") == PRIVACY for flow in flows) else None
    told = last if told_last else ""
    return Preview(release, flows, prepared_by, approved_by, newer, inside, addressees, told, budget)


def _budget(session: Session, release: Release) -> Spent:
    return load_spent(session, year_of(read_period(release.period)), agreed_protection(session).year_epsilon)


def _flow(session: Session, node: Node, release: Release, item: ReleaseItem, *, inside: bool) -> Flow:
    catalogue = load_catalogue()
    record = None if item.record_id else find_record(session, node, f"{item.dataflow}/{release.period}")
    before = _by_place(read_content(record)["observations"]) if record else {}
    earlier = find_record(session, node, f"{item.dataflow}/{read_period(release.period).previous()}")
    last = _by_place(read_content(earlier)["observations"]) if earlier else {}
    explained = json.loads(item.explanation) if inside else {}
    content = read_object(item.content)
    noise = content.get("noise", {})
    tables = tuple(_tables(catalogue, content["observations"], explained, before, last, moved=bool(noise)))
    return Flow(item.dataflow, item.digest, item.record_id, tables, noise)


def _by_place(observations: list[Told]) -> dict[str, Told]:
    return {f"{told['indicator']}|{dims_key(told['dims'])}": told for told in observations}


def _tables(
    catalogue: Catalogue,
    observations: list[Told],
    explained: Mapping[str, Told],
    before: Mapping[str, Told],
    earlier: Mapping[str, Told],
    *,
    moved: bool,
) -> Iterator[Table]:
    """Cut the observations of a dataflow into tables; they stand table by table."""
    grouped: dict[tuple[str, tuple[str, ...]], list[Cell]] = {}
    for told in observations:
        place = f"{told['indicator']}|{dims_key(told['dims'])}"
        why = explained.get(place, {})
        last = before.get(place)
        dims = read_dims(dims_key(told["dims"]))  # in the catalogue's order; the document's is alphabetical
        cell = Cell(
            dims,
            told["status"],
            number_of(told),
            number_of(why),
            str(why.get("reason", "")),
            "" if last is None else number_of(last) or last["status"],
            str(earlier.get(place, {}).get("status", "")),
            range_of(why),
            moved and told["status"] == VALUE,
        )
        grouped.setdefault((told["indicator"], tuple(dims)), []).append(cell)
    for (code, letters), cells in grouped.items():
        yield Table(catalogue.get(code), letters, tuple(cells))


def range_of(why: Told) -> str:
    """Return the counts an outsider cannot exclude, `3–17`, or `≥3` where nothing bounds them."""
    low, high = why.get("range") or (None, None)
    return "" if low is None else f"≥{low}" if high is None else f"{low}–{high}"


def number_of(told: Told) -> str:
    """Return the number an observation tells as text: a value, or `numerator/denominator`; "" where it tells none."""
    if "numerator" in told:
        return f"{told['numerator']}/{told['denominator']}"
    return str(told.get("value", ""))
