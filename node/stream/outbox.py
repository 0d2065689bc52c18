"""The outbox: one row for each record and each peer that must get it and does not come for it, made with the record.

    waiting ──receipt──> delivered          nothing leaves the outbox by age: what waits too long is shown, with the
       ▲ └───refusal───> refused            reason, and a person lets it try again
       └──────retry─────────┘

A college's records for all, for the hub or for a group go to the hub, which serves them on; what is for one college
goes to that one, over whatever way there is, and sealed as it is also to the hub. The hub's own records are fetched.
A hub that takes over gets everything anew: a repetition costs it nothing, a loss would.
"""

from datetime import datetime

from sqlmodel import Session, col, delete, select

from federation.envelope import SEALED_TYPE, read_envelope
from federation.errors import Conflict
from node.stream.models import Federation, Home, OutboxItem, StoredRecord

WAITING, DELIVERED, REFUSED = "waiting", "delivered", "refused"
NODE_PREFIX = "node:"


def fill_outbox(session: Session, own_id: str, federation: Federation | Home, stored: StoredRecord) -> None:
    """Note who must get a record of our own, in the transaction that keeps it; the same again changes nothing."""
    if federation.hub_id == own_id:
        return
    reader = stored.stream.removeprefix(NODE_PREFIX)
    readers = {reader if reader != stored.stream else federation.hub_id}
    if read_envelope(stored.envelope).payload_type == SEALED_TYPE:
        readers.add(federation.hub_id)  # which passes on what it cannot read
    known = session.exec(select(OutboxItem.peer_id).where(OutboxItem.record_id == stored.id)).all()
    for peer_id in sorted(readers - {own_id, *known}):
        session.add(OutboxItem(record_id=stored.id, peer_id=peer_id, updated_at=stored.stored_at))


def turn_outbox(session: Session, own_id: str, federation: Federation, before: str) -> None:
    """Let all that is ours go to the hub that took over from `before`: nobody knows what the old one has passed on.

    What waited for the old hub waits for the new one; the receipts of the old one stay.
    """
    own = (col(StoredRecord.federation) == federation.id) & (col(StoredRecord.origin) == own_id)
    for stored in session.exec(select(StoredRecord).where(own).order_by(col(StoredRecord.position))):
        fill_outbox(session, own_id, federation, stored)
    ours = select(StoredRecord.id).where(own)
    left = (col(OutboxItem.peer_id) == before) & (col(OutboxItem.state) == WAITING)
    session.execute(delete(OutboxItem).where(left, col(OutboxItem.record_id).in_(ours)))
    session.flush()


def settle_item(item: OutboxItem, verdict: str, code: str, receipt: bytes, at: datetime) -> None:
    """Note the receiver's receipt, whose signature the caller has checked: the record is delivered."""
    item.state, item.verdict, item.code, item.receipt, item.parcel = DELIVERED, verdict, code, receipt, ""
    item.updated_at = at


def refuse_item(item: OutboxItem, code: str, at: datetime) -> None:
    """Note that the receiver refused the record and kept nothing of it: a person looks at it."""
    item.state, item.verdict, item.code, item.parcel, item.updated_at = REFUSED, REFUSED, code, "", at


def list_undelivered(session: Session, before: datetime) -> list[tuple[OutboxItem, StoredRecord]]:
    """Return the dead letters: what a peer refused, and what waits since before `before`; the oldest first."""
    late = (col(OutboxItem.state) == WAITING) & (col(StoredRecord.stored_at) < before)
    rows = session.exec(
        select(OutboxItem, StoredRecord)
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where((col(OutboxItem.state) == REFUSED) | late)
        .order_by(col(StoredRecord.position))
    ).all()
    return [(item, record) for item, record in rows]


def retry_items(session: Session, item_ids: list[int], at: datetime) -> list[str]:
    """Let these wait anew, unless they are delivered; return the peer of each. Raise Conflict for none."""
    rows = session.exec(
        select(OutboxItem).where(col(OutboxItem.id).in_(item_ids), col(OutboxItem.state) != DELIVERED)
    ).all()
    if not rows:
        raise Conflict("outbox-item-unknown", "没有这样的待发条目。", "Nothing of this kind is in the outbox.")
    for item in rows:
        item.state, item.verdict, item.code, item.parcel, item.updated_at = WAITING, "", "", "", at
        session.add(item)
    return [item.peer_id for item in rows]


def waiting_peers(session: Session, federation_id: str) -> set[str]:
    """Return the peers for which anything waits in this federation."""
    found = (
        select(OutboxItem.peer_id)
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where(OutboxItem.state == WAITING, StoredRecord.federation == federation_id)
    )
    return set(session.exec(found.distinct()).all())
