"""Parcels for one peer: what it must get from us and what we say of ourselves, computed anew each time.

Nothing is marked as sent by being packed: a record is packed again until its receipt is here, a page of our log until
the peer's cursor has passed it, a receipt until the peer says that it has it. So whatever is lost on the way costs one
more trip and no bookkeeping.

    hub to a college    its page of our log after its cursor, as it would pull; receipts; what it misses
    college to anybody  what waits in the outbox for that peer; receipts; what it misses
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import func
from sqlmodel import Session, col, select

from federation.keys import Member
from federation.parcel import EVERYBODY, MAX_ITEMS, Range, Says, build_parcel
from node.context import Node
from node.exchange.heads import Difference, find_differences, read_statements
from node.exchange.models import PeerParcels
from node.exchange.serving import read_missing, read_page
from node.exchange.vouching import Vouched
from node.exchange.waiting import find_gaps
from node.stream.memberlist import versions_of
from node.stream.models import Federation, OutboxItem, Peer, PeerRead, PeerStatements, Receipt, StoredRecord
from node.stream.outbox import WAITING
from node.stream.peers import find_peer, list_peers, member_of
from node.stream.recovery import awaited_readers, held_of, is_recovering, note_question, own_heads
from node.stream.service import PLACEHOLDER
from node.stream.standing import is_active

MAX_BYTES = 8_388_608  # of the envelopes of one parcel
MAX_RECEIPTS = 400
MAX_SAID = 100  # of streams and of gaps in one manifest
MAX_HELD = 1_000  # of streams whose last record one manifest names
COMPARED = 50  # records of a stream in which a reader differs from us


@dataclass(frozen=True)
class Size:
    """How much one parcel holds."""

    items: int = MAX_ITEMS
    bytes: int = MAX_BYTES


@dataclass(frozen=True)
class Packed:
    """One parcel ready to go, and which items of the outbox it holds."""

    number: int
    data: bytes
    item_ids: tuple[int, ...] = ()
    records: int = 0
    receipts: int = 0
    receipts_upto: Mapping[str, int] = field(default_factory=dict)  # by stream, of those that are in this parcel


@dataclass
class _Load:
    """What one parcel will hold."""

    envelopes: list[bytes] = field(default_factory=list)
    item_ids: list[int] = field(default_factory=list)
    log_first: int = 0
    log_last: int = 0
    receipts: int = 0
    receipts_upto: dict[str, int] = field(default_factory=dict)
    statements: int = 0

    def fits(self, envelope: bytes, size: Size) -> bool:
        total = sum(len(item) for item in self.envelopes) + len(envelope)
        return not self.envelopes or (len(self.envelopes) < size.items and total <= size.bytes)


def parcels_state(session: Session, federation_id: str, peer_id: str) -> PeerParcels:
    """Return the row on parcels to and from this peer, made where there is none."""
    row = session.get(PeerParcels, (federation_id, peer_id))
    return row or PeerParcels(federation=federation_id, peer_id=peer_id)


def pack(
    session: Session,
    node: Node,
    federation: Federation,
    peer: Peer,
    *,
    size: Size | None = None,
    item_ids: list[int] | None = None,
    sent_receipts: bool = False,
    own_statements: bool = False,
    vouched: Vouched | None = None,
    files: tuple[tuple[str, bytes], ...] = (),
) -> list[Packed]:
    """Pack everything for `peer`, in at least one parcel; the caller's transaction keeps the numbers given out.

    `item_ids` narrows the outbox to these; `sent_receipts` leaves out receipts that lie in the mailbox already;
    `own_statements` leaves out what others stated; `vouched` goes along behind all.
    """
    size = size or Size()
    state = parcels_state(session, federation.id, peer.id)
    first = _Load()
    for stream, sequence, envelope in _receipts(session, state, sent=sent_receipts)[: size.items // 2]:
        if not first.fits(envelope, size):
            break
        first.envelopes.append(envelope)
        first.receipts_upto[stream] = max(sequence, first.receipts_upto.get(stream, 0))
    first.receipts = len(first.envelopes)
    loads = list(_load_all(session, node, federation, peer, state, first, size, item_ids))
    statements = _statements(session, node, peer, own=own_statements)
    for envelope in [*statements, *(vouched.envelopes if vouched else ())]:
        if not loads[-1].fits(envelope, size):
            loads.append(_Load())
        loads[-1].envelopes.append(envelope)
        loads[-1].statements += 1
    says = replace(_say(session, node, federation, peer, state), witness=vouched.says if vouched else None)
    state.refused = "{}"  # told once: where that is lost, the record comes again
    return [
        _seal(node, federation, peer.id, state, session, load, says, files if number == 0 else ())
        for number, load in enumerate(loads)
    ]


def pack_for_all(
    session: Session, node: Node, federation: Federation, *, files: tuple[tuple[str, bytes], ...] = ()
) -> list[Packed]:
    """Pack for whoever reads it: the records for all that not every active member is known to hold."""
    state = parcels_state(session, federation.id, EVERYBODY)
    members = [peer for peer in list_peers(session, federation.id) if is_active(peer, node.clock())]
    reads = {
        row.peer_id: row.cursor
        for row in session.exec(select(PeerRead).where(PeerRead.federation == federation.id)).all()
    }
    known = min((reads.get(peer.id, 0) for peer in members if peer.id != node.node_id), default=0)
    is_hub = federation.hub_id == node.node_id
    rows = session.exec(
        select(StoredRecord.envelope)
        .where(StoredRecord.federation == federation.id, StoredRecord.stream == "all")
        .where(col(StoredRecord.state).in_(("current", "equivocal")))
        .where(col(StoredRecord.position) > (known if is_hub else 0))
        .where(True if is_hub else StoredRecord.origin == node.node_id)
        .order_by(col(StoredRecord.position))
    )
    loads, load = [], _Load()
    for envelope in rows:
        if not load.fits(envelope, Size()):
            loads.append(load)
            load = _Load()
        load.envelopes.append(envelope)
    loads.append(load)
    says = Says(membership=said_versions(session, federation.id))
    return [
        _seal(node, federation, EVERYBODY, state, session, item, says, files if number == 0 else ())
        for number, item in enumerate(loads)
    ]


def _seal(
    node: Node,
    federation: Federation,
    audience: str,
    state: PeerParcels,
    session: Session,
    load: _Load,
    says: Says,
    files: tuple[tuple[str, bytes], ...],
) -> Packed:
    now = node.clock()
    state.number_out = max(state.number_out + 1, int(now.timestamp()))  # grows through a restore too
    state.exported_at = now
    session.add(state)
    session.flush()
    if says.lost is not None:
        note_question(session, node, federation.id, audience, state.number_out)
    data = build_parcel(
        node.signer,
        origin=node.node_id,
        federation=federation.id,
        audience=audience,
        number=state.number_out,
        at=now,
        says=replace(says, log_first=load.log_first, log_last=load.log_last),
        enclosed=load.envelopes,
        files=files,
    )
    records = len(load.envelopes) - load.receipts - load.statements
    return Packed(state.number_out, data, tuple(load.item_ids), records, load.receipts, load.receipts_upto)


def _load_all(
    session: Session,
    node: Node,
    federation: Federation,
    peer: Peer,
    state: PeerParcels,
    load: _Load,
    size: Size,
    item_ids: list[int] | None,
) -> Iterator[_Load]:
    """Give the loads one after another; only the last may be empty."""
    missed = [*_lost(session, federation, peer, state), *_missed(session, node, federation, peer, state)]
    outgoing = [*((0, data) for data in missed), *_waiting(session, federation, peer, item_ids)]
    for item_id, envelope in outgoing:
        if not load.fits(envelope, size):
            yield load
            load = _Load()
        load.envelopes.append(envelope)
        if item_id:
            load.item_ids.append(item_id)
    if federation.hub_id != node.node_id:
        yield load
        return
    read = session.get(PeerRead, (federation.id, peer.id))
    cursor = read.cursor if read else 0
    member = member_of(session, peer, node.clock())
    load.log_first = load.log_last = cursor
    while True:
        page = read_page(session, node, member, federation.hub_id, cursor)
        room = len(load.envelopes) + len(page.enclosed) <= size.items
        if not room or not load.fits(b"".join(data for _, data in page.enclosed), size):
            yield load
            load = _Load(log_first=cursor, log_last=cursor)
        load.envelopes += [data for _, data in page.enclosed]
        load.log_last = cursor = max(page.cursor, cursor)
        if not page.more:
            yield load
            return


def _waiting(
    session: Session, federation: Federation, peer: Peer, item_ids: list[int] | None
) -> Iterator[tuple[int, bytes]]:
    statement = (
        select(OutboxItem.id, StoredRecord.envelope)
        .join(StoredRecord, col(StoredRecord.id) == OutboxItem.record_id)
        .where(OutboxItem.peer_id == peer.id, OutboxItem.state == WAITING, StoredRecord.federation == federation.id)
        .order_by(col(StoredRecord.position))
    )
    if item_ids is not None:
        statement = statement.where(col(OutboxItem.id).in_(item_ids))
    for item_id, envelope in session.exec(statement):
        yield item_id or 0, envelope


def _receipts(session: Session, state: PeerParcels, *, sent: bool) -> list[tuple[str, int, bytes]]:
    """Return our receipts, with stream and sequence, on the peer's records that it is not known to hold."""
    known: dict[str, int] = json.loads(state.receipted)
    if sent:
        for stream, sequence in json.loads(state.receipts_sent).items():
            known[stream] = max(known.get(stream, 0), sequence)
    rows = session.exec(
        select(StoredRecord.stream, StoredRecord.sequence, Receipt.envelope)
        .join(Receipt, col(Receipt.record_id) == StoredRecord.id)
        .where(StoredRecord.federation == state.federation, StoredRecord.origin == state.peer_id)
        .order_by(col(StoredRecord.stream), col(StoredRecord.sequence))
    )
    found = [(stream, sequence, envelope) for stream, sequence, envelope in rows if sequence > known.get(stream, 0)]
    return found[:MAX_RECEIPTS]


