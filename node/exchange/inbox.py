"""The inbox: believe a received document step by step and keep it, all in the caller's one transaction.

The steps are `federation.acceptance`; here their outcome becomes rows. It knows no kinds: what an accepted record does
is the handler's affair (`kind -> handler(session, record, content)`), and a handler that refuses undoes only itself.
A handler named `<kind>:withdraw` is called when a record that was current is contradicted by its own origin.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session, col, select

from federation.acceptance import (
    KEY_RETIRED,
    KEY_REVOKED,
    NO_KEYS,
    Outcome,
    Reader,
    Record,
    Refusal,
    Verdict,
    accept_inner,
    accept_outer,
    is_own_word,
    read_signed_record,
)
from federation.documents import read_object
from federation.envelope import MAX_SIGNATURES, Envelope, read_envelope, signed_by, with_signatures
from federation.errors import Conflict, GonghuiError, StorageError, TrustError
from federation.generations import GENERATION, may_reopen
from federation.sealing import GROUP_KEY
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.audit.events import SYSTEM
from node.context import Node
from node.db import lock_number, next_number
from node.exchange.memory import DatabaseMemory
from node.exchange.receipts import issue_receipt
from node.exchange.refused import count_refusal
from node.exchange.reopened import drop_unproven, give_up
from node.exchange.waiting import EXPIRED, FULL, is_empty, keep_waiting
from node.stream import recovery
from node.stream.log import append_leaf
from node.stream.memberlist import is_expired
from node.stream.models import Equivocation, Home, StoredRecord, WaitingDocument
from node.stream.outbox import fill_outbox
from node.stream.sealed import find_keyring, own_member
from node.stream.service import (
    CARRIED,
    CURRENT,
    EQUIVOCAL,
    PLACEHOLDER,
    QUARANTINED,
    SEALED,
    UNPROVEN,
    get_home,
    keep,
    list_federations,
)

Handler = Callable[[Session, StoredRecord, dict[str, Any]], None]
Handlers = Mapping[str, Handler]

PUSH, PULL, RELAY, FILE = "push", "pull", "relay", "file"  # `via`
RECEIPTED = frozenset({PUSH, RELAY, FILE})  # whoever pulls says by its cursor what it has
NOT_OURS = "origin-mismatch"  # in our name, with a key that is not ours, or not any more
MAX_JUDGED = 2_000
MENDED_BY_LIST = frozenset(  # codes that another program or another member list may do away with
    {
        "catalogue-unknown",
        "grant-missing",
        "kind-unknown",
        "noise-not-agreed",
        "schema-digest",
        "schema-refused",
        "schema-unknown",
        "schema-unlisted",
        "sealed-epoch-unknown",
    }
)


@dataclass(frozen=True)
class Place:
    """One place in one stream."""

    federation: str
    origin: str
    stream: str
    sequence: int


@dataclass(frozen=True)
class _Inbox:
    """One federation's inbox within one transaction."""

    session: Session
    node: Node
    federation: Home
    memory: DatabaseMemory
    reader: Reader
    handlers: Handlers
    expired: bool  # the member list: what is new waits for the next one
    by: str = ""  # the node that brought the document


def receive(session: Session, node: Node, envelope: bytes, handlers: Handlers, *, via: str, by: str = "") -> Outcome:
    """Take one document in: its place, its content, its receipt, and whatever waited for it. Raises StorageError only.

    `via` is `push`, `pull`, `relay` or `file`; `by` the node that brought it.
    """
    inbox = replace(_open(session, node, handlers), by=by)
    outcome = _receive_one(inbox, envelope, via)
    if outcome.verdict in {Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.SEALED}:
        _take_waiting(inbox)
    return outcome


def take_waiting(session: Session, node: Node, handlers: Handlers) -> int:
    """Try again what a new member list or program may have mended; return how many records count now that did not.

    Call it after a list was taken and at start-up: what waits for a key or a predecessor takes its place, and what is
    in quarantine for an unknown kind or schema, or for lack of a grant, is judged anew.
    """
    inbox = _open(session, node, handlers)
    return _take_waiting(inbox) + _judge_again(inbox)


def take_known(node: Node, handlers: Handlers) -> int:
    """As `take_waiting`, at start-up, in every federation: this program may know what the one before did not."""
    with node.database.write() as session:
        joined = list_federations(session)
        return sum(take_waiting(session, node.within(federation.id), handlers) for federation in joined)


