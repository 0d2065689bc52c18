"""Parcels that came in: each item believed for itself, then what the manifest says of its origin.

Repeatable: what was taken before is a duplicate. The order of parcels does not matter; one that comes too early leaves
its records waiting, and the next manifest of ours asks for what is missing. No transaction holds more than a page.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from federation.acceptance import Outcome, Verdict, open_receipt, read_receipt_payload
from federation.envelope import CHECKPOINT_TYPE, COSIGNATURE_TYPE, HEADS_TYPE, RECEIPT_TYPE, Envelope, check_signature
from federation.errors import TrustError
from federation.parcel import EVERYBODY, Parcel, RawParcel, check_parcel, peek_audience
from federation.request import signing_member
from node.context import Node
from node.exchange import mailbox
from node.exchange.delivery import TEMPORARY
from node.exchange.heads import take_statement
from node.exchange.inbox import Handlers, receive
from node.exchange.parcels import parcels_state
from node.exchange.vouching import take_vouched
from node.stream import recovery
from node.stream.marks import Head
from node.stream.memberlist import find_state, note_seen
from node.stream.models import Federation, OutboxItem, PeerRead, StoredRecord
from node.stream.outbox import WAITING, refuse_item, settle_item
from node.stream.parents import list_meant
from node.stream.peers import find_peer
from node.stream.service import find_member, get_federation

PAGE = 50
_OF_LOGS = frozenset({CHECKPOINT_TYPE, COSIGNATURE_TYPE})
MAX_TOLD = 100  # refusals in one manifest
UNTOLD = frozenset({*TEMPORARY, "signature-invalid"})  # may go well next time: whoever carries it can spoil a signature


@dataclass
class Taken:
    """What came of a parcel: records by verdict, receipts that settled something, further statements, what failed."""

    records: Counter[str] = field(default_factory=Counter)
    receipts: int = 0
    statements: int = 0
    passed_on: int = 0  # parcels for others, laid into the mailbox
    codes: Counter[str] = field(default_factory=Counter)  # of what was refused or waits

    def add(self, other: "Taken") -> None:
        """Add up."""
        self.records += other.records
        self.codes += other.codes
        self.receipts += other.receipts
        self.statements += other.statements
        self.passed_on += other.passed_on

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return vars(self) | {"records": dict(self.records), "codes": dict(self.codes)}


def open_parcel(node: Node, raw: RawParcel) -> Parcel:
    """Verify the manifest by the member list of the federation it names; raise TrustError.

    Whether it is for us is the caller's to see.
    """
    with node.database.read() as session:
        federation = federation_of(session, node, raw)
        return check_parcel(raw, lambda keyid: find_member(session, node, federation, keyid), federation.id)


def federation_of(session: Session, node: Node, raw: RawParcel) -> Federation:
    """Return by which federation's list a parcel is to be read; raise TrustError where we are not in it."""
    meant = list_meant(session, node)
    if len(meant) < 2:  # nothing to choose: its claim is looked at when its signature held
        return get_federation(session, node)
    named = peek_audience(raw)["audience"]["federation"]
    for federation in meant:
        if federation.id == named:
            return federation
    raise TrustError("audience-mismatch", "包裹属于另一个联合体。", "The parcel is of another federation.")


def is_ours(node: Node, parcel: Parcel) -> bool:
    """Tell whether a parcel is for this node, and not by itself."""
    return parcel.audience in {node.node_id, EVERYBODY}


def take_parcel(node: Node, parcel: Parcel, handlers: Handlers, *, via: str) -> Taken:
    """Take in what a verified parcel encloses, page by page, and then what it says; raise StorageError only."""
    if not is_ours(node, parcel):
        raise TrustError("audience-mismatch", "包裹不是给本节点的。", "The parcel is for another node.")
    taken = Taken()
    for start in range(0, len(parcel.items), PAGE):
        with node.database.write() as session:
            for envelope in parcel.items[start : start + PAGE]:
                if envelope.payload_type in _OF_LOGS:
                    continue
                outcome = _take_item(session, node, envelope, handlers, via, taken, by=parcel.origin)
                if outcome is not None:
                    _note_refusal(session, parcel, envelope, outcome)
    with node.database.write() as session:
        _note_says(session, node, parcel)
        of_logs = [item for item in parcel.items if item.payload_type in _OF_LOGS]
        if of_logs or parcel.says.witness:
            federation = get_federation(session, node)
            codes = take_vouched(session, node, federation, parcel.origin, of_logs, parcel.says.witness)
            taken.codes += Counter(codes)
    return taken


