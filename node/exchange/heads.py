"""Head statements: what we say we hold, what others say, and what follows where the two differ.

    op `heads`   body {"cursor"}: position among the provider's statements up to which the caller has them
                 beside it: statements of the caller that the provider has not seen
    answer       the provider's next statements and their cursor

Beside heads travel both halves of every proof of equivocation, and the last of what was given up where a stream began
anew. A statement is shown to readers of its stream only, a record to those who may have it. We pass on our own
statements and what an origin says of its own streams; what other readers say is compared, not passed on. Where an
origin contradicts what we hold, its statement is half of the proof; where another reader does, we ask that reader for
the records, and two records are the proof.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, func
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from federation.acceptance import ALL, HUB, is_own_word
from federation.client import Link
from federation.documents import read_object
from federation.envelope import HEADS_TYPE, RECEIPT_TYPE, RECORD_TYPE, SEALED_TYPE, read_envelope
from federation.errors import TrustError
from federation.grants import dataflow_of
from federation.keys import Member
from federation.request import Request
from federation.statements import MAX_HEADS, Head, Heads, build_heads, open_heads
from federation.validation import check_schema
from node.context import Node
from node.db import Meta, lock_number, next_number
from node.exchange.inbox import PULL, Handlers, Place, keep_contradiction, receive
from node.exchange.serving import Page, may_have
from node.prepared import Prepared
from node.stream.listed import find_grants
from node.stream.memberlist import list_version
from node.stream.models import (
    Equivocation,
    Federation,
    HeadClaim,
    OriginBreak,
    Peer,
    PeerStatements,
    Statement,
    StoredRecord,
)
from node.stream.sealed import own_member
from node.stream.service import PLACEHOLDER, UNPROVEN, find_member, get_federation

OP, STATED = "heads", "stated"
SAY_AGAIN = timedelta(days=1)
MAX_ENCLOSED = 40
MAX_BYTES = 1_048_576
_COUNTER = "statement"
_STATED = "heads stated up to"  # position of our log, by federation
_TURNS = 200
_ASKED_RECORDS = 50
_OF_STREAM = col(OriginBreak.stream) != ""
_RECORD = RECORD_TYPE.encode()
_LAST = Prepared(
    core_select(col(Statement.position))
    .where(col(Statement.federation) == bindparam("federation"))
    .order_by(col(Statement.position).desc())
    .limit(1)
)


@dataclass(frozen=True)
class Difference:
    """A reader holds another record than we do at a place, or holds more of a stream than we do."""

    issuer: str
    origin: str
    stream: str
    sequence: int
    held: int  # the last sequence that we hold of that stream, at most `sequence`


def reads_stream(member: Member, stream: str, origin: str) -> bool:
    """Tell whether a member may know of a stream: it is its origin, or one of its readers."""
    return (
        member.id == origin
        or stream == ALL
        or (stream == HUB and member.is_hub)
        or stream == f"node:{member.id}"
        or (stream.startswith("group:") and stream.removeprefix("group:") in member.groups)
    )


def state_heads(node: Node) -> int:
    """Sign statements on the heads that changed since we last did, and once a day on our own; return how many."""
    with node.database.read() as session:
        federation = get_federation(session, node)
        stated = session.get(Meta, _stated(federation))
        last = session.exec(select(func.max(StoredRecord.position))).one() or 0
        if (
            stated
            and int(stated.value) >= last
            and not _any_unshown(session)
            and not _due_again(session, node, federation)
        ):
            return 0
    with node.database.write(durable=False) as session:
        lock_number(session, _COUNTER)  # a hub visits many members at once: one states, the others find it stated
        show_proofs(session)
        return _state(session, node, federation)


def _state(session: Session, node: Node, federation: Federation) -> int:
    name = _stated(federation)
    stated = session.get(Meta, name) or Meta(name=name, value="0")
    last = session.exec(select(func.max(StoredRecord.position))).one() or 0
    streams = session.exec(
        select(StoredRecord.origin, StoredRecord.stream)
        .where(StoredRecord.federation == federation.id, StoredRecord.position > int(stated.value))
        .distinct()
    ).all()
    parts: dict[tuple[str, str], list[Head]] = defaultdict(list)
    for origin, stream in sorted({*streams, *_due_again(session, node, federation)}):
        one_audience = stream == ALL or stream.startswith("group:")
        whose = "" if one_audience and origin != node.node_id else origin
        parts[stream, whose].append(_head(session, federation, origin, stream))
    count = 0
    for (stream, _), heads in parts.items():
        for start in range(0, len(heads), MAX_HEADS):
            _sign(session, node, federation, stream, heads[start : start + MAX_HEADS])
            count += 1
    stated.value = str(last)
    session.add(stated)
    session.flush()
    return count


def _stated(federation: Federation) -> str:
    return f"{_STATED} {federation.id}"


def tell_stated(session: Session, federation_id: str) -> dict[str, int]:
    """Say in an answer how far we have stated heads, 0 before the first: whoever has read so far need not ask."""
    rows = _LAST.all(session.connection(), {"federation": federation_id})
    return {STATED: rows[0][0] if rows else 0}


def stated_in(body: Mapping[str, Any]) -> int | None:
    """Return how far an answer's body says that its sender has stated heads; None where it says nothing."""
    told = body.get(STATED)
    return told if type(told) is int else None


