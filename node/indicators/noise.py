"""What chance does to the figures of a release, in the dataflows for which the federation has agreed on noise.

Counts are moved once, while a draft is made, and stand in its bytes from then on; nothing moves a figure later.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlmodel import Session

from federation.catalogue import Catalogue, Indicator, dims_key, load_catalogue
from federation.cellkey import perturb, possible_counts, record_key
from federation.errors import Conflict
from federation.periods import Period
from federation.protection import CELL_KEY, PROTECTION, Choice, Protection, noise_of_cells, read_protection
from federation.publications import Name, cells_of, counts_behind, released_indicators
from node.context import Node
from node.indicators.compute import VALUE
from node.indicators.counting import count_keys
from node.indicators.models import Figure
from node.stream.listed import find_listed
from node.stream.service import list_federations


@dataclass(frozen=True)
class Moved:
    """The counts of one dataflow as they will be told, what its release says of the noise, and what that leaves."""

    noise: Mapping[str, Any]
    told: Mapping[Name, int]
    between: Mapping[Name, tuple[int, int | None]]


def find_protection(session: Session, federation: str) -> Protection:
    """Return what the list in force agrees on; raise TrustError where this program cannot read it."""
    return read_protection(find_listed(session, federation, PROTECTION), load_catalogue())


def agreed_choices(session: Session) -> Mapping[str, Choice]:
    """Return the choices of all federations of this node; a release is the same bytes in each, so they must agree."""
    found = [find_protection(session, federation.id).choices for federation in list_federations(session)]
    if any(choices != found[0] for choices in found):
        raise Conflict(
            "protection-differs",
            "本节点所在的各联合体对加噪的约定不同，同一份发布无法都符合；请让各方签署人统一 protection.json。",
            "The federations of this node agree on different noise, and one release cannot keep to both; their "
            "officers have to settle on one protection.json.",
        )
    return found[0] if found else {}


def move_figures(
    session: Session,
    node: Node,
    catalogue: Catalogue,
    period: Period,
    known_at: int,
    figures: Mapping[str, Mapping[str, Figure]],
    minimum: Mapping[str, int],
) -> dict[str, Moved]:
    """Return what is told of each dataflow of a period that is protected by noise. `minimum` by class."""
    choices = agreed_choices(session)
    due: dict[str, list[Indicator]] = {}
    for indicator in released_indicators(catalogue, period.frequency):
        if indicator.dataflow in choices:
            due.setdefault(indicator.dataflow, []).append(indicator)
    found = {}
    for dataflow, indicators in due.items():
        counts = {
            name: int(figure.value)
            for name in _names(catalogue, indicators)
            if (figure := figures.get(name[0], {}).get(name[1])) is not None and figure.status == VALUE
        }
        least = minimum["S2" if dataflow.endswith(".hub") else "S1"]
        if choices[dataflow].method == CELL_KEY:
            found[dataflow] = _by_keys(session, node, catalogue, period, known_at, counts, least)
    return found


def _names(catalogue: Catalogue, indicators: list[Indicator]) -> Iterator[Name]:
    """Yield the counts behind every released cell."""
    for indicator in indicators:
        for code in counts_behind(indicator):
            for table in indicator.released:
                yield from ((code, dims_key(dims)) for dims in cells_of(catalogue, table))


def _by_keys(
    session: Session,
    node: Node,
    catalogue: Catalogue,
    period: Period,
    known_at: int,
    counts: Mapping[Name, int],
    minimum: int,
) -> Moved:
    secret = node.derived_key("cells")
    codes = {code for code, _ in counts}
    keys = count_keys(session, catalogue, period, known_at, codes, cache(lambda person: record_key(secret, person)))
    told = {name: perturb(count, keys[name], minimum) for name, count in counts.items()}
    between = {name: possible_counts(number, minimum) for name, number in told.items()}
    return Moved(noise_of_cells(minimum), told, between)