def retry(node: Node, actor: Actor, record_id: str, handlers: Handlers) -> Outcome:
    """Try the content of a quarantined record again; it gets a new position so that readers who passed it see it."""
    check_permission(actor, "quarantine.retry")
    with node.database.write() as session:
        stored = session.get(StoredRecord, record_id)
        if stored is None or stored.state not in {QUARANTINED, SEALED, UNPROVEN}:
            raise Conflict("record-not-quarantined", "该条目不在隔离区。", "This record is not in quarantine.")
        inbox = _open(session, node.within(stored.federation), handlers)
        outcome = _judge_stored(inbox, stored)
        at = node.clock()
        write_audit(
            session, account_id=actor.account_id, action="quarantine.retry", subject=record_id, at=at, code=stored.code
        )
        return outcome


def _open(session: Session, node: Node, handlers: Handlers) -> _Inbox:
    federation = get_home(session, node)
    lock_number(session, "log")  # two deliveries of one record must not race
    own = own_member(session, node, federation)
    reader = Reader(node.node_id, federation.id, own.is_hub, own.groups)
    expired = is_expired(session, federation.id, node.clock())
    return _Inbox(session, node, federation, DatabaseMemory(session, node, federation), reader, handlers, expired)


def _receive_one(inbox: _Inbox, envelope: bytes, via: str) -> Outcome:
    outcome = accept_outer(envelope, inbox.memory, inbox.reader)
    if outcome.verdict is Verdict.PLACED and not _may_be_ours(inbox, outcome.record):
        outcome = replace(outcome, verdict=Verdict.REFUSED, code=NOT_OURS)
    if outcome.verdict is Verdict.PLACED and inbox.expired:  # authentic by a list that may be outdated
        return _keep_waiting(inbox, replace(outcome, verdict=Verdict.WAITING, code=EXPIRED), envelope, via)
    match outcome.verdict:
        case Verdict.PLACED if outcome.refusal is not None:
            return _keep_refusal(inbox, outcome.refusal)
        case Verdict.PLACED if outcome.record is not None:
            if outcome.known is not None:
                give_up(inbox.session, inbox.node, inbox.handlers, outcome.record, outcome.known)
            return _keep_record(inbox, outcome.record, via)
        case Verdict.DUPLICATE:
            return _repeat(inbox, outcome, via)
        case Verdict.WAITING:
            return _keep_waiting(inbox, outcome, envelope, via)
        case _ if outcome.conflicts_with and outcome.record is not None:
            _keep_proof(inbox, outcome.record, outcome.conflicts_with)
        case _ if outcome.conflicts_with and outcome.refusal is not None:
            _keep_refusal_proof(inbox, outcome, outcome.refusal)
        case _:
            count_refusal(inbox.session, envelope, outcome.code, via, inbox.node.clock())
    return outcome


def _may_be_ours(inbox: _Inbox, record: Record | None) -> bool:
    """Tell whether a record is another's, or one that we may have signed and lost."""
    if record is None or record.origin != inbox.node.node_id:
        return True
    signer = inbox.memory.find_member(record.keyid)
    return signer is not None and recovery.may_tell(inbox.session, inbox.node, signer)


def _keep_record(inbox: _Inbox, record: Record, via: str) -> Outcome:
    """Give the record its place, then judge its content. One of our own that we lack says that we were restored."""
    if record.origin == inbox.node.node_id:
        recovery.begin(inbox.session, inbox.node, inbox.federation.id, recovery.PEER)
    position = next_number(inbox.session, "log")
    at = inbox.node.clock()
    refused = _make_room(inbox, record)
    stored = keep(
        inbox.session, record, position=position, stored_at=at, state=QUARANTINED, code="unjudged", flush=False
    )
    outcome = _judge(inbox, stored, record)
    if refused:  # by its own origin, under another id
        keep_contradiction(
            inbox.session, inbox.node, inbox.handlers, _place_of(record), refused, (record.id, record.envelope)
        )
        outcome = replace(outcome, code=stored.code)
    if stored.origin == inbox.node.node_id:  # our own, back after a restore: it goes out again, to be sure
        fill_outbox(inbox.session, inbox.node.node_id, inbox.federation, stored)
    elif via in RECEIPTED or stored.state == QUARANTINED:  # whoever serves on shows the receipt in the record's place
        issue_receipt(inbox.session, inbox.node, stored, at)
    return outcome


