"""Sync on screen: how it stands, a round by hand, quarantine, and the signed records."""

from datetime import datetime

from fastapi import APIRouter, Request, Response

from federation.errors import Text
from node.exchange import alarms, inbox, records, status
from node.exchange.api import HandlersOf
from node.exchange.explain import explain
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.rounds import Rounds
from node.web.visitors import VisitorOf

router = APIRouter(route_class=PageRoute)
_KINDS = {
    "release": Text("发布", "release"),
    "notice": Text("活动通知", "event notice"),
    "review": Text("审核意见", "review"),
    "sum": Text("合计步骤", "step of a total"),
    "member-list": Text("成员名单", "member list"),
    "group-key": Text("组密钥", "group key"),
}


@router.get("/sync")
def show(request: Request, visitor: VisitorOf) -> Response:
    """Show last success, age, what comes next, what is on its way and what came back."""
    told = status.sync_status(visitor.node, visitor.account)
    names = {peer["id"]: peer["name"] for peer in told["peers"]}
    names[visitor.node.node_id] = visitor.node.settings.node.name
    rounds: Rounds = request.app.state.rounds
    evidence = alarms.evidence_status(visitor.node, visitor.account)
    return page(request, "sync.html", told=told, names=names, rounds=rounds, evidence=evidence, explain=explain)


@router.post("/sync/run")
def run(request: Request, visitor: VisitorOf, handlers: HandlersOf, form: FormOf) -> Response:
    """Start a round; the page shows how it goes."""
    rounds: Rounds = request.app.state.rounds
    rounds.start(visitor.node, visitor.account, handlers, form.text("peer"))
    return see_other("/sync", "sync-started")


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
    kind = request.query_params.get("kind", "")
    rows = records.list_records(visitor.node, visitor.account, kind=kind)
    names = {peer["id"]: peer["name"] for peer in status.list_members(visitor.node, visitor.account)}
    names[visitor.node.node_id] = visitor.node.settings.node.name
    return page(request, "records.html", rows=rows, names=names, kinds=_KINDS, kind=kind, moment=datetime.fromisoformat)


@router.get("/records/{record_id}")
def export_record(visitor: VisitorOf, record_id: str) -> Response:
    """Answer one record verbatim, for `gonghui verify`."""
    data = records.export_record(visitor.node, visitor.account, record_id)
    headers = {"Content-Disposition": f'attachment; filename="{record_id[:16]}.json"'}
    return Response(data, media_type="application/json", headers=headers)


@router.get("/records/{record_id}/proof")
def export_proof(visitor: VisitorOf, record_id: str) -> Response:
    """Answer what proves a contradiction, or when witnesses had seen a record, for `gonghui verify`."""
    data = alarms.export_evidence(visitor.node, visitor.account, record_id)
    headers = {"Content-Disposition": f'attachment; filename="{record_id[:16]}.proof.json"'}
    return Response(data, media_type="application/json", headers=headers)
