"""Sync on screen: how it stands, a round by hand, peers and joining, quarantine, and the signed records."""

from typing import Any

from fastapi import APIRouter, Request, Response

from federation.errors import GonghuiError, InputRefused
from federation.keys import fingerprint
from node.access.permissions import check_permission
from node.exchange import inbox, joining, membership, records, status
from node.exchange.api import HandlersOf
from node.exchange.control import MAX_KEY_FILE_BYTES
from node.exchange.explain import explain
from node.http.problems import status_of
from node.stream.peers import ACTIVE, SUSPENDED
from node.stream.service import find_federation
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.rounds import Rounds
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)


@router.get("/sync")
def show(request: Request, visitor: VisitorOf) -> Response:
    """Show last success, age, what comes next, what is on its way and what came back."""
    told = status.sync_status(visitor.node, visitor.account)
    names = {peer["id"]: peer["name"] for peer in told["peers"]}
    rounds: Rounds = request.app.state.rounds
    return page(request, "sync.html", told=told, names=names, rounds=rounds, explain=explain)


@router.post("/sync/run")
def run(request: Request, visitor: VisitorOf, handlers: HandlersOf, form: FormOf) -> Response:
    """Start a round; the page shows how it goes."""
    rounds: Rounds = request.app.state.rounds
    rounds.start(visitor.node, visitor.account, handlers, form.text("peer"))
    return see_other("/sync", "sync-started")


@router.get("/peers")
def peers(request: Request, visitor: VisitorOf) -> Response:
    """Show the peers; to the administrator also this node's fingerprint and the forms."""
    return _peers(request, visitor)


def _peers(request: Request, visitor: Visitor, error: GonghuiError | None = None, **typed: str) -> Response:
    members = status.list_members(visitor.node, visitor.account)
    with visitor.node.database.read() as session:
        federation = find_federation(session)
    values: dict[str, Any] = {
        "members": members,
        "federation": federation,
        "hub": federation is not None and federation.hub_id == visitor.node.node_id,
        "fingerprint": fingerprint(visitor.node.signer.public_key),
        "grouped": lambda keyid: " ".join(keyid[i : i + 4] for i in range(0, 64, 4)),
        "explain": explain,
        "error": error,
        "typed": {"url": "", "fingerprint": "", **typed},
    }
    return page(request, "peers.html", status_of(error) if error else 200, **values)


@router.get("/peers/key")
def key_file(visitor: VisitorOf) -> Response:
    """Answer this node's public-key file, for the hub to enrol."""
    data = membership.own_key_file(visitor.node, visitor.account)
    name = f"{visitor.node.node_id}.key.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/json", headers=headers)


@router.post("/peers/hub")
def add_hub(request: Request, visitor: VisitorOf, handlers: HandlersOf, form: FormOf) -> Response:
    """Pin the hub by its fingerprint and join."""
    check_permission(visitor.account, "peer.write")
    typed = {"url": form.text("url"), "fingerprint": form.text("fingerprint")}
    try:
        joining.add_hub(visitor.node, visitor.account, typed["url"], typed["fingerprint"], handlers)
    except GonghuiError as error:
        return _peers(request, visitor, error, **typed)
    return see_other("/sync", "hub-added")


@router.post("/peers/enrol")
def enrol(request: Request, visitor: VisitorOf, handlers: HandlersOf, form: FormOf) -> Response:
    """At the hub: enrol a college from its public-key file."""
    check_permission(visitor.account, "peer.write")
    try:
        membership.enrol(visitor.node, visitor.account, form.file("file").file.read(MAX_KEY_FILE_BYTES), handlers)
    except GonghuiError as error:
        return _peers(request, visitor, error)
    return see_other("/peers", "peer-enrolled")


@router.post("/peers/{peer_id}/status")
def set_status(visitor: VisitorOf, peer_id: str, form: FormOf) -> Response:
    """At the hub: suspend a member or let it speak again."""
    check_permission(visitor.account, "peer.write")
    to = form.text("status")
    if to not in {ACTIVE, SUSPENDED}:
        raise InputRefused("status-unknown", "状态只能是启用或停用。", "A member is active or suspended.")
    membership.set_status(visitor.node, visitor.account, peer_id, to)
    return see_other("/peers", f"peer-{to}")


@router.get("/quarantine")
def quarantine(request: Request, visitor: VisitorOf) -> Response:
    """Show what was received and does not count, and why."""
    items = status.list_quarantine(visitor.node, visitor.account)
    names = {peer["id"]: peer["name"] for peer in status.list_members(visitor.node, visitor.account)}
    return page(request, "quarantine.html", items=items, names=names, explain=explain)


@router.post("/quarantine/{record_id}/retry")
def retry(visitor: VisitorOf, handlers: HandlersOf, record_id: str) -> Response:
    """Judge a quarantined record again."""
    inbox.retry(visitor.node, visitor.account, record_id, handlers)
    return see_other("/quarantine", "retried")


@router.get("/records")
def list_records(request: Request, visitor: VisitorOf) -> Response:
    """Show the newest signed records."""
    rows = records.list_records(visitor.node, visitor.account, kind=request.query_params.get("kind", ""))
    names = {peer["id"]: peer["name"] for peer in status.list_members(visitor.node, visitor.account)}
    names[visitor.node.node_id] = visitor.node.settings.node.name
    return page(request, "records.html", rows=rows, names=names)


@router.get("/records/{record_id}")
def export_record(visitor: VisitorOf, record_id: str) -> Response:
    """Answer one record verbatim, for `gonghui verify`."""
    data = records.export_record(visitor.node, visitor.account, record_id)
    headers = {"Content-Disposition": f'attachment; filename="{record_id[:16]}.json"'}
    return Response(data, media_type="application/json", headers=headers)