def _take_item(
    session: Session, node: Node, envelope: Envelope, handlers: Handlers, via: str, taken: Taken, *, by: str
) -> Outcome | None:
    """Take one item in; return what came of a record."""
    if envelope.payload_type == HEADS_TYPE:
        code = take_statement(session, node, envelope.raw, handlers, by=by)
        taken.statements += not code
        taken.codes += Counter([code] if code else [])
        return None
    try:
        if envelope.payload_type == RECEIPT_TYPE and _settle(session, node, envelope):
            taken.receipts += 1
            return None
    except TrustError as error:
        taken.codes[error.code] += 1
        return None
    outcome = receive(session, node, envelope.raw, handlers, via=via, by=by)
    taken.records[str(outcome.verdict)] += 1
    if outcome.code:
        taken.codes[outcome.code] += 1
    return outcome


def _note_refusal(session: Session, parcel: Parcel, envelope: Envelope, outcome: Outcome) -> None:
    """Remember what to tell a sender of its own record that was refused without a receipt, as a push would answer."""
    if parcel.audience == EVERYBODY:
        return
    state = parcels_state(session, parcel.federation, parcel.origin)
    refused: dict[str, str] = json.loads(state.refused)
    if outcome.verdict == Verdict.REFUSED and outcome.code not in UNTOLD:
        refused[envelope.id] = outcome.code
    elif refused.pop(envelope.id, None) is None:
        return
    state.refused = json.dumps(dict(list(refused.items())[-MAX_TOLD:]))
    session.add(state)
    session.flush()


def _take_refusals(session: Session, node: Node, parcel: Parcel) -> None:
    """Make dead letters of what the peer says it refused: its word, of what was for it alone to take."""
    for identity, code in (parcel.says.refused or {}).items():
        item = session.exec(
            select(OutboxItem)
            .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
            .where(OutboxItem.record_id == identity, OutboxItem.peer_id == parcel.origin)
            .where(OutboxItem.state == WAITING, StoredRecord.federation == parcel.federation)
        ).first()
        if item is not None:
            refuse_item(item, code, node.clock())
            session.add(item)


def _settle(session: Session, node: Node, envelope: Envelope) -> bool:
    """Keep a receipt on a record of ours; tell whether it is on one. Raise TrustError where it does not hold."""
    federation = get_federation(session, node)
    issuer = signing_member(envelope, lambda keyid: find_member(session, node, federation, keyid))
    check_signature(envelope, issuer.key)
    record = session.get(StoredRecord, read_receipt_payload(envelope)["record"]["id"])
    if record is None or (record.origin, record.federation) != (node.node_id, federation.id):
        return False
    receipt = open_receipt(envelope, issuer)
    item = session.exec(
        select(OutboxItem).where(OutboxItem.record_id == receipt.record_id, OutboxItem.peer_id == issuer.id)
    ).first()
    if item is not None and item.receipt != envelope.raw:
        settle_item(item, receipt.verdict, receipt.code, envelope.raw, node.clock())
        session.add(item)
    return True


def _note_says(session: Session, node: Node, parcel: Parcel) -> None:
    """Note what the origin says of itself, unless a newer manifest did; move our cursor where nothing lies between."""
    peer = find_peer(session, parcel.federation, parcel.origin)
    if peer is None or parcel.audience == EVERYBODY:
        return
    says = parcel.says
    if says.log_first <= peer.cursor < says.log_last:
        peer.cursor = says.log_last
    session.add(peer)
    listed = find_state(session, parcel.federation)
    if listed is not None:
        note_seen(listed, says.membership or {}, parcel.origin, node.clock())
        session.add(listed)
    state = parcels_state(session, parcel.federation, parcel.origin)
    held = {stream: Head(*place) for stream, place in (says.held or {}).items()}
    if says.held is not None:
        recovery.take_word(session, node, get_federation(session, node), parcel.origin, held, says.taken)
    if parcel.number <= state.number_in:
        return
    state.number_in, state.imported_at = parcel.number, node.clock()
    said_at = min(parcel.issued_at, node.clock())  # an old stick makes nothing look fresh
    peer.last_success_at = max(said_at, peer.last_success_at or said_at)
    state.receipts_sent = "{}"  # what it still lacks by its own word was lost in the mailbox, or goes twice
    state.receipted = json.dumps(dict(says.receipted or {}))
    state.misses = json.dumps([vars(item) for item in says.misses])
    state.membership = json.dumps(dict(says.membership or {}))
    state.held = json.dumps({stream: head.sequence for stream, head in held.items()})
    state.lost = "" if says.lost is None else json.dumps(dict(says.lost))
    session.add(state)
    _take_refusals(session, node, parcel)
    if get_federation(session, node).hub_id == node.node_id:
        _note_cursor(session, parcel, node)
        mailbox.settle(session, parcel.federation, parcel.origin, says.settled)


def _note_cursor(session: Session, parcel: Parcel, node: Node) -> None:
    """At the hub: the member has our log up to its cursor, as if it had pulled."""
    read = session.get(PeerRead, (parcel.federation, parcel.origin)) or PeerRead(
        federation=parcel.federation, peer_id=parcel.origin, last_at=node.clock()
    )
    read.cursor, read.last_at = parcel.says.cursor, node.clock()
    session.add(read)
