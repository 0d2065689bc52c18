"""`/api/v1/peers`, `/api/v1/sync` and `/api/v1/records`: this node's own people steer and watch the exchange.

The same services as `gonghui peer`, `gonghui sync` and `gonghui record`; what other nodes call is `exchange.api`.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Response, UploadFile
from pydantic import BaseModel, ConfigDict

from node.exchange import inbox, joining, membership, records, status
from node.exchange.api import HandlersOf
from node.exchange.sync import PeerResult, run_now
from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute
from node.stream.models import Peer

router = APIRouter(prefix="/api/v1", route_class=ProblemRoute, tags=["exchange control"])
MAX_KEY_FILE_BYTES = 100_000


class Hub(BaseModel):
    """The hub to join: its address, and its fingerprint as compared over another channel."""

    model_config = ConfigDict(extra="forbid")
    url: str
    fingerprint: str


class MemberStatus(BaseModel):
    """Whether a member's word counts."""

    model_config = ConfigDict(extra="forbid")
    status: Literal["active", "suspended"]


class Round(BaseModel):
    """Whom to call; empty: everybody that this node calls."""

    model_config = ConfigDict(extra="forbid")
    peer: str = ""


def _peer(peer: Peer) -> dict[str, Any]:
    return {"id": peer.id, "name": peer.name, "status": peer.status, "keyid": peer.keyid}


def result_as_json(result: PeerResult) -> dict[str, Any]:
    """Return what came of visiting one peer, for a script."""
    values = {name: value for name, value in vars(result).items() if name not in {"text", "exit_code"}}
    text = {"message": result.text.en, "message_zh": result.text.zh} if result.text else {}
    return values | text


@router.get("/peers")
def list_peers(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List the peers and how contact with them stands."""
    return status.list_members(node, actor)


@router.get("/peers/key")
def own_key(node: NodeOf, actor: ActorOf) -> Response:
    """Answer this node's public-key file."""
    return Response(membership.own_key_file(node, actor), media_type="application/json")


@router.post("/peers", status_code=201)
def enrol(node: NodeOf, actor: ActorOf, handlers: HandlersOf, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """At the hub: enrol a college from its public-key file and publish the member list."""
    return _peer(membership.enrol(node, actor, file.file.read(MAX_KEY_FILE_BYTES), handlers))


@router.post("/peers/hub", status_code=201)
def add_hub(node: NodeOf, actor: ActorOf, handlers: HandlersOf, asked: Hub) -> dict[str, Any]:
    """Pin the hub by its fingerprint and join its federation."""
    joined = joining.add_hub(node, actor, asked.url, asked.fingerprint, handlers)
    return {
        "federation": {"id": joined.federation.id, "name": joined.federation.name},
        "hub": _peer(joined.hub),
        "first_round": result_as_json(joined.first_round) if joined.first_round else None,
    }


@router.post("/peers/{peer_id}/status")
def set_status(node: NodeOf, actor: ActorOf, peer_id: str, asked: MemberStatus) -> dict[str, Any]:
    """At the hub: suspend a member or let it speak again."""
    return _peer(membership.set_status(node, actor, peer_id, asked.status))


@router.get("/sync")
def sync_status(node: NodeOf, actor: ActorOf) -> dict[str, Any]:
    """Answer last success, age of what is shown, what comes next, outbox, receipts and reviews."""
    return status.sync_status(node, actor)


@router.post("/sync/run")
def run(node: NodeOf, actor: ActorOf, handlers: HandlersOf, asked: Round) -> list[dict[str, Any]]:
    """Run one round now; answers when it has ended."""
    return [result_as_json(result) for result in run_now(node, actor, handlers, only=asked.peer)]


@router.get("/sync/quarantine")
def quarantine(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List what was received and does not count."""
    return [item.as_json() for item in status.list_quarantine(node, actor)]


@router.post("/sync/quarantine/{record_id}/retry")
def retry(node: NodeOf, actor: ActorOf, handlers: HandlersOf, record_id: str) -> dict[str, Any]:
    """Judge a quarantined record again."""
    outcome = inbox.retry(node, actor, record_id, handlers)
    return {"id": record_id, "verdict": str(outcome.verdict), "code": outcome.code}


@router.get("/records")
def list_records(node: NodeOf, actor: ActorOf, kind: str = "") -> list[dict[str, Any]]:
    """List the newest signed records."""
    return records.list_records(node, actor, kind=kind)


@router.get("/records/{record_id}")
def export_record(node: NodeOf, actor: ActorOf, record_id: str) -> Response:
    """Answer one record verbatim, for `gonghui verify`."""
    return Response(records.export_record(node, actor, record_id), media_type="application/json")
