"""The hub's mailbox: parcels that colleges send each other, kept as bytes until the recipient has taken them in.

The hub sees who sends to whom and how much. What is in a parcel is signed, and sealed where its records are; the hub
needs none of it. A sender has a quota in each federation. After three months a parcel's bytes go, and its sender is
told: its records still wait in the sender's own outbox, and are sent again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, delete, select, update

from federation.errors import InputRefused, NetworkError
from federation.parcel import peek_audience, read_parcel
from node.context import Node
from node.exchange.models import MailboxParcel
from node.stream.models import Peer
from node.stream.peers import get_peer
from node.stream.service import get_federation
from node.stream.standing import is_active

KEPT, EXPIRED = "kept", "expired"
KEEP_FOR = timedelta(days=90)
MAX_KEPT, MAX_KEPT_BYTES = 1_000, 33_554_432  # of one sender
MAX_FOR_ONE, MAX_FOR_ONE_BYTES = 500, 16_777_216  # of them for one recipient: who never fetches leaves room for others
RETRY_AFTER_SECONDS = 3_600


class MailboxFull(NetworkError):
    """A sender's parcels fill its share; it tries again later."""

    http_status = 429


def put(session: Session, node: Node, sender: str, recipient: str, parcel_id: str, data: bytes) -> None:
    """Keep a parcel for its recipient; the same again changes nothing. Raise InputRefused, MailboxFull.

    For who is suspended or held nothing is kept.
    """
    federation = get_federation(session, node)
    check_may_get(get_peer(session, federation.id, recipient), node.clock())
    known = session.get(MailboxParcel, parcel_id)
    if known is not None:
        return
    of_sender = _sent_by(federation.id, sender) & (col(MailboxParcel.state) == KEPT)
    for_one = of_sender & (col(MailboxParcel.recipient) == recipient)
    if _fills(session, of_sender, len(data), MAX_KEPT, MAX_KEPT_BYTES) or _fills(
        session, for_one, len(data), MAX_FOR_ONE, MAX_FOR_ONE_BYTES
    ):
        raise MailboxFull(
            "mailbox-full",
            "汇总节点信箱中本节点的包裹已满，对方取走后再送。",
            "This node's share of the hub's mailbox is full; it goes on when others have taken theirs.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
    session.add(
        MailboxParcel(
            id=parcel_id,
            federation=federation.id,
            sender=sender,
            recipient=recipient,
            size_bytes=len(data),
            put_at=node.clock(),
            data=data,
        )
    )
    session.flush()


def check_may_get(peer: Peer, now: datetime) -> None:
    """Raise InputRefused where a peer is suspended or held: nothing is handed to it, over no transport."""
    if not is_active(peer, now):
        raise InputRefused(
            "member-suspended", "该成员已停用，不向其交付。", "This member is suspended; it gets nothing."
        )


def _fills(session: Session, which: ColumnElement[bool], more: int, rows: int, total: int) -> bool:
    used = select(func.count(), func.coalesce(func.sum(MailboxParcel.size_bytes), 0)).where(which)
    count, size = session.exec(used).one()
    return bool(count >= rows or size + more > total)


def take_next(session: Session, federation_id: str, recipient: str, skip: set[str]) -> MailboxParcel | None:
    """Return the oldest parcel for a recipient; it stays until it is acknowledged."""
    statement = select(MailboxParcel).where(
        MailboxParcel.federation == federation_id,
        MailboxParcel.recipient == recipient,
        MailboxParcel.state == KEPT,
        col(MailboxParcel.id).not_in(skip),
    )
    return session.exec(statement.order_by(col(MailboxParcel.put_at), col(MailboxParcel.id)).limit(1)).first()


def acknowledge(session: Session, federation_id: str, recipient: str, parcel_ids: list[str]) -> int:
    """Drop parcels which their recipient has taken in; return how many."""
    mine = (col(MailboxParcel.federation) == federation_id) & (col(MailboxParcel.recipient) == recipient)
    taken = mine & col(MailboxParcel.id).in_(parcel_ids)
    return session.execute(delete(MailboxParcel).where(taken)).rowcount  # type: ignore[attr-defined, no-any-return]


def settle(session: Session, federation_id: str, recipient: str, taken: Mapping[str, int]) -> int:
    """Drop what a recipient took by stick: by sender up to the number of its parcel; return how many."""
    rows = session.exec(
        select(MailboxParcel)
        .where(MailboxParcel.federation == federation_id, MailboxParcel.recipient == recipient)
        .where(MailboxParcel.state == KEPT, col(MailboxParcel.sender).in_(taken))
    ).all()
    gone = [row for row in rows if peek_audience(read_parcel(row.data))["number"] <= taken[row.sender]]
    for row in gone:
        session.delete(row)
    session.flush()
    return len(gone)


def list_kept(session: Session, federation_id: str, recipient: str) -> list[bytes]:
    """Return all parcels for a recipient, to go by stick."""
    rows = session.exec(
        select(MailboxParcel.data)
        .where(MailboxParcel.federation == federation_id, MailboxParcel.recipient == recipient)
        .where(MailboxParcel.state == KEPT)
        .order_by(col(MailboxParcel.put_at), col(MailboxParcel.id))
    )
    return list(rows)


def list_sent(session: Session, federation_id: str, sender: str) -> dict[str, str]:
    """Return id -> state of a sender's parcels; what has expired is forgotten with this telling."""
    found = select(MailboxParcel.id, MailboxParcel.state).where(_sent_by(federation_id, sender))
    return dict(session.exec(found).all())


def forget_expired(session: Session, federation_id: str, sender: str) -> None:
    """Drop the rows of a sender's expired parcels, of which it was told."""
    gone = _sent_by(federation_id, sender) & (col(MailboxParcel.state) == EXPIRED)
    session.execute(delete(MailboxParcel).where(gone))


def _sent_by(federation_id: str, sender: str) -> ColumnElement[bool]:
    """Choose the parcels of a sender in one federation: under the same id another's list may name somebody else."""
    return (col(MailboxParcel.federation) == federation_id) & (col(MailboxParcel.sender) == sender)


def expire(session: Session, now: datetime) -> int:
    """Drop the bytes of what nobody has fetched for three months; return how many."""
    old = (col(MailboxParcel.state) == KEPT) & (col(MailboxParcel.put_at) < now - KEEP_FOR)
    done = session.execute(update(MailboxParcel).where(old).values(state=EXPIRED, data=b"", size_bytes=0))
    return done.rowcount  # type: ignore[attr-defined, no-any-return]
