"""What a person wants to know of the exchange: when it last worked, how old is what is shown, what comes next.

Reads only. Codes stay codes for programs; `explain` says them in both languages.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, true
from sqlmodel import Session, col, select

from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange.explain import explain
from node.exchange.listing import list_standing
from node.exchange.routes import STICK, list_called, route_to
from node.stream.leases import find_lease
from node.stream.models import (
    Federation,
    OutboxItem,
    Peer,
    PeerRead,
    RefusedDocument,
    StoredRecord,
    WaitingDocument,
)
from node.stream.outbox import WAITING, list_undelivered, retry_items
from node.stream.parents import job_of, list_meant
from node.stream.peers import list_peers
from node.stream.recovery import awaited_readers
from node.stream.service import (
    ABANDONED,
    CARRIED,
    CURRENT,
    EQUIVOCAL,
    PLACEHOLDER,
    QUARANTINED,
    SEALED,
    find_federation,
    read_content,
)

SYNC_JOB = "job:sync"
SHOWN = 200
UNDELIVERED_AFTER = timedelta(days=14)


@dataclass(frozen=True)
class QuarantineItem:
    """One document that does not count. `id` is a record id where it can be tried again, else a digest."""

    id: str
    state: str  # quarantined, placeholder, equivocal, sealed, abandoned, waiting, refused
    code: str
    origin: str
    kind: str
    subject: str
    at: datetime
    count: int = 1
    may_retry: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts, with the explanation in both languages."""
        text = explain(self.code)
        return {**vars(self), "explanation": text.en, "explanation_zh": text.zh}


def sync_status(node: Node, actor: Actor) -> dict[str, Any]:
    """Return the state of the exchange as JSON values; times are aware datetimes, or None where it never happened."""
    check_permission(actor, "sync.read")
    now = node.clock()
    with node.database.read() as session:
        federation = find_federation(session, node)
        job = find_lease(session, job_of(session, node, SYNC_JOB))
        peers = _peers(session, node, federation, now) if federation else []
        called = [peer["last_success_at"] for peer in peers if peer["called"]]
        last = max((at for at in called if at is not None), default=None)
        return {
            "node": node.node_id,
            "federation": {"id": federation.id, "name": federation.name} if federation else None,
            "hub": bool(federation and federation.hub_id == node.node_id),
            "list": list_standing(session, node.node_id, federation, now) if federation else None,
            "recovering": _recovering(session, node, federation) if federation else {},
            "last_success_at": last,
            "shown_age_seconds": _age(last, now),
            "next_run_at": job.due_at if job and node.settings.sync.enabled else None,
            "last_run_at": job.started_at if job else None,
            "last_run_error": job.error if job else "",
            "peers": peers,
            "outbox": _outbox_counts(session, node),
            "deliveries": _deliveries(session, node),
            "reviews": _reviews(session, node),
            "quarantined": _count(session, StoredRecord, StoredRecord.state != CURRENT, _meant(node, StoredRecord)),
            "waiting": _count(session, WaitingDocument, _meant(node, WaitingDocument)),
            "refused": _count(session, RefusedDocument),
        }


def _recovering(session: Session, node: Node, federation: Federation) -> dict[str, list[str]]:
    """Return by own stream who has to answer before a restored node signs in it."""
    return {stream: sorted(readers) for stream, readers in awaited_readers(session, node, federation).items()}


def _meant(node: Node, table: type[StoredRecord | WaitingDocument]) -> ColumnElement[bool]:
    """Return what is of the federation in which `node` speaks; everything where nobody said which."""
    return col(table.federation) == node.federation if node.federation else true()


