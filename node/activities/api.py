"""Event notices over HTTP: `/api/v1/notices` for scripts, and the feed for calendar programs.

The feed's address is its secret; a wrong or revoked one is simply not found.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from node.access.permissions import Actor
from node.activities import service
from node.activities.calendar import CONTENT_TYPE, FEED_PATH, find_subscriber, write_calendar
from node.activities.draft import Draft, kind_of
from node.activities.service import list_notices
from node.context import Node
from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute

router = APIRouter()
api = APIRouter(prefix="/api/v1/notices", route_class=ProblemRoute, tags=["notices"])


class NoticeIn(BaseModel):
    """An event. `starts` and `ends` are local times in `zone`, written `2026-12-12T14:00`."""

    model_config = ConfigDict(extra="forbid")
    title: str
    place: str
    starts: str
    ends: str
    kind: str = "other"
    zone: str = ""
    who: str = ""
    seats: int = 0
    contact: str = ""
    details: str = ""
    note: str = ""


class Update(NoticeIn):
    """All fields of the event as it shall be, and the revision that was changed."""

    revision: int


class Cancellation(BaseModel):
    """Why it is cancelled."""

    model_config = ConfigDict(extra="forbid")
    note: str = ""


@router.get(FEED_PATH + "{secret}.ics")
def calendar(request: Request, secret: str) -> Response:
    """Answer with every notice this node knows, cancelled and past ones included."""
    node: Node = request.app.state.node
    with node.database.read() as session:
        actor = find_subscriber(session, secret)
        if actor is None:
            return Response(status_code=404)
        notices = list_notices(session, node, actor)
    language = node.settings.node.language
    name = "工会活动通知" if language == "zh" else "Union events"
    headers = {"Cache-Control": "private, no-cache", "Referrer-Policy": "no-referrer"}
    return Response(write_calendar(notices, name, language), media_type=CONTENT_TYPE, headers=headers)


@api.get("")
def list_(node: NodeOf, actor: ActorOf, *, past: bool = False) -> list[dict[str, Any]]:
    """List events, soonest first."""
    with node.database.read() as session:
        return [shown.as_json() for shown in list_notices(session, node, actor, past=past)]


@api.post("", status_code=201)
def publish(node: NodeOf, actor: ActorOf, asked: NoticeIn) -> dict[str, Any]:
    """Offer an event to everybody."""
    return _shown(node, actor, service.publish(node, actor, _draft(node, asked)).id)


@api.post("/{notice_id}")
def update(node: NodeOf, actor: ActorOf, notice_id: str, asked: Update) -> dict[str, Any]:
    """Say an event anew."""
    service.update(node, actor, notice_id, _draft(node, asked), revision=asked.revision)
    return _shown(node, actor, notice_id)


@api.post("/{notice_id}/cancel")
def cancel(node: NodeOf, actor: ActorOf, notice_id: str, asked: Cancellation) -> dict[str, Any]:
    """Cancel an event, for good."""
    service.cancel(node, actor, notice_id, asked.note)
    return _shown(node, actor, notice_id)


def _draft(node: Node, asked: NoticeIn) -> Draft:
    fields = {name: getattr(asked, name) for name in Draft.__dataclass_fields__}
    return Draft(**{**fields, "kind": kind_of(asked.kind), "zone": asked.zone or node.settings.node.timezone})


def _shown(node: Node, actor: Actor, notice_id: str) -> dict[str, Any]:
    with node.database.read() as session:
        return service.get_notice(session, node, actor, notice_id).as_json()
