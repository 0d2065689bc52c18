"""Releases over HTTP, for scripts: prepare, look, approve, withdraw. The same services as page and command."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict

from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute
from node.indicators import release as service
from node.indicators.preview import preview

router = APIRouter(prefix="/api/v1/releases", route_class=ProblemRoute, tags=["releases"])


class _Wish(BaseModel):
    """What a request may say; anything else is an error."""

    model_config = ConfigDict(extra="forbid")


class Prepare(_Wish):
    """A period to release; `reason` for a correction, `provisional` before the period has ended."""

    period: str
    reason: str = ""
    provisional: bool = False


class Approve(_Wish):
    """The digests of all contents that were looked at."""

    digests: list[str]


@router.post("", status_code=201)
def prepare(node: NodeOf, actor: ActorOf, wish: Annotated[Prepare, Body()]) -> dict[str, Any]:
    """Prepare the draft of a period."""
    release = service.prepare(node, actor, wish.period, reason=wish.reason, provisional=wish.provisional)
    with node.database.read() as session:
        return preview(session, node, actor, release.id).as_json()


@router.get("")
def list_releases(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List all releases, newest first."""
    with node.database.read() as session:
        return [service.facts(release) for release in service.list_releases(session, actor)]


@router.get("/{release}")
def show(node: NodeOf, actor: ActorOf, release: str) -> dict[str, Any]:
    """Show a release with its digests and withheld cells."""
    with node.database.read() as session:
        return preview(session, node, actor, release).as_json()


@router.post("/{release}/approve")
def approve(
    request: Request, node: NodeOf, actor: ActorOf, release: str, wish: Annotated[Approve, Body()]
) -> list[dict[str, Any]]:
    """Approve and sign exactly these contents."""
    take = request.app.state.handlers[service.KIND]
    records = service.approve(node, actor, release, wish.digests, take=take)
    return [{"record": record.id, "subject": record.subject, "revision": record.revision} for record in records]


@router.post("/{release}/withdraw")
def withdraw(node: NodeOf, actor: ActorOf, release: str) -> dict[str, Any]:
    """Give a draft up."""
    return service.facts(service.withdraw(node, actor, release))
