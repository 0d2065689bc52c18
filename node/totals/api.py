"""`/api/v1/totals`: exact totals for scripts; the same as `gonghui privacy contribute | vouch | aggregate | open`."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute
from node.totals import service

router = APIRouter(prefix="/api/v1/totals", route_class=ProblemRoute, tags=["exact totals"])


class Consent(BaseModel):
    """Whether this node contributes from now on."""

    model_config = ConfigDict(extra="forbid")
    on: bool


class Nodes(BaseModel):
    """Ids of nodes: whom a register knows, or who is not waited for."""

    model_config = ConfigDict(extra="forbid")
    nodes: list[str] = Field(default=[], max_length=10_000)


@router.get("")
def overview(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """Return every family of totals as this node sees it, its periods newest first."""
    return [found.as_json() for found in service.overview(node, actor)]


@router.post("/{family}/consent")
def consent(node: NodeOf, actor: ActorOf, family: str, wanted: Consent) -> dict[str, Any]:
    """Contribute to a family's totals from now on, or no more."""
    service.consent(node, actor, family, on=wanted.on)
    return {"family": family, "on": wanted.on}


@router.post("/{family}/vouch")
def vouch(node: NodeOf, actor: ActorOf, family: str, known: Nodes) -> dict[str, Any]:
    """Say, as the second body, which nodes its register knows to be what they claim."""
    service.vouch(node, actor, family, known.nodes)
    return {"family": family, "nodes": sorted(set(known.nodes))}


@router.get("/{family}/{period}")
def look(node: NodeOf, actor: ActorOf, family: str, period: str) -> dict[str, Any]:
    """Return where a period's total stands, and its figures once it is opened and verified."""
    return service.look(node, actor, family, period).as_json()


@router.post("/{family}/{period}", status_code=201)
def begin(node: NodeOf, actor: ActorOf, family: str, period: str, without: Nodes) -> dict[str, Any]:
    """Begin a period's total as the hub; a block with one of `nodes` is left out."""
    service.begin(node, actor, family, period, leave_out=without.nodes)
    return service.look(node, actor, family, period).as_json()


@router.post("/{family}/{period}/give-up")
def give_up(node: NodeOf, actor: ActorOf, family: str, period: str) -> dict[str, Any]:
    """Give the present attempt up, as an aggregator."""
    service.give_up(node, actor, family, period)
    return service.look(node, actor, family, period).as_json()