def owes_receipts(session: Session, federation_id: str, peer_id: str, *, sent: bool = True) -> bool:
    """Tell whether the peer lacks a receipt of ours; with `sent`, one that does not lie in the mailbox."""
    return bool(_receipts(session, parcels_state(session, federation_id, peer_id), sent=sent))


def peers_in_need(session: Session, node: Node, federation: Federation) -> set[str]:
    """Return the peers that should hear from us though no record waits: by their own word they lack receipts of ours.

    Also those that were restored and ask for what is theirs, and those that a recovery of ours waits for.
    """
    known = select(PeerParcels).where(
        PeerParcels.federation == federation.id, col(PeerParcels.imported_at).is_not(None)
    )
    rows = [row for row in session.exec(known).all() if row.peer_id not in {federation.hub_id, EVERYBODY}]
    owed = {row.peer_id for row in rows if row.lost or _receipts(session, row, sent=False)}
    return owed.union(*awaited_readers(session, node, federation).values())


def _missed(session: Session, node: Node, federation: Federation, peer: Peer, state: PeerParcels) -> Iterator[bytes]:
    """Give what the peer's newest manifest says it lacks and may have from us."""
    member: Member = member_of(session, peer, node.clock())
    for gap in json.loads(state.misses):
        page = read_missing(session, node, member, federation.hub_id, gap)
        for _, envelope in page.enclosed:
            yield envelope


