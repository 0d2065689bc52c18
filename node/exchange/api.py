"""The exchange over HTTP: `GET /.well-known/gonghui`, `POST /exchange/v1/pull|push|missing|catalogue|ping|heads|...`.

Only GET and POST, nothing that matters in a header: campus firewalls rewrite both. Each request is verified before it
is parsed and answered once (audience, nonce, time window). What is served are stored bytes, verbatim; a page's order
and completeness are signed in the answer's manifest. The application hands over the node and the table of handlers as
`app.state.node` and `app.state.handlers`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from sqlmodel import Session

from federation.acceptance import Outcome, Verdict
from federation.envelope import MAX_ENVELOPE_BYTES, join_page, split_page
from federation.errors import TrustError
from federation.keys import public_pem
from federation.request import MAX_PAGE_BYTES, build_answer, open_request
from federation.request import Request as SignedRequest
from federation.validation import check_schema
from node.audit.tally import count_event
from node.clock import format_time
from node.context import Node
from node.exchange import recovering
from node.exchange.heads import serve_heads, state_heads, tell_stated
from node.exchange.inbox import PUSH, receive
from node.exchange.membership_api import Body, HandlersOf
from node.exchange.nonces import use_nonce
from node.exchange.offered import list_offered
from node.exchange.refreshing import note_versions
from node.exchange.relay import BELL, serve_relay
from node.exchange.revocation import last_checkpoint, serve_proof
from node.exchange.serving import EMPTY_PAGE, MAX_ITEMS, Page, read_missing, read_page
from node.exchange.waiting import check_room
from node.exchange.witness import serve_witness
from node.http.actor import NodeOf
from node.http.problems import ProblemRoute
from node.stream.memberlist import versions_of
from node.stream.models import Home, Receipt
from node.stream.service import find_home, find_member, list_homes

router = APIRouter(route_class=ProblemRoute, tags=["exchange"])


@router.get("/.well-known/gonghui")
def well_known(node: NodeOf) -> dict[str, Any]:
    """Say who this node is; nothing here is trusted before the fingerprint was compared."""
    with node.database.read() as session:
        federation = find_home(session, node)
    key = node.signer.public_key
    return {
        "versions": [1],
        "node": node.node_id,
        "name": node.settings.node.name,
        "code": node.settings.node.code,
        "federation": federation.id if federation else "",
        "federation_name": federation.name if federation else "",
        "hub": bool(federation and federation.hub_id == node.node_id),
        "key": {"keyid": key.keyid, "pem": public_pem(key)},
        "time": format_time(node.clock()),
        "limits": {
            "page_records": node.settings.exchange.page_records,
            "page_bytes": node.settings.exchange.page_bytes,
            "body_bytes": MAX_PAGE_BYTES,
            "record_bytes": MAX_ENVELOPE_BYTES,
            "window_seconds": node.settings.exchange.request_window_seconds,
        },
    }


@router.post("/exchange/v1/pull")
def pull(node: NodeOf, body: Body) -> Response:
    """Answer with what follows the reader's cursor: `{"cursor": n, "limit"?: m}`."""

    def serve(session: Session, hub_id: str, opened: SignedRequest) -> Page:
        check_schema("pull.v1", opened.body)
        limit = opened.body.get("limit", MAX_ITEMS)
        return read_page(session, node, opened.member, hub_id, opened.body["cursor"], limit)

    here, opened, _, page = _open(node, body, "pull", serve)
    return _answer(here, opened, page, _held(here, opened))


@router.post("/exchange/v1/missing")
def missing(node: NodeOf, body: Body) -> Response:
    """Answer with named records of one stream: `{"origin", "stream", "first", "last"}`."""

    def serve(session: Session, hub_id: str, opened: SignedRequest) -> Page:
        check_schema("missing.v1", opened.body)
        return read_missing(session, node, opened.member, hub_id, opened.body)

    here, opened, _, page = _open(node, body, "missing", serve)
    return _answer(here, opened, page)


@router.post("/exchange/v1/push")
def push(node: NodeOf, handlers: HandlersOf, body: Body) -> Response:
    """Take in what is enclosed, each for itself; answer one result each, with our receipts enclosed."""
    here, opened, enclosed, _ = _open(node, body, "push")
    check_schema("push.v1", opened.body)
    if len(enclosed) != len(opened.body["records"]):
        raise TrustError("enclosed-mismatch", "所附条目与清单不符。", "What is enclosed is not what was signed for.")
    with node.database.read() as session:
        check_room(session, here, opened.member.federation, opened.member.id)
    results, receipts = [], []
    for record_id, envelope in zip(opened.body["records"], enclosed, strict=True):
        with node.database.write() as session:
            outcome = receive(session, here, envelope, handlers, via=PUSH, by=opened.member.id)
            receipt = session.get(Receipt, outcome.record_id)
        results.append(_result(record_id, outcome, receipt))
        if receipt is not None:
            receipts.append((receipt.id, receipt.envelope))
    return _answer(here, opened, Page(receipts, 0, more=False), {"results": results})


@router.post("/exchange/v1/ping")
def ping(node: NodeOf, body: Body) -> Response:
    """Answer a signed request with a signed answer: both keys, both clocks and the way are well."""
    here, opened, _, page = _open(node, body, "ping")
    note_versions(here, opened.member, opened.body)
    told = recovering.tell(here, opened.member.id, opened.member.federation, opened.body)
    state_heads(here)
    return _answer(here, opened, page, {"time": format_time(here.clock())} | _held(here, opened) | told)


