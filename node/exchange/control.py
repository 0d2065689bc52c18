"""`/api/v1/peers`, `/sync`, `/bundles` and `/records`: this node's own people steer and watch the exchange.

The same services as `gonghui peer`, `gonghui sync` and `gonghui record`; what other nodes call is `exchange.api`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, File, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from node.access.permissions import check_permission
from node.exchange import bundles, desk, enrolling, federating, inbox, membership, records, status
from node.exchange.api import HandlersOf
from node.exchange.sync import result_as_json, run_now
from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute

router = APIRouter(prefix="/api/v1", route_class=ProblemRoute, tags=["exchange control"])
MAX_FILE_BYTES = 262_144


class Round(BaseModel):
    """Whom to call; empty: everybody that this node calls."""

    model_config = ConfigDict(extra="forbid")
    peer: str = ""


class Letters(BaseModel):
    """Which of the undelivered records."""

    model_config = ConfigDict(extra="forbid")
    items: list[Annotated[int, Field(ge=1, le=2**53)]] = Field(min_length=1, max_length=1000)


@router.get("/peers")
def list_peers(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List the peers and how contact with them stands."""
    return status.list_members(node, actor)


@router.get("/peers/key")
def own_key(node: NodeOf, actor: ActorOf) -> Response:
    """Answer this node's public-key file."""
    return Response(membership.own_key_file(node, actor), media_type="application/json")


@router.post("/join", status_code=201)
def join(node: NodeOf, actor: ActorOf, handlers: HandlersOf, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Pin the federation of an anchor file and ask to join it."""
    sent = enrolling.request_to_join(node, actor, file.file.read(MAX_FILE_BYTES), handlers)
    return {"id": node.node_id, "federation": sent.federation, "sent_to": sent.sent_to, "state": sent.state}


@router.post("/join/standing")
def standing(node: NodeOf, actor: ActorOf, handlers: HandlersOf) -> dict[str, Any]:
    """Look whether the officers have signed; once listed, run the first round."""
    check_permission(actor, "peer.write")
    found = enrolling.standing(node, actor, handlers)
    first = result_as_json(found.first_round) if found.first_round else None
    return {"federation": found.federation.id, "state": found.state, "members": found.members, "first_round": first}


@router.get("/join/requests")
def requests(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """At the hub: list what waits for officers."""
    check_permission(actor, "sync.read")
    with node.database.read() as session:
        return [{name: value for name, value in item.items() if name != "file"} for item in desk.list_requests(session)]


@router.get("/federation/anchor")
def anchor(node: NodeOf, actor: ActorOf) -> Response:
    """Answer the anchor from which colleges join."""
    check_permission(actor, "sync.read")
    return Response(federating.read_anchor_file(node), media_type="application/json")


@router.get("/sync")
def sync_status(node: NodeOf, actor: ActorOf) -> dict[str, Any]:
    """Answer last success, age of what is shown, what comes next, outbox, receipts and reviews."""
    return status.sync_status(node, actor)


@router.post("/sync/run")
def run(node: NodeOf, actor: ActorOf, handlers: HandlersOf, asked: Round) -> list[dict[str, Any]]:
    """Run one round now; answers when it has ended."""
    return [result_as_json(result) for result in run_now(node, actor, handlers, only=asked.peer)]


@router.get("/sync/outbox")
def outbox(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List what a peer refused, and what could not be delivered for two weeks, with the reason."""
    return status.list_outbox(node, actor)


@router.post("/sync/outbox/retry")
def retry_outbox(node: NodeOf, actor: ActorOf, asked: Letters) -> dict[str, Any]:
    """Let these go again."""
    return {"retried": status.retry_outbox(node, actor, asked.items)}


@router.post("/bundles/{to}")
def export_bundle(node: NodeOf, actor: ActorOf, to: str) -> Response:
    """Answer the bundle for the node `to`, or with `*` for every member."""
    data = b"".join(bundles.export_bundle(node, actor, to).parts())
    return Response(data, media_type="application/octet-stream")


@router.post("/bundles")
def import_bundle(
    node: NodeOf, actor: ActorOf, handlers: HandlersOf, file: Annotated[UploadFile, File()]
) -> dict[str, Any]:
    """Take a bundle in; what was taken before is a duplicate."""
    return bundles.import_bundle(node, actor, file.file, handlers).as_json()


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