def _make_room(inbox: _Inbox, record: Record) -> tuple[str, bytes] | None:
    """Take away the refusal that stands in this place; where it names another id, its issuer's word was not true.

    That of the origin itself is returned (id, envelope): it contradicts the record. A refusal elsewhere that names this
    very id keeps its own place, under its own id.
    """
    session, refused = inbox.session, None
    held = inbox.memory.find_at(record.origin, record.stream, record.sequence)
    if held is not None and held.unproven:
        drop_unproven(session, inbox.node, record)
    elif held is not None:
        there = session.get_one(StoredRecord, held.id)
        session.delete(there)
        session.flush()
        if there.id != record.id and is_own_word(there.envelope):
            refused = (read_envelope(there.envelope).id, there.envelope)
        elif there.id != record.id:
            issuer = inbox.memory.find_member(read_envelope(there.envelope).keyids[0])
            subject = issuer.id if issuer else ""
            write_audit(session, account_id=SYSTEM, action="refusal.untrue", subject=subject, at=inbox.node.clock())
    if inbox.memory.find_record(record.id) is not None:
        elsewhere = session.get_one(StoredRecord, record.id)
        elsewhere.id = read_envelope(elsewhere.envelope).id
        session.add(elsewhere)
        session.flush()
    return refused


def _judge(inbox: _Inbox, stored: StoredRecord, record: Record) -> Outcome:
    """Take the inner steps and the handler; set state and code accordingly. What is only carried is not looked into."""
    stored.state, stored.code = QUARANTINED, "unjudged"
    addressed = inbox.reader.is_addressed(record.stream, record.origin)
    keyring = find_keyring(inbox.session, inbox.node, record) if addressed else NO_KEYS
    outcome = accept_inner(record, inbox.memory, keyring)
    record = outcome.record or record
    _note_opened(stored, record)
    if outcome.verdict is Verdict.ACCEPTED:
        stored.state, stored.code = CURRENT, ""
        inbox.session.flush()
        code = _handle(inbox, stored, record)
        if code:
            outcome = replace(outcome, verdict=Verdict.QUARANTINED, code=code)
    if outcome.verdict is Verdict.SEALED:
        stored.state, stored.code = SEALED, outcome.code if addressed else CARRIED
    if outcome.verdict is Verdict.QUARANTINED:
        stored.state = UNPROVEN if outcome.code in {KEY_REVOKED, KEY_RETIRED} else QUARANTINED
        stored.code = outcome.code
    if outcome.code == "equivocation":
        _keep_proof(inbox, record, outcome.conflicts_with)
    inbox.session.add(stored)
    inbox.session.flush()
    return outcome


def _note_opened(stored: StoredRecord, record: Record) -> None:
    """Keep what a sealed record says beside it, but for a key: that stays sealed."""
    stored.kind, stored.subject, stored.revision = record.kind, record.subject, record.revision
    stored.opened = b"" if record.kind == GROUP_KEY else record.opened


def _judge_stored(inbox: _Inbox, stored: StoredRecord) -> Outcome:
    """Judge a record anew; where it counts now it gets a new position, so that readers who passed it see it."""
    record, _ = read_signed_record(stored.envelope, inbox.memory.find_member)
    outcome = _judge(inbox, stored, record)
    if outcome.verdict is Verdict.ACCEPTED:
        stored.position = next_number(inbox.session, "log")
    issue_receipt(inbox.session, inbox.node, stored, inbox.node.clock())
    return outcome


def _judge_again(inbox: _Inbox) -> int:
    """Judge anew what another list or program may have mended, in the order of the log."""
    found = inbox.session.exec(
        select(StoredRecord)
        .where(StoredRecord.federation == inbox.federation.id, col(StoredRecord.state).in_((QUARANTINED, SEALED)))
        .where(col(StoredRecord.code).in_(MENDED_BY_LIST))
        .order_by(col(StoredRecord.position))
        .limit(MAX_JUDGED)
    ).all()
    return sum(_mend(inbox, stored) for stored in found)


def _mend(inbox: _Inbox, stored: StoredRecord) -> bool:
    try:
        return _judge_stored(inbox, stored).verdict is Verdict.ACCEPTED
    except TrustError:  # whose origin was suspended since: it stays where it is
        return False


def _handle(inbox: _Inbox, stored: StoredRecord, record: Record) -> str:
    """Call the handler within a savepoint; return "" or the code for which it refused."""
    handler = inbox.handlers.get(record.kind)
    if handler is None:
        grants = inbox.memory.find_grants()
        return "" if grants and record.kind in grants.speakers else "kind-unknown"  # kept, though nothing is done
    try:
        with inbox.session.begin_nested():
            handler(inbox.session, stored, record.content)
    except StorageError:
        raise
    except GonghuiError as error:
        return error.code
    except (DataError, IntegrityError):  # a value that one database holds and the other does not
        return "content-unstorable"
    return ""