def exchange_heads(node: Node, link: Link, handlers: Handlers, *, stated: int) -> None:
    """Show each other what is new, and ask the provider for the records in which it differs from us.

    `stated` is how far the provider says it has stated: where that is read and we have nothing to show, it is not
    asked. What a power cut undoes is said again.
    """
    for _ in range(_TURNS):
        with node.database.read() as session:
            federation = get_federation(session, node)
            row = session.get(PeerStatements, (federation.id, link.provider.id))
            cursor, sent = (row.cursor, row.sent) if row else (0, 0)
            page = read_statements(session, link.provider, sent)
        if stated == cursor and page.cursor == sent:
            break
        answer = link.ask(OP, {"cursor": cursor}, [data for _, data in page.enclosed], at=node.clock())
        stated = -1  # from here on it says itself whether there is more
        if answer.enclosed or (answer.cursor, page.cursor) != (cursor, sent):
            with node.database.write(durable=False) as session:
                for item in answer.enclosed:
                    take_statement(session, node, item.raw, handlers, by=link.provider.id)
                row = _progress(session, federation, link.provider.id)
                row.cursor, row.sent = answer.cursor, page.cursor
        if not (answer.more or page.more):
            break
    _ask_about_differences(node, link, handlers)


def serve_heads(node: Node, opened: Request, enclosed: Sequence[bytes], handlers: Handlers) -> Page:
    """Take what the caller shows and answer with what it has not seen; raise TrustError."""
    check_schema("heads-exchange.v1", opened.body)
    if enclosed:
        with node.database.write(durable=False) as session:
            for data in enclosed:
                take_statement(session, node, data, handlers, by=opened.member.id)
    state_heads(node)
    with node.database.read() as session:
        return read_statements(session, opened.member, opened.body["cursor"])


def read_statements(session: Session, reader: Member, cursor: int, *, issuer: str = "") -> Page:
    """Return what `reader` may see of our statements after position `cursor`, or of those of one issuer."""
    rows = session.exec(
        select(Statement)
        .where(Statement.federation == reader.federation, Statement.position > cursor)
        .order_by(col(Statement.position))
        .limit(500)
    ).all()
    enclosed: list[tuple[str, bytes]] = []
    total = 0
    for row in rows:
        shown = row.issuer != reader.id and issuer in {"", row.issuer} and _may_see(session, reader, row)
        if shown and enclosed and (len(enclosed) == MAX_ENCLOSED or total + len(row.envelope) > MAX_BYTES):
            return Page(enclosed, cursor, more=True)
        cursor = row.position
        if shown:
            total += len(row.envelope)
            enclosed.append((row.id, row.envelope))
    return Page(enclosed, cursor, more=len(rows) == 500)


def take_statement(session: Session, node: Node, data: bytes, handlers: Handlers, *, by: str = "") -> str:
    """Take one document in that `by` has shown to us as evidence; return "" or the code why not."""
    try:
        kind = read_envelope(data).payload_type
        if kind in {RECORD_TYPE, SEALED_TYPE, RECEIPT_TYPE}:
            return receive(session, node, data, handlers, via=PULL, by=by).code
        if kind != HEADS_TYPE:
            return "type-mismatch"
        federation = get_federation(session, node)
        stated = open_heads(data, lambda keyid: find_member(session, node, federation, keyid))
        _take_heads(session, node, federation, stated, handlers)
    except TrustError as error:
        return error.code
    return ""


def find_differences(session: Session, node: Node, federation: Federation, issuer: str) -> list[Difference]:
    """Return where the last word of `issuer` differs from what we hold or goes beyond it."""
    found = []
    for claim in session.exec(
        select(HeadClaim).where(HeadClaim.federation == federation.id, HeadClaim.issuer == issuer)
    ).all():
        held = _held_record(session, federation, claim.origin, claim.stream, claim.sequence)
        if claim.origin == node.node_id or (held is not None and held.id == claim.record_id):
            continue
        last = claim.sequence if held is not None else last_held(session, federation.id, claim.origin, claim.stream)
        found.append(Difference(issuer, claim.origin, claim.stream, claim.sequence, last))
    return found


