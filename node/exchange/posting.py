"""A college at the hub's mailbox: takes what others sent, answers with receipts, and puts what waits for others there.

Outbound only, so it works behind a firewall that lets nothing in. An item of the outbox that lies in the mailbox is
left alone while it lies there; when it is gone and no receipt has come for an hour, it goes again.
"""

import json
from datetime import timedelta

from sqlmodel import Session, col, select

from federation.client import Link
from federation.envelope import join_page, split_page
from federation.errors import NetworkError, TrustError
from federation.parcel import read_parcel
from node.context import Node
from node.exchange.inbox import RELAY, Handlers
from node.exchange.models import PeerParcels
from node.exchange.parcels import Size, owes_receipts, pack, parcels_state
from node.exchange.routes import RELAYED, route_to
from node.exchange.unpacking import Taken, open_parcel, take_parcel
from node.stream.models import Federation, OutboxItem, Peer, StoredRecord
from node.stream.outbox import WAITING
from node.stream.peers import find_peer
from node.stream.recovery import RecoveryQuestion, awaited_readers
from node.stream.service import get_federation
from node.stream.standing import is_active

SIZE = Size(items=49, bytes=900_000)  # with its manifest, a parcel fits into one request
MAX_PARCELS = 200  # of one visit
SEND_AGAIN_AFTER = timedelta(hours=1)
FULL = "mailbox-full"
_NO_MAILBOX = frozenset({404, 405})


def visit_mailbox(node: Node, link: Link, handlers: Handlers, *, wait_seconds: int = 0) -> Taken:
    """Take what lies there, waiting at most so long for the first, then put what goes this way; raise NetworkError.

    A hub of an earlier release has no mailbox: then nothing happens.
    """
    taken = Taken()
    try:
        sent = _take_all(node, link, handlers, wait_seconds, taken)
    except NetworkError as error:
        if error.params.get("status") in _NO_MAILBOX:
            return taken
        raise
    with node.database.write() as session:
        _note_sent(session, node, link.provider.federation, sent)
    for peer in _recipients(node):
        try:
            _put_all(node, link, peer)
        except NetworkError as error:  # one recipient's share is full: the others, and the visit, go on
            if error.code != FULL:
                raise
            taken.codes[error.code] += 1
            with node.database.write() as session:
                _note_full(session, node, peer)
    return taken


def _take_all(node: Node, link: Link, handlers: Handlers, wait_seconds: int, taken: Taken) -> dict[str, str]:
    acknowledged: list[str] = []
    for number in range(MAX_PARCELS):
        wait = wait_seconds if number == 0 else 0
        body = {"do": "take", "acknowledged": acknowledged, "wait_seconds": wait}
        answer = link.ask("relay", body, at=node.clock())
        if not answer.enclosed:
            break
        acknowledged = [answer.enclosed[0].id]
        try:
            parcel = open_parcel(node, read_parcel(join_page([item.raw for item in answer.enclosed])))
            taken.add(take_parcel(node, parcel, handlers, via=RELAY))
        except TrustError as error:  # its sender gets no receipt, and sends it again
            taken.codes[error.code] += 1
    else:
        link.ask("relay", {"do": "take", "acknowledged": acknowledged}, at=node.clock())
    told = answer.body.get("sent")
    return told if isinstance(told, dict) else {}


def _note_sent(session: Session, node: Node, federation_id: str, sent: dict[str, str]) -> None:
    """Let go again what lies in the mailbox no more and was not answered for an hour, or has expired there."""
    now = node.clock()
    for asked in session.exec(
        select(RecoveryQuestion).where(RecoveryQuestion.federation == federation_id, col(RecoveryQuestion.parcel) != "")
    ).all():
        if sent.get(asked.parcel) != "kept" and asked.asked_at <= now - SEND_AGAIN_AFTER:
            asked.parcel = ""
            session.add(asked)
    lying = (
        select(OutboxItem)
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where(OutboxItem.state == WAITING, col(OutboxItem.parcel) != "", StoredRecord.federation == federation_id)
    )
    for item in session.exec(lying).all():
        state = sent.get(item.parcel)
        if state == "kept" or (state is None and item.updated_at > now - SEND_AGAIN_AFTER):
            continue
        item.parcel, item.updated_at = "", now
        item.code = "mailbox-expired" if state else item.code
        session.add(item)