def _keep_refusal(inbox: _Inbox, refusal: Refusal) -> Outcome:
    """Let the hub's refusal stand where the record would."""
    at = inbox.node.clock()
    before = inbox.memory.find_at(refusal.origin, refusal.stream, refusal.sequence - 1)
    own_id = read_envelope(refusal.envelope).id
    elsewhere = inbox.session.get(StoredRecord, refusal.record_id)  # a hub may name a record of another federation
    stored = StoredRecord(
        id=refusal.record_id if elsewhere is None else own_id,
        position=next_number(inbox.session, "log"),
        federation=refusal.federation,
        origin=refusal.origin,
        stream=refusal.stream,
        sequence=refusal.sequence,
        previous=before.id if before else "",
        kind="",
        subject="",
        revision=0,
        issued_at=refusal.issued_at,
        stored_at=at,
        state=PLACEHOLDER,
        code=refusal.code,
        envelope=refusal.envelope,
    )
    inbox.session.add(stored)
    inbox.session.flush()
    append_leaf(inbox.session, own_id)
    return Outcome(Verdict.QUARANTINED, refusal.code, refusal.record_id, refusal=refusal)


def _repeat(inbox: _Inbox, outcome: Outcome, via: str) -> Outcome:
    """Answer a repetition with what was decided before."""
    if outcome.conflicts_with and outcome.refusal is not None:
        return _keep_refusal_proof(inbox, outcome, outcome.refusal)
    stored = inbox.session.get(StoredRecord, outcome.record_id)
    if stored is None or stored.state == PLACEHOLDER:
        return outcome
    if outcome.record is not None and outcome.record.envelope != stored.envelope:
        _take_signature(inbox, stored, outcome.record)
    if via in RECEIPTED and stored.origin != inbox.node.node_id:
        issue_receipt(inbox.session, inbox.node, stored, inbox.node.clock())
    return replace(outcome, code=stored.code)


def _take_signature(inbox: _Inbox, stored: StoredRecord, record: Record) -> None:
    """Put the signature of a key that stands beside those that are held; judge anew what was unproven without it."""
    member = inbox.memory.find_member(record.keyid)
    held = read_envelope(stored.envelope)
    if member is None or member.revoked_at is not None or member.retired or signed_by(held, member.key):
        return
    added = next(pair for pair in read_envelope(record.envelope).signatures if pair[0] == record.keyid)
    kept = [pair for pair in held.signatures if pair[0] != record.keyid and _is_valid(inbox, stored, held, pair[0])]
    stored.envelope = with_signatures(held, [*kept, added][-MAX_SIGNATURES:])
    stored.position = next_number(inbox.session, "log")  # so that readers who have passed it see the signature
    inbox.session.add(stored)
    inbox.session.flush()
    if stored.state == UNPROVEN:
        _judge(inbox, stored, record)


def _is_valid(inbox: _Inbox, stored: StoredRecord, envelope: Envelope, keyid: str) -> bool:
    member = inbox.memory.find_member(keyid)
    return member is not None and member.id == stored.origin and signed_by(envelope, member.key)


def judge_again(session: Session, node: Node, stored: StoredRecord, handlers: Handlers) -> str:
    """Judge a record that is held by what is known now; return its state."""
    _judge_stored(_open(session, node.within(stored.federation), handlers), stored)
    return stored.state


def _keep_waiting(inbox: _Inbox, outcome: Outcome, envelope: bytes, via: str) -> Outcome:
    if keep_waiting(inbox.session, inbox.node, inbox.federation, outcome, envelope, via=via, by=inbox.by):
        return outcome
    return replace(outcome, verdict=Verdict.REFUSED, code=FULL)


def _take_waiting(inbox: _Inbox) -> int:
    """Try everything that may go on now, until nothing moves."""
    inbox.memory.forget_members()
    taken = 0
    while (item := _find_next_waiting(inbox)) is not None:
        inbox.session.delete(item)
        inbox.session.flush()
        _receive_one(inbox, item.envelope, item.via)
        taken += 1
    return taken


