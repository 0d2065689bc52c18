"""Receipts: our signed statement on a record that came to us. The same record gets the same receipt, byte for byte.

The receipt of a quarantined record also stands in its place when a hub serves the stream on.
"""

from datetime import datetime

from sqlmodel import Session

from federation.documents import dump_document, format_time
from federation.envelope import RECEIPT_TYPE, read_envelope, sign
from federation.grants import NO_GRANT
from node.context import Node
from node.stream.models import Receipt, StoredRecord
from node.stream.service import CARRIED, CURRENT

ACCEPTED, QUARANTINED = "accepted", "quarantined"


def issue_receipt(session: Session, node: Node, stored: StoredRecord, at: datetime) -> Receipt:
    """Return the receipt on `stored`: the one given before while its verdict stands, else a new one."""
    verdict = ACCEPTED if stored.state == CURRENT or stored.code == CARRIED else QUARANTINED
    existing = session.get(Receipt, stored.id)
    same = existing is not None and (existing.verdict, existing.code) == (verdict, stored.code)
    if existing is not None and same and is_present(node, existing.envelope):
        return existing
    envelope = _build(node, stored, verdict, stored.code, at)
    receipt = existing or Receipt(record_id=stored.id, id="", verdict="", envelope=b"", issued_at=at)
    receipt.id, receipt.envelope = read_envelope(envelope).id, envelope
    receipt.verdict, receipt.code, receipt.issued_at = verdict, stored.code, at
    session.add(receipt)
    session.flush()
    return receipt


def is_present(node: Node, receipt: bytes) -> bool:
    """Tell whether a receipt is of our present key: of an older one nobody takes it any more."""
    return node.signer.public_key.keyid in read_envelope(receipt).keyids


def sign_again(node: Node, stored: StoredRecord, receipt: Receipt) -> tuple[str, bytes]:
    """Return (id, envelope) of a receipt of ours signed by our present key, its words and time unchanged."""
    envelope = _build(node, stored, receipt.verdict, receipt.code, receipt.issued_at)
    return read_envelope(envelope).id, envelope


def build_stand_in(session: Session, node: Node, record_id: str) -> tuple[str, bytes]:
    """Return (id, envelope) of our refusal to hand a record to a reader who has no grant: the same for each of them.

    It is not kept: the record stands here as it is. Its time is that of the record's arrival.
    """
    stored = session.get_one(StoredRecord, record_id)
    envelope = _build(node, stored, QUARANTINED, NO_GRANT, stored.stored_at)
    return read_envelope(envelope).id, envelope


def _build(node: Node, stored: StoredRecord, verdict: str, code: str, at: datetime) -> bytes:
    payload = {
        "version": 1,
        "issuer": node.node_id,
        "federation": stored.federation,
        "record": {
            "id": stored.id,
            "origin": stored.origin,
            "stream": stored.stream,
            "sequence": stored.sequence,
        },
        "verdict": verdict,
        "code": code,
        "issued_at": format_time(at),
    }
    return sign(dump_document(payload), RECEIPT_TYPE, node.signer)