def _recipients(node: Node) -> list[Peer]:
    """Return the peers that get something over the mailbox now."""
    with node.database.read() as session:
        federation = get_federation(session, node)
        waiting = session.exec(
            select(OutboxItem.peer_id)
            .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
            .where(OutboxItem.state == WAITING, OutboxItem.parcel == "", StoredRecord.federation == federation.id)
            .where((col(OutboxItem.code) != FULL) | (col(OutboxItem.updated_at) <= node.clock() - SEND_AGAIN_AFTER))
            .distinct()
        ).all()
        senders = session.exec(
            select(PeerParcels.peer_id).where(
                PeerParcels.federation == federation.id, col(PeerParcels.imported_at).is_not(None)
            )
        ).all()
        owed = {identity for identity in senders if owes_receipts(session, federation.id, identity)}
        wanted = {*waiting, *owed, *_restored(session, federation), *_to_ask(session, node, federation)}
        peers = [find_peer(session, federation.id, identity) for identity in sorted(wanted)]
    reached = [peer for peer in peers if peer is not None and is_active(peer, node.clock())]
    return [peer for peer in reached if route_to(node, federation, peer) == RELAYED]


def _restored(session: Session, federation: Federation) -> set[str]:
    """Return the peers that were restored and whose newest parcel we have not answered."""
    lost = (col(PeerParcels.federation) == federation.id) & (col(PeerParcels.lost) != "")
    asked = lost & (col(PeerParcels.lost_told) < col(PeerParcels.number_in))
    return set(session.exec(select(PeerParcels.peer_id).where(asked)).all())


def _to_ask(session: Session, node: Node, federation: Federation) -> set[str]:
    """Return the readers that have to show what they hold of ours and whose question does not lie in the mailbox."""
    on_the_way = select(RecoveryQuestion.peer_id).where(
        RecoveryQuestion.federation == federation.id, col(RecoveryQuestion.parcel) != ""
    )
    awaited = set[str]().union(*awaited_readers(session, node, federation).values())
    return awaited - set(session.exec(on_the_way).all())


def _put_all(node: Node, link: Link, peer: Peer) -> None:
    with node.database.write() as session:
        federation: Federation = get_federation(session, node)
        items = _unsent(session, peer)
        packed = pack(
            session,
            node,
            federation,
            peer,
            size=SIZE,
            item_ids=[item.id or 0 for item in items],
            sent_receipts=True,
            own_statements=True,
        )
        number_in = parcels_state(session, federation.id, peer.id).number_in
    for parcel in packed:
        lines = split_page(parcel.data)
        link.ask("relay", {"do": "put", "to": peer.id}, lines, at=node.clock())
        with node.database.write() as session:
            identity = read_parcel(parcel.data).manifest.id
            _mark(session, node, identity, parcel.item_ids)
            asked = session.get(RecoveryQuestion, (federation.id, peer.id))
            if asked is not None:
                asked.parcel, asked.asked_at = identity, node.clock()
            state = parcels_state(session, federation.id, peer.id)
            state.receipts_sent = json.dumps({**json.loads(state.receipts_sent), **parcel.receipts_upto})
            state.lost_told = number_in
            session.add(state)


def _unsent(session: Session, peer: Peer) -> list[OutboxItem]:
    """Return what waits for a peer in its federation: in another one it is reached, and full, for itself."""
    found = select(OutboxItem).join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
    mine = (col(OutboxItem.peer_id) == peer.id) & (col(StoredRecord.federation) == peer.federation)
    return list(session.exec(found.where(mine, OutboxItem.state == WAITING, OutboxItem.parcel == "")).all())


def _note_full(session: Session, node: Node, peer: Peer) -> None:
    """Let the outbox say why what waits for this peer is not on its way; it is tried again in an hour."""
    for item in _unsent(session, peer):
        item.code, item.updated_at = FULL, node.clock()
        session.add(item)


def _mark(session: Session, node: Node, parcel_id: str, item_ids: tuple[int, ...]) -> None:
    for item in session.exec(select(OutboxItem).where(col(OutboxItem.id).in_(item_ids))).all():
        item.parcel, item.updated_at = parcel_id, node.clock()
        item.code = "" if item.code == FULL else item.code
        session.add(item)
