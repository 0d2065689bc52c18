"""The budget of differential privacy: what each union year's releases take of every person, and the noise they bought.

Whoever is in the data may be in every release, so what releases take adds up, over dataflows, periods and revisions.
It is taken when noise is drawn, and what is drawn is kept: the same (dataflow, period, revision) has the same noise
however often it is prepared, so that no second draft averages the first. A year that is spent refuses before anything
is computed. Noise is OpenDP's, by its own generator; it is drawn for every cell, whether or not it has a count.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Session, select

from federation.catalogue import Catalogue
from federation.errors import Conflict
from federation.periods import UNION_YEAR, Period, period_of
from federation.protection import PRIVACY, Choice, cells_moved, scale_of
from federation.publications import Name
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.indicators.models import NoiseDraw
from node.indicators.noise_choice import agreed_protection


@dataclass(frozen=True)
class Spent:
    """What one union year has taken and has left; `by_dataflow` says of which releases."""

    year: str
    budget: Decimal
    by_dataflow: Mapping[str, Decimal]

    @property
    def spent(self) -> Decimal:
        """Return what is taken."""
        return sum(self.by_dataflow.values(), Decimal(0))

    @property
    def left(self) -> Decimal:
        """Return what later releases of the year may take."""
        return max(self.budget - self.spent, Decimal(0))

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts, numbers as texts."""
        taken = {name: str(epsilon) for name, epsilon in sorted(self.by_dataflow.items())}
        return {
            "year": self.year,
            "budget": str(self.budget),
            "spent": str(self.spent),
            "left": str(self.left),
            "dataflows": taken,
        }


def year_of(period: Period) -> str:
    """Return the union year to which a period's releases are charged."""
    return period_of(period.end, UNION_YEAR).label


def load_spent(session: Session, year: str, budget: Decimal) -> Spent:
    """Return what a union year has taken."""
    taken: dict[str, Decimal] = {}
    for draw in session.exec(select(NoiseDraw).where(NoiseDraw.year == year)).all():
        taken[draw.dataflow] = taken.get(draw.dataflow, Decimal(0)) + Decimal(draw.epsilon)
    return Spent(year, budget, taken)


def list_spent(node: Node, actor: Actor) -> list[Spent]:
    """Return every year that has taken anything, newest first, and the running one."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        budget = agreed_protection(session).year_epsilon
        years = {year_of(period_of(node.clock().date(), UNION_YEAR))}
        years |= set(session.exec(select(NoiseDraw.year)).all())
        return [load_spent(session, year, budget) for year in sorted(years, reverse=True)]


def check_budget(session: Session, catalogue: Catalogue, period: Period, revision: int) -> None:
    """Raise Conflict where the year has not enough left for what a release would take."""
    agreed = agreed_protection(session)
    wanted = Decimal(0)
    for dataflow, choice in agreed.choices.items():
        if choice.method == PRIVACY and cells_moved(catalogue, dataflow, period.frequency):
            wanted += 0 if _find(session, dataflow, period, revision) else choice.epsilon
    found = load_spent(session, year_of(period), agreed.year_epsilon)
    if wanted > found.left:
        raise Conflict(
            "budget-spent",
            f"{found.year} 的隐私预算为 {found.budget}，已用 {found.spent}，剩 {found.left}，本次需要 {wanted}，"
            "因此没有计算。请等下一工会年度，减少发布次数，或由签署人调整 protection.json。",
            f"The privacy budget of {found.year} is {found.budget}; {found.spent} is spent, {found.left} left, and "
            f"this would take {wanted}, so nothing was computed. Wait for the next union year, release less often, or "
            "let the officers change protection.json.",
            year=found.year,
            left=str(found.left),
            wanted=str(wanted),
        )


def noise_of(
    session: Session,
    catalogue: Catalogue,
    dataflow: str,
    period: Period,
    revision: int,
    choice: Choice,
    at: datetime,
) -> dict[Name, int]:
    """Return the noise of each cell of a release: what was drawn for it, else drawn now and taken from the budget."""
    drawn = _find(session, dataflow, period, revision)
    if drawn is None:
        names = sorted(cells_moved(catalogue, dataflow, period.frequency))
        values = draw_noise(len(names), scale_of(catalogue, dataflow, period.frequency, choice.epsilon))
        noise = {"|".join(name): value for name, value in zip(names, values, strict=True)}
        drawn = NoiseDraw(
            dataflow=dataflow,
            period=period.label,
            revision=revision,
            year=year_of(period),
            epsilon=str(choice.epsilon),
            noise=json.dumps(noise),
            at=at,
        )
        session.add(drawn)
        session.flush()
    told = ((key.partition("|"), value) for key, value in json.loads(drawn.noise).items())
    return {(code, dims): value for (code, _, dims), value in told}


def _find(session: Session, dataflow: str, period: Period, revision: int) -> NoiseDraw | None:
    return session.get(NoiseDraw, (dataflow, period.label, revision))


def draw_noise(cells: int, scale: float) -> Sequence[int]:
    """Return discrete Laplace noise of this scale, whose generator and arithmetic are OpenDP's."""
    try:
        import opendp.prelude as dp
    except ImportError as error:
        raise Conflict(
            "privacy-missing",
            "未安装差分隐私组件，请运行 pip install 'gonghui-node[privacy]'。",
            "Differential privacy is not installed: pip install 'gonghui-node[privacy]'.",
        ) from error
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"), size=cells)
    measure = dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale=scale)
    values: Sequence[int] = measure([0] * cells)
    return values