def _lost(session: Session, federation: Federation, peer: Peer, state: PeerParcels) -> Iterator[bytes]:
    """Give back what we hold of a restored peer's own streams beyond what its newest manifest says it still has."""
    if not state.lost:
        return
    lost: dict[str, int] = json.loads(state.lost)
    rows = session.exec(
        select(StoredRecord.stream, StoredRecord.sequence, StoredRecord.envelope)
        .where(StoredRecord.federation == federation.id, StoredRecord.origin == peer.id)
        .where(StoredRecord.state != PLACEHOLDER)
        .order_by(col(StoredRecord.stream), col(StoredRecord.sequence))
    )
    yield from (envelope for stream, sequence, envelope in rows if sequence > lost.get(stream, 0))


def _statements(session: Session, node: Node, peer: Peer, *, own: bool) -> Iterator[bytes]:
    """Give the head statements and proofs that the peer may see, behind the records they speak of.

    All that the network has not shown it: an origin's last word replaces the one before, so they stay few.
    """
    row = session.get(PeerStatements, (peer.federation, peer.id))
    cursor, member = row.sent if row else 0, member_of(session, peer, node.clock())
    while True:
        page = read_statements(session, member, cursor, issuer=node.node_id if own else "")
        for _, envelope in page.enclosed:
            yield envelope
        cursor = page.cursor
        if not page.more:
            return


