"""`GET /calendar/{secret}.ics`: the feed for calendar programs. A wrong or revoked secret is simply not found."""

from fastapi import APIRouter, Request, Response

from node.activities.calendar import CONTENT_TYPE, FEED_PATH, find_subscriber, write_calendar
from node.activities.service import list_notices
from node.context import Node

router = APIRouter()


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
