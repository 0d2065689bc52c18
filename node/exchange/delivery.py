"""Our records on their way to a peer: outbox batches out, signed receipts in.

A record counts as delivered when the receiver's receipt, verified, lies beside it: an answer alone is no proof. What
is refused stays visible; what waits is sent again next time. Nothing is ever dropped for being old.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from federation.acceptance import read_receipt_payload
from federation.client import Link
from federation.envelope import check_signed_by
from federation.errors import TrustError
from federation.request import Answer
from node.context import Node
from node.prepared import Prepared
from node.stream.models import OutboxItem, StoredRecord
from node.stream.outbox import DELIVERED, REFUSED, WAITING

MAX_RECORDS = 50
MAX_BYTES = 1_048_576
TEMPORARY = frozenset({"waiting-room-full"})  # refusals that will pass
_ANY = Prepared(
    core_select(col(OutboxItem.id))
    .where(col(OutboxItem.peer_id) == bindparam("peer"), col(OutboxItem.state) == WAITING)
    .limit(1)
)


@dataclass
class Tally:
    """Records that ended in this push."""

    delivered: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Parcel:
    item_id: int
    record_id: str
    position: int
    envelope: bytes


@dataclass(frozen=True)
class _Receipt:
    verdict: str
    code: str
    envelope: bytes


def push_outbox(node: Node, link: Link, *, go_on: Callable[[], None]) -> Tally:
    """Push what waits for this peer, batch by batch; `go_on` is called before each and may raise.

    Where the peer lost what it had receipted (it says how far it holds a stream), that is sent again, once.
    """
    tally = Tally()
    position, wound_back = 0, set[str]()
    while True:
        with node.database.read() as session:
            batch = _load_batch(session, link, position)
        if not batch:
            return tally
        go_on()
        ids = [parcel.record_id for parcel in batch]
        answer = link.ask("push", {"records": ids}, [parcel.envelope for parcel in batch], at=node.clock())
        results = _read_results(answer, ids)
        receipts = _read_receipts(answer, link)
        position = batch[-1].position
        with node.database.write() as session:
            for parcel in batch:
                _settle(session, parcel, results[parcel.record_id], receipts.get(parcel.record_id), node.clock(), tally)
            if _wind_back(session, link, results, wound_back):
                position = 0


def any_waits_for(session: Session, peer_id: str) -> bool:
    """Tell whether anything of ours waits for this peer: mostly nothing does."""
    return bool(_ANY.all(session.connection(), {"peer": peer_id}))


def _load_batch(session: Session, link: Link, after: int) -> list[_Parcel]:
    """Return the next records in the order of our log: at most 50 and 1 MiB, but at least one."""
    if not any_waits_for(session, link.provider.id):
        return []
    waiting = (
        (col(OutboxItem.peer_id) == link.provider.id)
        & (col(OutboxItem.state) == WAITING)
        & (col(StoredRecord.federation) == link.provider.federation)
        & (col(StoredRecord.position) > after)
    )
    rows = session.exec(
        select(OutboxItem.id, StoredRecord.position, func.length(StoredRecord.envelope))
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where(waiting)
        .order_by(col(StoredRecord.position))
        .limit(MAX_RECORDS)
    ).all()
    total = 0
    chosen: list[int | None] = []
    for item_id, _, size in rows:
        if chosen and total + size > MAX_BYTES:
            break
        total += size
        chosen.append(item_id)
    loaded = session.exec(
        select(OutboxItem.id, StoredRecord.id, StoredRecord.position, StoredRecord.envelope)
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where(col(OutboxItem.id).in_(chosen))
        .order_by(col(StoredRecord.position))
    ).all()
    return [_Parcel(item_id or 0, identity, position, data) for item_id, identity, position, data in loaded]


def _read_results(answer: Answer, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return the result of each record we sent; raise TrustError where they are not these."""
    results = answer.body.get("results")
    sound = isinstance(results, list) and all(
        isinstance(item, dict)
        and isinstance(item.get("verdict"), str)
        and isinstance(item.get("code"), str)
        and type(item.get("have")) is int
        for item in results
    )
    if not sound or [item.get("id") for item in results or ()] != ids:
        raise TrustError("answer-mismatch", "应答与推送的条目不符。", "The answer is not about what was pushed.")
    return {item["id"]: item for item in results or ()}


def _read_receipts(answer: Answer, link: Link) -> dict[str, _Receipt]:
    """Return the verified receipts by record id; raise TrustError where one does not hold."""
    receipts = {}
    for envelope in answer.enclosed:
        check_signed_by(envelope, link.provider.keys)
        payload = read_receipt_payload(envelope)
        if payload["issuer"] != link.provider.id or payload["federation"] != link.provider.federation:
            raise TrustError("origin-mismatch", "回执冒用他人名义。", "The receipt is in another node's name.")
        receipts[payload["record"]["id"]] = _Receipt(payload["verdict"], payload["code"], envelope.raw)
    return receipts


def _settle(
    session: Session,
    parcel: _Parcel,
    result: Mapping[str, Any],
    receipt: _Receipt | None,
    at: datetime,
    tally: Tally,
) -> None:
    item = session.get_one(OutboxItem, parcel.item_id)
    if receipt is not None:
        item.state, item.verdict, item.code, item.receipt = DELIVERED, receipt.verdict, receipt.code, receipt.envelope
        tally.delivered += 1
    else:
        item.verdict, item.code = result["verdict"][:20], result["code"][:60]
        if result["verdict"] == "refused" and result["code"] not in TEMPORARY:
            item.state = REFUSED
            tally.refused += 1
    item.updated_at = at
    session.add(item)


def _wind_back(session: Session, link: Link, results: Mapping[str, Mapping[str, Any]], wound_back: set[str]) -> bool:
    """Let wait again what the peer receipted once and no longer holds (a restored hub); tell whether there was any."""
    moved = False
    for record_id, result in results.items():
        if (result["verdict"], result["code"]) != ("waiting", "sequence-gap"):
            continue
        record = session.get_one(StoredRecord, record_id)
        if record.stream in wound_back:
            continue
        wound_back.add(record.stream)
        lost = session.exec(
            select(OutboxItem)
            .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
            .where(
                OutboxItem.peer_id == link.provider.id,
                OutboxItem.state == DELIVERED,
                StoredRecord.federation == record.federation,
                StoredRecord.stream == record.stream,
                col(StoredRecord.sequence) > result["have"],
                col(StoredRecord.sequence) < record.sequence,
            )
        ).all()
        for item in lost:
            item.state = WAITING
            session.add(item)
        moved = moved or bool(lost)
    return moved
