"""Members on screen: joining from the anchor, how the signed list stands, and at the hub what waits for officers.

Officers sign at their own machines (`gonghui enrol approve`): no page ever asks for their keys.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from federation.errors import GonghuiError
from federation.keys import fingerprint
from federation.spoken import spoken
from node.access.permissions import check_permission
from node.exchange import desk, enrolling, federating, membership, status
from node.exchange.explain import explain
from node.exchange.listing import list_standing
from node.exchange.membership_api import HandlersOf
from node.http.problems import status_of
from node.stream.memberlist import open_held
from node.stream.service import find_federation, list_federations
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)
MAX_FILE_BYTES = 262_144


@router.get("/peers")
def peers(request: Request, visitor: VisitorOf) -> Response:
    """Show the members and the list; to the administrator also this node's fingerprint and what waits."""
    return _peers(request, visitor)


@router.get("/peers/key")
def key_file(visitor: VisitorOf) -> Response:
    """Answer this node's request to join, for a hub that cannot be reached from here."""
    data = membership.own_key_file(visitor.node, visitor.account)
    return _download(data, f"{visitor.node.node_id}.key.json")


@router.get("/peers/anchor")
def anchor(visitor: VisitorOf) -> Response:
    """Answer the anchor from which another college joins."""
    check_permission(visitor.account, "sync.read")
    return _download(federating.read_anchor_file(visitor.node), "federation.anchor.json")


@router.post("/peers/join")
def join(request: Request, visitor: VisitorOf, handlers: HandlersOf, form: FormOf) -> Response:
    """Pin the federation's anchor and ask to join."""
    check_permission(visitor.account, "peer.write")
    try:
        data = form.file("file").file.read(MAX_FILE_BYTES)
        sent = enrolling.request_to_join(visitor.node, visitor.account, data, handlers)
    except GonghuiError as error:
        return _peers(request, visitor, error)
    with visitor.node.database.read() as session:
        several = len(list_federations(session)) > 1
    path = f"/peers?federation={sent.federation}" if several else "/peers"
    return see_other(path, "join-sent" if sent.sent_to else "join-file")


@router.post("/peers/standing")
def standing(request: Request, visitor: VisitorOf, handlers: HandlersOf) -> Response:
    """Look whether the officers have signed; once listed, run the first round."""
    check_permission(visitor.account, "peer.write")
    try:
        found = enrolling.standing(visitor.node, visitor.account, handlers)
    except GonghuiError as error:
        return _peers(request, visitor, error)
    return see_other("/peers", "join-active" if found.state == "active" else "join-waiting")


@router.get("/peers/request")
def request_file(visitor: VisitorOf) -> Response:
    """Answer this node's request as a file, to be handed to the hub."""
    check_permission(visitor.account, "peer.write")
    with visitor.node.database.read() as session:
        federation = find_federation(session, visitor.node)
    data = enrolling.own_request(visitor.node, federation.id if federation else "", "join")
    return _download(data, f"{visitor.node.node_id}.request.json")


def _peers(request: Request, visitor: Visitor, error: GonghuiError | None = None) -> Response:
    node = visitor.node
    members = status.list_members(node, visitor.account)
    with node.database.read() as session:
        federation = find_federation(session, node)
        hub = federation is not None and federation.hub_id == node.node_id
        held = open_held(session, federation.id, node.clock()) if federation else None
        standing = list_standing(session, node.node_id, federation, node.clock()) if federation else None
        values: dict[str, Any] = {
            "requests": desk.list_requests(session) if hub else [],
            "drafts": desk.list_drafts(session) if hub else [],
        }
    own = held.members.get(node.node_id) if held else None
    keyid = node.signer.public_key.keyid
    values |= {
        "members": members,
        "federation": federation,
        "hub": hub,
        "standing": standing,
        "held": held,
        "listed": own is not None and keyid in {key.keyid for key in own.active_keys},
        "hub_url": node.settings.server.public_url or "URL",
        "fingerprint": fingerprint(node.signer.public_key),
        "spoken": spoken,
        "keyid": keyid,
        "grouped": lambda keyid: " ".join(keyid[i : i + 4] for i in range(0, 64, 4)),
        "explain": explain,
        "error": error,
    }
    return page(request, "peers.html", status_of(error) if error else 200, **values)


def _download(data: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/json", headers=headers)