def list_quarantine(node: Node, actor: Actor, *, limit: int = SHOWN) -> list[QuarantineItem]:
    """Return what was received and does not count, newest first."""
    check_permission(actor, "quarantine.read")
    with node.database.read() as session:
        records = session.exec(
            select(StoredRecord)
            .where(col(StoredRecord.state).in_((QUARANTINED, PLACEHOLDER, EQUIVOCAL, SEALED, ABANDONED)))
            .where(StoredRecord.code != CARRIED, _meant(node, StoredRecord))
            .order_by(col(StoredRecord.position).desc())
            .limit(limit)
        ).all()
        waiting = session.exec(
            select(WaitingDocument)
            .where(_meant(node, WaitingDocument))
            .order_by(col(WaitingDocument.since_at).desc())
            .limit(limit)
        ).all()
        refused = session.exec(select(RefusedDocument).order_by(col(RefusedDocument.last_at).desc()).limit(limit)).all()
    items = [
        QuarantineItem(
            row.id, row.state, row.code, row.origin, row.kind, row.subject, row.stored_at,
            may_retry=row.state in {QUARANTINED, SEALED},
        )
        for row in records
    ]  # fmt: skip
    items += [QuarantineItem(row.id, "waiting", row.code, row.origin, "", "", row.since_at) for row in waiting]
    items += [QuarantineItem(row.digest, "refused", row.code, "", "", "", row.last_at, row.count) for row in refused]
    return sorted(items, key=lambda item: item.at, reverse=True)[:limit]


def list_outbox(node: Node, actor: Actor) -> list[dict[str, Any]]:
    """Return the dead letters: what a peer refused, and what waits for two weeks and more, with the reason in words."""
    check_permission(actor, "sync.read")
    with node.database.read() as session:
        late = list_undelivered(session, node.clock() - UNDELIVERED_AFTER)
        meant = {federation.id: federation for federation in list_meant(session, node)}
        rows = [row for row in late if row[1].federation in meant or not node.federation]
        peers = {(one, peer.id): peer for one in meant for peer in list_peers(session, one)}
        ways = {place: route_to(node, meant[place[0]], peer) for place, peer in peers.items()}
    places = [(record.federation, item.peer_id) for item, record in rows]
    return [
        _dead_letter(item, record, peers.get(place), ways.get(place, STICK))
        for (item, record), place in zip(rows, places, strict=True)
    ]


def retry_outbox(node: Node, actor: Actor, item_ids: list[int]) -> int:
    """Let refused or late items go again, and knock at once; return how many. Raise NotPermitted, Conflict."""
    check_permission(actor, "sync.run")
    at = node.clock()
    with node.database.write() as session:
        peers = retry_items(session, item_ids, at)
        for peer in session.exec(select(Peer).where(col(Peer.id).in_(peers))).all():
            peer.next_try_at = None
            session.add(peer)
        write_audit(session, account_id=actor.account_id, action="outbox.retry", subject=str(len(peers)), at=at)
    return len(peers)


def _dead_letter(item: OutboxItem, record: StoredRecord, peer: Peer | None, way: str) -> dict[str, Any]:
    code = item.code or (peer.last_error if peer else "") or f"undelivered-{way}"
    text = explain(code)
    return {
        "item": item.id,
        "record": record.id,
        "kind": record.kind,
        "subject": record.subject,
        "peer": item.peer_id,
        "peer_name": peer.name if peer else "",
        "state": item.state,
        "code": code,
        "since_at": record.stored_at,
        "way": way,
        "explanation": text.en,
        "explanation_zh": text.zh,
    }


def list_members(node: Node, actor: Actor) -> list[dict[str, Any]]:
    """Return the peers of this node's federation as JSON values."""
    check_permission(actor, "sync.read")
    with node.database.read() as session:
        federation = find_federation(session, node)
        return _peers(session, node, federation, node.clock()) if federation else []