def keep_shown(
    session: Session, envelope: bytes, *, federation: str, issuer: str, stream: str, origin: str, at: Any
) -> None:
    """Let a document be shown to the readers of its stream."""
    identity = read_envelope(envelope).id
    if session.get(Statement, identity) is None:
        session.add(
            Statement(
                id=identity,
                position=next_number(session, _COUNTER),
                federation=federation,
                issuer=issuer,
                stream=stream,
                origin=origin,
                issued_at=at,
                envelope=envelope,
            )
        )
        session.flush()


def show_proofs(session: Session) -> None:
    """Let both halves of every proof of equivocation be shown to the readers of its stream.

    So is the last record that was given up where a stream began anew: a reader of another branch holds another there.
    """
    for proof in session.exec(select(Equivocation).where(col(Equivocation.shown).is_(False))).all():
        _show(session, proof, proof.first_envelope, proof.envelope)
    for broken in session.exec(select(OriginBreak).where(_OF_STREAM, col(OriginBreak.shown).is_(False))).all():
        _show(session, broken, broken.first_envelope)


def _show(session: Session, found: Equivocation | OriginBreak, *envelopes: bytes) -> None:
    for envelope in envelopes:
        keep_shown(
            session,
            envelope,
            federation=found.federation,
            issuer=found.origin,
            stream=found.stream,
            origin=found.origin,
            at=found.found_at,
        )
    found.shown = True
    session.add(found)


def _any_unshown(session: Session) -> bool:
    proofs = select(Equivocation.id).where(col(Equivocation.shown).is_(False))
    breaks = select(OriginBreak.id).where(_OF_STREAM, col(OriginBreak.shown).is_(False))
    return any(session.exec(found.limit(1)).first() is not None for found in (proofs, breaks))


def _may_see(session: Session, reader: Member, row: Statement) -> bool:
    """Tell whether a reader of the stream may see a document; a record only where the grants let it have that."""
    if not reads_stream(reader, row.stream, row.origin):
        return False
    grants = find_grants(session, reader.federation) if _RECORD in row.envelope else None
    if grants is None:
        return True
    said = read_object(read_envelope(row.envelope).payload)
    return may_have(grants, reader, dataflow_of(str(said.get("kind", "")), str(said.get("subject", ""))))


def _due_again(session: Session, node: Node, federation: Federation) -> list[tuple[str, str]]:
    """Return our own streams of which we have said nothing for a day: a silent origin and a withheld one differ."""
    before = node.clock() - SAY_AGAIN
    return list(
        session.exec(
            select(HeadClaim.origin, HeadClaim.stream).where(
                HeadClaim.federation == federation.id,
                HeadClaim.issuer == node.node_id,
                HeadClaim.origin == node.node_id,
                HeadClaim.issued_at <= before,
            )
        ).all()
    )


def _head(session: Session, federation: Federation, origin: str, stream: str) -> Head:
    sequence, identity = session.exec(
        select(StoredRecord.sequence, StoredRecord.id)
        .where(StoredRecord.federation == federation.id, StoredRecord.origin == origin, StoredRecord.stream == stream)
        .order_by(col(StoredRecord.sequence).desc())
        .limit(1)
    ).one()
    return Head(origin, sequence, identity)


def _sign(session: Session, node: Node, federation: Federation, stream: str, heads: list[Head]) -> None:
    envelope = build_heads(
        node.signer,
        issuer=node.node_id,
        federation=federation.id,
        stream=stream,
        heads=heads,
        list_version=list_version(session, federation.id),
        at=node.clock(),
    )
    own = Member(node.node_id, federation.id, node.signer.public_key)
    stated = open_heads(envelope, lambda _: own)
    origin = heads[0].origin if len({head.origin for head in heads}) == 1 else ""
    _keep_heads(session, stated, heads, origin=origin, shown=True)


def _keep_heads(session: Session, stated: Heads, heads: Iterable[Head], *, origin: str, shown: bool) -> None:
    """Remember what was said; forget statements that say nothing any more which was not said anew."""
    old = set()
    for head in heads:
        key = (stated.federation, stated.issuer, head.origin, stated.stream)
        claim = session.get(HeadClaim, key)
        if claim is None:
            claim = HeadClaim(
                federation=key[0], issuer=key[1], origin=key[2], stream=key[3], sequence=0, record_id="",
                statement="", issued_at=stated.issued_at,
            )  # fmt: skip
        elif (claim.sequence, claim.issued_at) > (head.sequence, stated.issued_at):
            continue
        old.add(claim.statement)
        claim.sequence, claim.record_id = head.sequence, head.id
        claim.statement, claim.issued_at = stated.id, stated.issued_at
        session.add(claim)
    session.flush()
    if shown:
        keep_shown(
            session,
            stated.envelope,
            federation=stated.federation,
            issuer=stated.issuer,
            stream=stated.stream,
            origin=origin,
            at=stated.issued_at,
        )
    for identity in old - {stated.id, ""}:
        row = session.get(Statement, identity)
        used = session.exec(select(HeadClaim.origin).where(HeadClaim.statement == identity).limit(1)).first()
        if row is not None and used is None:
            session.delete(row)
    session.flush()


