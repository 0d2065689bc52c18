"""Which dataflows a federation protects by noise instead of withholding: a signed choice, never a node's own.

The officers list `protection.json`: for each dataflow the method, for differential privacy the epsilon of one release,
and the budget of each person and union year over all of them. A dataflow that is not named there is protected by
withholding. Only counts of persons, and rates of them, can be moved by chance. A release that was moved says so itself
(`release.v2`); receivers take one only where, and as, the list says.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from federation.catalogue import Catalogue, Table, dims_key
from federation.cellkey import bound_of, variance_of
from federation.documents import read_object
from federation.errors import InputRefused, TrustError
from federation.periods import read_period
from federation.publications import (
    Name,
    cells_of,
    counts_behind,
    is_structural_zero,
    minimum_of,
    released_indicators,
)
from federation.validation import check_schema

PROTECTION = "protection.json"
CELL_KEY, PRIVACY = "cell-key", "differential-privacy"
PLAIN, NOISY = "release.v1", "release.v2"


@dataclass(frozen=True)
class Choice:
    """How one dataflow is moved. `epsilon` of one release, for differential privacy alone."""

    method: str
    epsilon: Decimal = Decimal(0)


@dataclass(frozen=True)
class Protection:
    """The choices by dataflow, and the budget of each person and union year."""

    choices: Mapping[str, Choice]
    year_epsilon: Decimal = Decimal(0)


def read_protection(data: bytes, catalogue: Catalogue) -> Protection:
    """Read the list's document; raise TrustError for its form, or for a choice that cannot be kept."""
    if not data:
        return Protection({})
    value = read_object(data)
    check_schema("protection.v1", value)
    choices = {
        line["dataflow"]: Choice(line["method"], Decimal(line.get("epsilon", "0"))) for line in value["dataflows"]
    }
    if len(choices) < len(value["dataflows"]):
        raise TrustError("protection-double", "同一数据流出现两次。", "A dataflow stands there twice.")
    for dataflow, choice in choices.items():
        if (choice.method == PRIVACY) != (choice.epsilon > 0):
            raise TrustError(
                "protection-epsilon",
                "差分隐私（且只有它）须写明大于零的 epsilon。",
                "Differential privacy, and nothing else, needs an epsilon above zero.",
            )
        _check_counts(catalogue, dataflow)
    return Protection(choices, Decimal(value["year_epsilon"]))


def _check_counts(catalogue: Catalogue, dataflow: str) -> None:
    for indicator in catalogue.indicators.values():
        if indicator.dataflow == dataflow:
            counted = [catalogue.indicators[code] for code in counts_behind(indicator)]
            if any(one.measure != "persons" for one in counted) or indicator.kind in {"formula", "entered"}:
                raise TrustError(
                    "protection-counts",
                    "只有人数及其比率可以加噪。",
                    "Only counts of persons, and rates of them, can be moved by chance.",
                    dataflow=dataflow,
                )


def schema_of(content: Mapping[str, Any]) -> str:
    """Return the schema in which a release is written."""
    return NOISY if "noise" in content else PLAIN


def noise_of_cells(minimum: int) -> dict[str, Any]:
    """Return what a release moved by cell keys says of its noise."""
    return {"method": CELL_KEY, "bound": bound_of(minimum), "variance": str(variance_of(minimum))}


def cells_moved(catalogue: Catalogue, dataflow: str, frequency: str) -> set[Name]:
    """Return every count that a release of the dataflow shows; what the definitions alone make zero is not moved."""
    return {
        (code, dims_key(dims))
        for code, table in _tables(catalogue, dataflow, frequency)
        for dims in cells_of(catalogue, table)
        if not is_structural_zero(catalogue.indicators[code], dims)
    }


def scale_of(catalogue: Catalogue, dataflow: str, frequency: str, epsilon: Decimal) -> float:
    """Return the scale of the discrete Laplace noise: one person more is one in a cell of each table."""
    return len(_tables(catalogue, dataflow, frequency)) / float(epsilon)


def noise_of_budget(catalogue: Catalogue, dataflow: str, frequency: str, epsilon: Decimal) -> dict[str, Any]:
    """Return what a release says of its noise under differential privacy."""
    share = math.exp(-1 / scale_of(catalogue, dataflow, frequency, epsilon))
    variance = 2 * share / (1 - share) ** 2
    return {"method": PRIVACY, "epsilon": str(epsilon), "variance": f"{variance:.1f}"}


def _tables(catalogue: Catalogue, dataflow: str, frequency: str) -> set[tuple[str, Table]]:
    return {
        (code, table)
        for indicator in released_indicators(catalogue, frequency)
        if indicator.dataflow == dataflow
        for code in counts_behind(indicator)
        for table in indicator.released
    }


def check_noise(content: Mapping[str, Any], protection: Protection, catalogue: Catalogue) -> None:
    """Refuse a release that is moved otherwise than the list says; one that is not moved at all tells the truth."""
    noise = content.get("noise")
    if noise is None:
        return
    choice = protection.choices.get(content["dataflow"])
    wanted = None
    if choice is not None and choice.method == CELL_KEY:
        wanted = noise_of_cells(minimum_of(content))
    elif choice is not None:
        frequency = read_period(content["period"]).frequency
        wanted = noise_of_budget(catalogue, content["dataflow"], frequency, choice.epsilon)
    if noise != wanted:
        raise InputRefused(
            "noise-not-agreed",
            "名录没有为这个数据流约定这样的加噪。",
            "The list agrees on no such noise for this dataflow.",
            dataflow=content["dataflow"],
        )