@router.post("/exchange/v1/relay")
async def relay(node: NodeOf, body: Body) -> Response:
    """Keep a parcel for another college, or hand over what lies here for the caller, waiting for it if wished."""
    here, opened, enclosed, _ = await BELL.in_thread(_open, node, body, "relay")
    page, told = await serve_relay(here, opened, enclosed)
    return await BELL.in_thread(_answer, here, opened, page, told)


@router.post("/exchange/v1/catalogue")
def catalogue(node: NodeOf, body: Body) -> Response:
    """Answer with what of the catalogue this caller may read: `{"catalogue", "indicators": [{"code", "level"}]}`."""
    here, opened, _, page = _open(node, body, "catalogue")
    with node.database.read() as session:
        offered = list_offered(session, opened.member)
    return _answer(here, opened, page, offered)


@router.post("/exchange/v1/heads")
def heads(node: NodeOf, handlers: HandlersOf, body: Body) -> Response:
    """Take in the caller's head statements and proofs, answer with ours after its cursor: `{"cursor": n}`."""
    here, opened, enclosed, _ = _open(node, body, "heads")
    return _answer(here, opened, serve_heads(here, opened, enclosed, handlers))


@router.post("/exchange/v1/witness")
def witness(node: NodeOf, body: Body) -> Response:
    """Cosign the enclosed checkpoint where it goes on from the one we hold; ask the caller to cosign in turn."""
    here, opened, enclosed, _ = _open(node, body, "witness")
    page, told = serve_witness(here, opened, enclosed)
    return _answer(here, opened, page, told)


@router.get("/exchange/v1/log/checkpoint")
def checkpoint(node: NodeOf, federation: str = "") -> Response:
    """Answer our last checkpoint and who cosigned it, as one page: it names sizes and hashes, nothing else."""
    return Response(join_page(last_checkpoint(node.within(federation))), media_type="application/json")


@router.post("/exchange/v1/log/proof")
def proof(node: NodeOf, body: Body) -> Response:
    """Answer where a record is in our log, to those who may read it: path, salt, checkpoint, cosignatures."""
    here, opened, _, _ = _open(node, body, "log/proof")
    page, told = serve_proof(here, opened)
    return _answer(here, opened, page, told)


Serve = Callable[[Session, str, SignedRequest], Page]
_TELLING = {"key-unknown": 0, "audience-mismatch": 1}  # what says least of why one list did not do


def _open(
    node: Node, body: bytes, op: str, serve: Serve = lambda *_: EMPTY_PAGE
) -> tuple[Node, SignedRequest, list[bytes], Page]:
    """Open the signed request, read what it asks for, and use its nonce up before anything is sent.

    The node that is returned speaks in the federation that the request names: all else is looked up in that alone.
    """
    parts = split_page(body)
    if len(parts) > MAX_ITEMS + 1:
        raise TrustError("page-shape", "附件过多。", f"More than {MAX_ITEMS} records are enclosed.")
    with node.database.read() as session:
        federation, opened = _open_in_its_federation(session, node, parts[0])
        if opened.op != op:
            raise TrustError("op-mismatch", "请求与地址不符。", "The request is for another endpoint.")
        page = serve(session, federation.hub_id, opened)
    use_nonce(node, opened, node.settings.exchange.request_window_seconds)
    if op != "push":
        count_event(node.database, node.clock(), account_id=opened.member.id, action="read.serve", subject=op)
    return node.within(federation.id), opened, parts[1:], page


def _open_in_its_federation(session: Session, node: Node, data: bytes) -> tuple[Home, SignedRequest]:
    """Open a request by the member list of the federation it names; raise TrustError.

    Its payload is not believed before its signature held, and the key is looked up in one list at a time: the list in
    which all holds is the one it names. A refusal tells a member of one federation nothing of another: that it is not
    listed there and that we are not in there are the same `audience-mismatch`.
    """
    refusals = []
    for home in list_homes(session):
        try:
            return home, open_request(
                data,
                find_member=partial(find_member, session, node, home),
                audience=node.node_id,
                federation=home.id,
                now=node.clock(),
                window_seconds=node.settings.exchange.request_window_seconds,
            )
        except TrustError as error:
            refusals.append(error)
    raise max(refusals, key=lambda error: _TELLING.get(error.code, len(_TELLING)))


def _held(node: Node, opened: SignedRequest) -> dict[str, Any]:
    """Say which versions of the member list we hold: by these a hub that withholds a change is found out.

    And how far we have stated heads.
    """
    with node.database.read() as session:
        versions = versions_of(session, opened.member.federation)
        stated = tell_stated(session, opened.member.federation)
    return stated | ({"membership": versions} if versions else {})


def _result(record_id: str, outcome: Outcome, receipt: Receipt | None) -> dict[str, Any]:
    verdict = outcome.verdict
    if verdict is Verdict.DUPLICATE and receipt is not None:  # a repetition is told what was decided the first time
        verdict = Verdict(receipt.verdict)
    return {"id": record_id, "verdict": str(verdict), "code": outcome.code, "have": outcome.have}


def _answer(node: Node, opened: SignedRequest, page: Page, body: dict[str, Any] | None = None) -> Response:
    data = build_answer(
        node.signer,
        op=opened.op,
        origin=node.node_id,
        audience=opened.member.id,
        federation=opened.member.federation,
        request_id=opened.id,
        enclosed=page.enclosed,
        cursor=page.cursor,
        more=page.more,
        body=body,
        at=node.clock(),
    )
    return Response(data, media_type="application/json")