def _say(session: Session, node: Node, federation: Federation, peer: Peer, state: PeerParcels) -> Says:
    """Return what we say of ourselves to this peer."""
    own = find_peer(session, federation.id, peer.id)
    gaps = [gap for gap in find_gaps(session, federation.id) if peer.is_hub or gap.origin == peer.id]
    wanted = [Range(gap.origin, gap.stream, gap.first, gap.last) for gap in gaps]
    differences = find_differences(session, node, federation, peer.id)  # an origin's own word is proof as it stands
    wanted += [_to_compare(found) for found in differences if found.held and found.origin != peer.id]
    heads = own_heads(session, node, federation.id)
    further = {stream: last for stream, last in json.loads(state.held).items() if last > heads.get(stream, 0)}
    ours = [Range(node.node_id, stream, heads.get(stream, 0) + 1, last) for stream, last in sorted(further.items())]
    held = sorted(held_of(session, federation.id, peer.id).items())[:MAX_HELD]
    return Says(
        cursor=own.cursor if own else 0,
        taken=state.number_in,
        receipted=_receipted(session, node, federation, peer),
        misses=tuple([*ours, *wanted][:MAX_SAID]),
        membership=said_versions(session, federation.id),
        refused=json.loads(state.refused),
        held={stream: (head.sequence, head.id) for stream, head in held},
        settled=_settled(session, federation, node) if peer.is_hub else {},
        lost=dict(sorted(heads.items())[:MAX_HELD]) if is_recovering(session, federation.id) else None,
    )


def _settled(session: Session, federation: Federation, node: Node) -> dict[str, int]:
    """Return the highest number of each other member's parcels that we took in: the hub need not keep them longer."""
    rows = session.exec(
        select(PeerParcels.peer_id, PeerParcels.number_in)
        .where(PeerParcels.federation == federation.id, PeerParcels.number_in > 0)
        .order_by(col(PeerParcels.imported_at).desc())
        .limit(MAX_HELD)
    ).all()
    return {peer_id: number for peer_id, number in rows if peer_id not in {federation.hub_id, node.node_id, EVERYBODY}}


def _to_compare(found: Difference) -> Range:
    """Return what to ask a reader for that holds another record than we do, or more: to see where branches part."""
    first = found.held if found.held < found.sequence else max(1, found.held - COMPARED + 1)
    return Range(found.origin, found.stream, first, found.held)


def _receipted(session: Session, node: Node, federation: Federation, peer: Peer) -> dict[str, int]:
    """Return by own stream up to where nothing waits for this peer's receipt."""
    own = (
        select(StoredRecord.stream, func.min(StoredRecord.sequence), func.max(StoredRecord.sequence))
        .join(OutboxItem, col(OutboxItem.record_id) == StoredRecord.id)
        .where(StoredRecord.federation == federation.id, StoredRecord.origin == node.node_id)
        .where(OutboxItem.peer_id == peer.id)
        .group_by(StoredRecord.stream)
    )
    done = {stream: last for stream, _, last in session.exec(own).all()}
    for stream, first, _ in session.exec(own.where(OutboxItem.state == WAITING)).all():
        done[stream] = first - 1
    return dict(sorted(done.items())[:MAX_SAID])


def said_versions(session: Session, federation_id: str) -> dict[str, int]:
    """Return the versions of our member list as a manifest names them."""
    return {role: version for role, version in versions_of(session, federation_id).items() if version}