def _find_next_waiting(inbox: _Inbox) -> WaitingDocument | None:
    """Return a record whose predecessor or key is here by now."""
    room = inbox.federation.id
    if is_empty(inbox.session, room):
        return None
    places = inbox.session.exec(
        select(WaitingDocument.origin, WaitingDocument.stream, func.min(WaitingDocument.sequence))
        .where(WaitingDocument.federation == room, WaitingDocument.code == "sequence-gap")
        .group_by(WaitingDocument.origin, WaitingDocument.stream, (col(WaitingDocument.sequence) - 1) // GENERATION)
    ).all()
    for origin, stream, sequence in places:
        head = inbox.memory.find_head(origin, stream)
        first = _first_waiting(inbox, origin=origin, stream=stream, sequence=sequence)
        if sequence <= (head.sequence if head else 0) + 1 or _begins_anew(inbox, first):
            return first
    if not inbox.expired:
        waiting = select(WaitingDocument).where(WaitingDocument.federation == room, WaitingDocument.code == EXPIRED)
        order = (col(WaitingDocument.origin), col(WaitingDocument.stream), col(WaitingDocument.sequence))
        item = inbox.session.exec(waiting.order_by(*order).limit(1)).first()
        if item is not None:
            return item
    for keyids in inbox.session.exec(
        select(WaitingDocument.keyids)
        .where(WaitingDocument.federation == room, WaitingDocument.code == "key-unknown")
        .distinct()
    ).all():
        if any(inbox.memory.find_member(keyid) for keyid in keyids.split()):
            return _first_waiting(inbox, code="key-unknown", keyids=keyids)
    return None


def _begins_anew(inbox: _Inbox, item: WaitingDocument) -> bool:
    """Tell whether a record that waits begins its stream anew after one that is here by now."""
    if not may_reopen(item.sequence):
        return False
    payload = read_object(read_envelope(item.envelope).payload)  # whose signature was verified when it came
    known = inbox.memory.find_record(str(payload.get("previous", "")))
    return known is not None and (known.origin, known.stream) == (item.origin, item.stream)


def _first_waiting(inbox: _Inbox, **equal: object) -> WaitingDocument:
    found = select(WaitingDocument).filter_by(federation=inbox.federation.id, **equal)
    return inbox.session.exec(found.order_by(col(WaitingDocument.since_at), WaitingDocument.id).limit(1)).one()


def _keep_proof(inbox: _Inbox, record: Record, first_id: str) -> None:
    """Keep both signed envelopes of the origin, and show neither as current. A refusal by others proves nothing."""
    first = inbox.session.get(StoredRecord, first_id)
    if first is None or first.state == PLACEHOLDER:
        return
    place = Place(record.federation, record.origin, record.stream, first.sequence)
    keep_contradiction(
        inbox.session, inbox.node, inbox.handlers, place, (first_id, first.envelope), (record.id, record.envelope)
    )


def _keep_refusal_proof(inbox: _Inbox, outcome: Outcome, refusal: Refusal) -> Outcome:
    """Keep what an origin's refusal of its own record proves beside what it said before of that place."""
    held = inbox.session.get_one(StoredRecord, outcome.conflicts_with)
    if held.state == PLACEHOLDER and not is_own_word(held.envelope):
        return outcome
    first = (held.id if held.state != PLACEHOLDER else read_envelope(held.envelope).id, held.envelope)
    second = (read_envelope(refusal.envelope).id, refusal.envelope)
    keep_contradiction(inbox.session, inbox.node, inbox.handlers, _place_of(refusal), first, second)
    return replace(outcome, verdict=Verdict.REFUSED, code="equivocation")


def _place_of(placed: Record | Refusal) -> Place:
    return Place(placed.federation, placed.origin, placed.stream, placed.sequence)


def keep_contradiction(
    session: Session, node: Node, handlers: Handlers, place: Place, first: tuple[str, bytes], second: tuple[str, bytes]
) -> None:
    """Keep two documents (id, envelope) in which an origin contradicts itself; what we held there counts no more."""
    if session.get(Equivocation, second[0]) is None:
        at = node.clock()
        session.add(
            Equivocation(
                id=second[0],
                first_id=first[0],
                federation=place.federation,
                origin=place.origin,
                stream=place.stream,
                sequence=place.sequence,
                first_envelope=first[1],
                envelope=second[1],
                found_at=at,
            )
        )
        write_audit(session, account_id=SYSTEM, action="equivocation.found", subject=place.origin, at=at)
    held = session.get(StoredRecord, first[0]) or _find_at(session, place)
    if held is None or held.state != CURRENT:
        return
    held.state, held.code = EQUIVOCAL, "equivocation"
    session.add(held)
    session.flush()
    withdraw = handlers.get(f"{held.kind}:withdraw")
    if withdraw is not None:
        withdraw(session, held, {})


def _find_at(session: Session, place: Place) -> StoredRecord | None:
    return session.exec(
        select(StoredRecord).where(
            StoredRecord.federation == place.federation,
            StoredRecord.origin == place.origin,
            StoredRecord.stream == place.stream,
            StoredRecord.sequence == place.sequence,
        )
    ).first()