def _take_heads(session: Session, node: Node, federation: Federation, stated: Heads, handlers: Handlers) -> None:
    """Compare what somebody states with what we hold, and remember it where it matters."""
    if stated.federation != federation.id:
        raise TrustError("audience-mismatch", "声明属于别的联合体。", "The statement is of another federation.")
    if stated.issuer == node.node_id:
        return
    us = own_member(session, node, federation)
    members = _known(session, federation, {head.origin for head in stated.heads}) | {node.node_id}
    heads = [head for head in stated.heads if head.origin in members]  # whoever speaks of nobody fills no table
    readable = [head for head in heads if reads_stream(us, stated.stream, head.origin)]
    own = [head for head in readable if head.origin == stated.issuer]
    for head in own:
        _compare_with_origin(session, node, federation, stated, head, handlers)
    _keep_heads(session, stated, readable, origin=stated.issuer, shown=bool(own) and len(own) == len(stated.heads))


def _known(session: Session, federation: Federation, origins: set[str]) -> set[str]:
    found = select(Peer.id).where(Peer.federation == federation.id, col(Peer.id).in_(origins))
    return set(session.exec(found).all())


def _compare_with_origin(
    session: Session, node: Node, federation: Federation, stated: Heads, head: Head, handlers: Handlers
) -> None:
    held = _held_record(session, federation, head.origin, stated.stream, head.sequence)
    place = Place(federation.id, head.origin, stated.stream, head.sequence)
    theirs = held is not None and (held.state != PLACEHOLDER or is_own_word(held.envelope))
    if held is not None and theirs and held.state != UNPROVEN and held.id != head.id:  # that may be a thief's
        said = held.id if held.state != PLACEHOLDER else read_envelope(held.envelope).id
        keep_contradiction(session, node, handlers, place, (said, held.envelope), (stated.id, stated.envelope))
    before = session.get(HeadClaim, (federation.id, stated.issuer, head.origin, stated.stream))
    if before is not None and before.sequence == head.sequence and before.record_id != head.id:
        first = session.get(Statement, before.statement)
        if first is not None:
            keep_contradiction(session, node, handlers, place, (first.id, first.envelope), (stated.id, stated.envelope))


def _held_record(
    session: Session, federation: Federation, origin: str, stream: str, sequence: int
) -> StoredRecord | None:
    return session.exec(
        select(StoredRecord).where(
            StoredRecord.federation == federation.id,
            StoredRecord.origin == origin,
            StoredRecord.stream == stream,
            StoredRecord.sequence == sequence,
        )
    ).first()


def last_held(session: Session, federation_id: str, origin: str, stream: str) -> int:
    """Return the sequence of the last record that we hold of a stream; 0 where there is none."""
    found = select(func.max(StoredRecord.sequence)).where(
        StoredRecord.federation == federation_id, StoredRecord.origin == origin, StoredRecord.stream == stream
    )
    return session.exec(found).one() or 0


def _progress(session: Session, federation: Federation, peer_id: str) -> PeerStatements:
    row = session.get(PeerStatements, (federation.id, peer_id))
    row = row or PeerStatements(federation=federation.id, peer_id=peer_id)
    session.add(row)
    return row


def _ask_about_differences(node: Node, link: Link, handlers: Handlers) -> None:
    """Ask a reader for the records in which it differs from us, back to where the two branches part."""
    with node.database.read() as session:
        federation = get_federation(session, node)
        differences = find_differences(session, node, federation, link.provider.id)
    for one in differences:
        last = one.sequence
        if one.held < last:  # it has more than we do, and perhaps of another branch
            last = one.held if "previous-mismatch" in _ask(node, link, handlers, one, one.held + 1, last) else 0
        while last > 0:
            first = max(1, last - _ASKED_RECORDS + 1)
            codes = _ask(node, link, handlers, one, first, last)
            last = first - 1 if codes[:1] == ["equivocation"] else 0


def _ask(node: Node, link: Link, handlers: Handlers, one: Difference, first: int, last: int) -> list[str]:
    """Ask for records of the stream and take them in; return what became of each, as codes."""
    last = min(last, first + _ASKED_RECORDS - 1)
    wanted = {"origin": one.origin, "stream": one.stream, "first": first, "last": last}
    answer = link.ask("missing", wanted, at=node.clock())
    with node.database.write() as session:
        return [
            receive(session, node, item.raw, handlers, via=PULL, by=link.provider.id).code for item in answer.enclosed
        ]
