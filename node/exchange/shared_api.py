"""`/api/v1/figures`, `/rollup`, `/matrix` and `/reviews`: shared indicators and the hub's work, for scripts.

The same views as `gonghui query` and `gonghui release matrix|review`.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from federation.catalogue import load_catalogue
from node.exchange import hub
from node.exchange.view import View, read_periods, read_rollup, read_tables, read_view
from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute

router = APIRouter(prefix="/api/v1", route_class=ProblemRoute, tags=["shared figures"])
Period = Annotated[str, Query(description="2026U, 2026-Q3 or 2026-09")]
Dims = Annotated[str, Query(description="G, GT (two-way), all; several by a semicolon; empty: the total")]
Sources = Annotated[bool, Query(description="with the ids of the records that a figure rests on")]


class Opinion(BaseModel):
    """What the hub says of a release: its record, and a note where it is returned."""

    model_config = ConfigDict(extra="forbid")
    record: str
    verdict: Literal["accepted", "returned"]
    note: str = ""


@router.get("/periods")
def periods(node: NodeOf, actor: ActorOf, indicator: str = "") -> list[str]:
    """List the periods of which anything was shared, newest first."""
    return read_periods(node, actor, indicator)


@router.get("/figures")
def figures(
    node: NodeOf, actor: ActorOf, indicator: str, period: Period, dims: Dims = "", *, sources: Sources = False
) -> list[dict[str, Any]]:
    """Return each node's figures of one indicator and period."""
    view = _view(node, actor, indicator, period, dims)
    return [entry for row in view.rows for entry in row.nodes_as_json(sources=sources)]


@router.get("/rollup")
def rollup(
    node: NodeOf, actor: ActorOf, period: Period, indicator: str = "", dims: Dims = "", *, sources: Sources = False
) -> list[dict[str, Any]]:
    """Return the combined figures of one indicator, or without one every cell of which anything was reported."""
    rows = _view(node, actor, indicator, period, dims).rows if indicator else read_rollup(node, actor, period)
    return [row.as_json(sources=sources) for row in rows]


@router.get("/matrix")
def matrix(node: NodeOf, actor: ActorOf, period: Annotated[list[str] | None, Query()] = None) -> list[dict[str, Any]]:
    """Say who has reported what, one entry a member and column."""
    return hub.report_matrix(node, actor, period or ()).as_json()


@router.post("/reviews", status_code=201)
def review(node: NodeOf, actor: ActorOf, opinion: Opinion) -> dict[str, Any]:
    """Accept a release, or return it for correction."""
    return vars(hub.review_release(node, actor, opinion.record, opinion.verdict, opinion.note))


def _view(node: NodeOf, actor: ActorOf, indicator: str, period: str, dims: str) -> View:
    tables = read_tables(load_catalogue().get(indicator), dims)
    return read_view(node, actor, indicator, period, tables=tables)