def _peers(session: Session, node: Node, federation: Federation, now: datetime) -> list[dict[str, Any]]:
    called = {peer.id for peer in list_called(session, node, federation)}
    reads = {
        read.peer_id: read.last_at
        for read in session.exec(select(PeerRead).where(PeerRead.federation == federation.id)).all()
    }
    newest: dict[str, datetime] = dict(
        session.exec(
            select(StoredRecord.origin, func.max(StoredRecord.stored_at))
            .where(StoredRecord.federation == federation.id)
            .group_by(StoredRecord.origin)
        ).all()
    )
    return [
        _peer(peer, now, called=peer.id in called, read_at=reads.get(peer.id), record_at=newest.get(peer.id))
        for peer in list_peers(session, federation.id)
    ]


def _peer(
    peer: Peer, now: datetime, *, called: bool, read_at: datetime | None, record_at: datetime | None
) -> dict[str, Any]:
    contacts = [at for at in (peer.last_success_at, read_at) if at is not None]
    return {
        "id": peer.id,
        "federation": peer.federation,
        "name": peer.name,
        "code": peer.code,
        "is_hub": peer.is_hub,
        "status": peer.status,
        "url": peer.url,
        "transport": peer.transport,
        "keyid": peer.keyid,
        "called": called,
        "last_success_at": peer.last_success_at,
        "last_contact_at": max(contacts, default=None),
        "last_record_at": record_at,
        "age_seconds": _age(max(contacts, default=None), now),
        "failures": peer.failures,
        "next_try_at": peer.next_try_at,
        "last_error": peer.last_error,
        "skew_seconds": peer.skew_seconds,
        "cursor": peer.cursor,
    }


def _age(at: datetime | None, now: datetime) -> int | None:
    return None if at is None else max(0, round((now - at).total_seconds()))


def _outbox_counts(session: Session, node: Node) -> dict[str, int]:
    found = select(OutboxItem.state, func.count()).group_by(OutboxItem.state)
    if node.federation:
        found = found.join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        found = found.where(StoredRecord.federation == node.federation)
    rows = session.exec(found).all()
    return {"waiting": 0, "delivered": 0, "refused": 0, **dict(rows)}


def _deliveries(session: Session, node: Node) -> list[dict[str, Any]]:
    """Return our records on their way: what waits first, then the newest."""
    rows = session.exec(
        select(OutboxItem, StoredRecord)
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where(_meant(node, StoredRecord))
        .order_by((col(OutboxItem.state) == WAITING).desc(), col(StoredRecord.position).desc())
        .limit(SHOWN)
    ).all()
    return [
        {
            "record": record.id,
            "kind": record.kind,
            "subject": record.subject,
            "revision": record.revision,
            "peer": item.peer_id,
            "state": item.state,
            "verdict": item.verdict,
            "code": item.code,
            "receipt": bool(item.receipt),
            "at": item.updated_at,
        }
        for item, record in rows
    ]


def _reviews(session: Session, node: Node) -> list[dict[str, Any]]:
    """Return what the hub last said of each of our records, newest first: accepted, or returned with a note."""
    rows = session.exec(
        select(StoredRecord)
        .where(StoredRecord.kind == "review", StoredRecord.stream == f"node:{node.node_id}")
        .where(StoredRecord.state == CURRENT, _meant(node, StoredRecord))
        .order_by(col(StoredRecord.position).desc())
        .limit(SHOWN)
    ).all()
    last = {row.subject: row for row in sorted(rows, key=lambda row: row.revision)}
    return [_review(session, row) for row in rows if last[row.subject] is row]


def _review(session: Session, row: StoredRecord) -> dict[str, Any]:
    content = read_content(row)
    reviewed = session.get(StoredRecord, str(content.get("record", "")))
    return {
        "id": row.id,
        "record": content.get("record", ""),
        "subject": reviewed.subject if reviewed else "",
        "revision": reviewed.revision if reviewed else 0,
        "verdict": content.get("verdict", ""),
        "note": content.get("note", ""),
        "at": row.issued_at,
    }


def _count(session: Session, table: Any, *where: Any) -> int:
    return int(session.exec(select(func.count()).select_from(table).where(*where)).one())
