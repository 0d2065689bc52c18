"""What chance does to the figures of a release, in the dataflows for which the federation has agreed on noise.

Counts are moved once, while a draft is made, and stand in its bytes from then on; nothing moves a figure later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlmodel import Session

from federation.catalogue import Catalogue
from federation.cellkey import perturb, possible_counts, record_key
from federation.periods import Period
from federation.protection import CELL_KEY, Choice, cells_moved, noise_of_budget, noise_of_cells
from federation.publications import Name
from node.context import Node
from node.indicators.budget import noise_of
from node.indicators.compute import VALUE
from node.indicators.counting import count_keys
from node.indicators.models import Figure
from node.indicators.noise_choice import agreed_protection


@dataclass(frozen=True)
class Frame:
    """Of which release it is: period, change of data, revision, and the minimum of persons by class."""

    period: Period
    known_at: int
    revision: int
    minimum: Mapping[str, int]


@dataclass(frozen=True)
class Moved:
    """The counts of one dataflow as they will be told, what its release says of the noise, and what that leaves."""

    noise: Mapping[str, Any]
    told: Mapping[Name, int]
    between: Mapping[Name, tuple[int, int | None]]


def move_figures(
    session: Session, node: Node, catalogue: Catalogue, frame: Frame, figures: Mapping[str, Mapping[str, Figure]]
) -> dict[str, Moved]:
    """Return what is told of each dataflow of a release that is protected by noise."""
    found = {}
    for dataflow, choice in agreed_protection(session).choices.items():
        counts = {
            name: int(figure.value)
            for name in cells_moved(catalogue, dataflow, frame.period.frequency)
            if (figure := figures.get(name[0], {}).get(name[1])) is not None and figure.status == VALUE
        }
        if counts:
            move = _by_keys if choice.method == CELL_KEY else _by_budget
            found[dataflow] = move(session, node, catalogue, frame, dataflow, choice, counts)
    return found


def _by_keys(
    session: Session,
    node: Node,
    catalogue: Catalogue,
    frame: Frame,
    dataflow: str,
    choice: Choice,  # noqa: ARG001  as the other method has it
    counts: Mapping[Name, int],
) -> Moved:
    minimum = frame.minimum["S2" if dataflow.endswith(".hub") else "S1"]
    secret = node.derived_key("cells")
    codes = {code for code, _ in counts}
    key_of = cache(lambda person: record_key(secret, person))
    keys = count_keys(session, catalogue, frame.period, frame.known_at, codes, key_of)
    told = {name: perturb(count, keys[name], minimum) for name, count in counts.items()}
    between: dict[Name, tuple[int, int | None]] = {
        name: possible_counts(number, minimum) for name, number in told.items()
    }
    return Moved(noise_of_cells(minimum), told, between)


def _by_budget(
    session: Session,
    node: Node,
    catalogue: Catalogue,
    frame: Frame,
    dataflow: str,
    choice: Choice,
    counts: Mapping[Name, int],
) -> Moved:
    """Add what is drawn for each cell; a count is never negative, so large ones alone are without bias."""
    noise = noise_of(session, catalogue, dataflow, frame.period, frame.revision, choice, node.clock())
    told = {name: max(count + noise[name], 0) for name, count in counts.items()}
    said = noise_of_budget(catalogue, dataflow, frame.period.frequency, choice.epsilon)
    return Moved(said, told, dict.fromkeys(told, (0, None)))
