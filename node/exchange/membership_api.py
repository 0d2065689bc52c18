"""The member list over HTTP, for anybody: its files as they were verified, and what strangers and officers hand in.

    GET  /exchange/v1/membership/<path>   the static TUF repository; every member passes it on
    POST /exchange/v1/membership          a newer list than ours, while a member's signed word names one
    POST /exchange/v1/join                a request to join or to change a key: proof of possession, size, count
    GET  /exchange/v1/join/<id>           how that request stands, by the applicant's id, or a draft by its digest
    POST /exchange/v1/join/draft          a draft with at least one officer's signature

What is served is signed by others and names no person. What is handed in is verified before it is read, and changes
nothing: a list is published only when t officers have signed it.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from federation.errors import InputRefused
from node.exchange import desk
from node.exchange.body import read_body
from node.exchange.handing import take_handed
from node.exchange.inbox import Handlers
from node.http.actor import NodeOf
from node.http.problems import ProblemRoute
from node.stream.memberlist import find_file
from node.stream.service import find_home

router = APIRouter(prefix="/exchange/v1", route_class=ProblemRoute, tags=["membership"])


async def _handlers(request: Request) -> Handlers:
    handlers: Handlers = request.app.state.handlers
    return handlers


HandlersOf = Annotated[Handlers, Depends(_handlers)]
Body = Annotated[bytes, Depends(read_body)]


@router.get("/membership/{path:path}")
def read_file(node: NodeOf, path: str, federation: str = "") -> Response:
    """Answer one file of the member list that we hold, verbatim."""
    with node.database.read() as session:
        ours = None if federation else find_home(session, node)
        content = find_file(session, ours.id if ours else federation, path)
    if content is None:
        raise InputRefused("address-unknown", "名录中没有这个文件。", "The member list has no such file.")
    return Response(content, media_type="application/json")


@router.post("/membership")
def take_list(node: NodeOf, handlers: HandlersOf, body: Body) -> dict[str, Any]:
    """Take a list that is handed over while a member's signed word names a newer one than ours; answer the versions."""
    return {"membership": dict(take_handed(node, body, handlers))}


@router.post("/join")
def join(node: NodeOf, body: Body) -> dict[str, Any]:
    """At the hub: keep a stranger's request for the officers."""
    return desk.receive_request(node, body)


@router.get("/join/{name}")
def find(node: NodeOf, name: str) -> Response:
    """At the hub: answer how a request stands with its file, or a draft's file; ids are too long to be guessed."""
    return Response(desk.describe(node, name), media_type="application/json")


@router.post("/join/draft")
def draft(node: NodeOf, handlers: HandlersOf, body: Body) -> dict[str, Any]:
    """At the hub: take a draft, or further signatures on one; it is published once t officers have signed."""
    return desk.receive_draft(node, body, handlers)
