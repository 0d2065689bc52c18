"""The hub's desk (受理): requests of nodes, and drafts of the member list on their way to t officers.

Their states are tables in `node.stream.states`, drawn in `docs/states.md`.

The hub decides nothing: it keeps what has a valid signature, counts, and publishes what t officers have signed. A
draft counts here when its outcome names this node as the hub, so that a new hub can take over where the old one is
gone or hostile.

Anybody may ask in anybody's name. So a request that a listed, active key of that member has signed too has room of its
own and takes that of the others in its name, but for one to replace a lost key; of the others a few are kept, the
newest, for 14 days. A request takes the place of the earlier one by the same key. What a draft grants stays.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from federation.client import check_url
from federation.drafts import (
    OUTDATED,
    PUBLISHED,
    SIGNED,
    Draft,
    complete,
    digest_of,
    merge_signatures,
    progress,
    read_draft,
    read_outcome,
    state_of,
    write_draft,
)
from federation.enrolment import JOIN, REPLACE, Applicant, EnrolmentRequest, read_request
from federation.errors import Conflict, InputRefused, NetworkError, TrustError, UsageError
from federation.keys import read_public_key
from federation.membership import MemberList
from federation.roll import LEFT, MemberEntry, Roll
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange.inbox import Handlers, take_waiting
from node.exchange.membership import publish_members
from node.stream.memberlist import find_state, list_signer, open_held, pin, store_list, succeed
from node.stream.models import Federation, JoinRequest, ListDraft, Peer, PeerKey
from node.stream.peers import find_peer
from node.stream.service import find_own
from node.stream.standing import ACTIVE

PENDING, PROPOSED, LISTED, DROPPED = "pending", "proposed", "listed", "dropped"
MAX_PENDING, MAX_OF_ONE, MAX_DRAFTS = 500, 3, 50
KEEP_STRANGERS = timedelta(days=14)
_OPEN_REQUESTS, _OPEN_DRAFTS = (PENDING, PROPOSED), ("proposed", SIGNED)


def receive_request(node: Node, data: bytes) -> dict[str, Any]:
    """Keep a request for the officers; the same again changes nothing. Raise InputRefused, TrustError, Conflict."""
    request = read_request(data)  # the proof of possession, before anything it covers is read
    if request.applicant.url:
        _check_address(request.applicant.url)
    with node.database.write() as session:
        federation = _our_federation(session, node, request.federation)
        row = session.get(JoinRequest, request.envelope_id)
        row = row or _newer_of_key(session, request)
        if row is None:  # one that was dropped stays so: a new request may be made
            _check_owner(session, federation, request)
            cosigned = _is_cosigned(session, federation, request)
            granted_by = _granted_by(session, request)
            _make_room(session, node, request, cosigned=cosigned)
            row = JoinRequest(
                id=request.envelope_id,
                node_id=request.applicant.id,
                keyid=request.key.keyid,
                kind=request.kind,
                name=request.applicant.name,
                file=data,
                state=LISTED if _is_listed(session, node, federation.id, request) else PENDING,
                received_at=node.clock(),
                issued_at=min(request.issued_at, node.clock()) if request.issued_at else None,
                cosigned=cosigned,
            )
            if granted_by and row.state == PENDING:
                row.state, row.draft = PROPOSED, granted_by
            session.add(row)
            session.flush()
        return _request_json(session, row)


def describe(node: Node, name: str) -> bytes:
    """Return as JSON how the requests of a node stand (by its id), one request, or a draft (by its digest)."""
    with node.database.read() as session:
        draft = session.get(ListDraft, name)
        if draft is not None:
            return draft.file
        which = JoinRequest.node_id == name if name.startswith("n-") else JoinRequest.id == name
        rows = session.exec(
            select(JoinRequest).where(which, JoinRequest.state != DROPPED).order_by(col(JoinRequest.received_at).desc())
        ).all()
        if not rows:
            raise InputRefused("request-unknown", "没有这份申请或草稿。", "There is no such request or draft.")
        return json.dumps({"requests": [_request_json(session, row) for row in rows]}, ensure_ascii=False).encode()


def receive_draft(node: Node, data: bytes, handlers: Handlers) -> dict[str, Any]:
    """Take a draft or further signatures on one, and publish it once t officers have signed.

    Raise TrustError where no officer has signed it, Conflict where it was made from another list.
    """
    draft = read_draft(data)
    with node.database.write() as session:
        held = open_held(session, draft.federation, node.clock())
        row = session.get(ListDraft, digest_of(draft))
        _check_draft(session, node, held, draft, known=row is not None)
        if row is not None and row.state != PUBLISHED:
            draft = merge_signatures(held, read_draft(row.file), draft)
        row = row or ListDraft(digest=digest_of(draft), state="", file=b"", changed_at=node.clock())
        return _advance(session, node, held, draft, row, handlers)


def take_file(node: Node, actor: Actor, data: bytes, handlers: Handlers) -> dict[str, Any]:
    """Take in a request or a signed draft that came as a file; raise InputRefused for anything else."""
    check_permission(actor, "peer.write")
    try:
        draft = read_draft(data)
    except InputRefused:
        return receive_request(node, data)
    return receive_draft(node, write_draft(draft), handlers)


def keep_founding(session: Session, node: Node, draft: Draft, *, formerly: str = "") -> ListDraft:
    """Keep the draft of the federation's first list for its officers; called by who may do so at the hub."""
    row = ListDraft(digest=digest_of(draft), state="proposed", file=write_draft(draft), changed_at=node.clock())
    row.signed, row.needed = _count(None, draft)
    row.formerly = formerly
    return session.merge(row)


def drop_request(node: Node, actor: Actor, name: str) -> int:
    """Put aside what a node (by its id) or one request asks and no draft grants; return how many requests that were.

    So strangers cannot fill the desk for good. Raise InputRefused where nothing of the kind is pending.
    """
    check_permission(actor, "peer.write")
    with node.database.write() as session:
        which = JoinRequest.node_id == name if name.startswith("n-") else JoinRequest.id == name
        rows = session.exec(select(JoinRequest).where(which, JoinRequest.state == PENDING)).all()
        if not rows:
            raise InputRefused("request-unknown", "没有这份待处理的申请。", "No such request is pending.")
        for row in rows:
            row.state = DROPPED
            session.add(row)
        write_audit(session, account_id=actor.account_id, action="member.drop-request", subject=name, at=node.clock())
    return len(rows)


def list_requests(session: Session) -> list[dict[str, Any]]:
    """Return the requests that are not dropped: those that a listed key has signed too first, then the newest."""
    order = (col(JoinRequest.cosigned).desc(), col(JoinRequest.received_at).desc())
    rows = session.exec(select(JoinRequest).where(JoinRequest.state != DROPPED).order_by(*order).limit(200)).all()
    return [_request_json(session, row) for row in rows]


def list_drafts(session: Session) -> list[ListDraft]:
    """Return the drafts that wait for signatures, newest first."""
    rows = select(ListDraft).where(col(ListDraft.state).in_(_OPEN_DRAFTS))
    return list(session.exec(rows.order_by(col(ListDraft.changed_at).desc())).all())


def _advance(
    session: Session, node: Node, held: MemberList | None, draft: Draft, row: ListDraft, handlers: Handlers
) -> dict[str, Any]:
    row.file, row.changed_at, row.state = write_draft(draft), node.clock(), state_of(held, draft)
    row.signed, row.needed = _count(held, draft)
    roll = read_outcome(held, draft).roll
    if row.state == SIGNED:
        found = complete(held, draft, list_signer(node, roll), now=node.clock())
        _publish(session, node, found, row, handlers)
    session.add(row)
    session.flush()
    _mark_requests(session, roll, row)
    return {"draft": row.digest, "state": row.state, "signed": row.signed, "needed": row.needed}


def _publish(session: Session, node: Node, found: MemberList, row: ListDraft, handlers: Handlers) -> None:
    if session.get(Federation, found.federation) is None:
        federation = Federation(
            id=found.federation, name=found.roll.name, hub_id=found.roll.hub, joined_at=node.clock()
        )
        succeed(session, row.formerly, federation)
    if find_state(session, found.federation) is None:
        root = found.files["1.root.json"]
        pin(session, found.federation, root, hub_keyid=found.roll.hub_keyid, formerly=row.formerly)
    store_list(session, node, found, source=node.node_id)
    state = find_state(session, found.federation)
    if state is not None:
        state.signed_at = node.clock()
        session.add(state)
    for other in list_drafts(session):
        if other.digest != row.digest and state_of(found, read_draft(other.file)) == OUTDATED:
            other.state = OUTDATED
            session.add(other)
    row.state = PUBLISHED
    publish_members(session, node, session.get_one(Federation, found.federation))
    take_waiting(session, node.within(found.federation), handlers)
    at = node.clock()
    write_audit(session, account_id="system", action="list.published", subject=row.digest, at=at, signed=row.signed)


def _mark_requests(session: Session, roll: Roll, row: ListDraft) -> None:
    """Say of each open request whether this draft grants it, and whether that is published."""
    rows = session.exec(select(JoinRequest).where(col(JoinRequest.state).in_(_OPEN_REQUESTS))).all()
    for request in rows:
        if _grants(roll, request):
            request.state = LISTED if row.state == PUBLISHED else PROPOSED
            request.draft = row.digest
        elif row.state == PUBLISHED and request.state == PROPOSED:  # its draft is outdated
            request.state, request.draft = PENDING, ""
            request.received_at = row.changed_at  # its days at the desk begin anew
        session.add(request)


def _grants(roll: Roll, request: JoinRequest) -> bool:
    entry = roll.members.get(request.node_id)
    if entry is None or entry.status == LEFT or request.keyid not in {key.keyid for key in entry.active_keys}:
        return False
    return _reached_alike(entry, read_request(request.file).applicant)


def _check_draft(session: Session, node: Node, held: MemberList | None, draft: Draft, *, known: bool) -> None:
    """Refuse a draft that no officer has signed, or that another hub would have to publish."""
    if held is None and not known:
        raise TrustError("draft-unknown", "本节点没有这份草稿。", "This draft was not made here.")
    if read_outcome(held, draft).roll.hub != node.node_id:
        raise Conflict("not-hub", "草稿须交给其汇总节点。", "A draft is handed to the hub that it names.")
    signed = {keyid for count in progress(held, draft) for keyid in count.signed}
    if held is not None:  # a stranger's draft may name the stranger as its officer
        signed &= {officer.keyid for officer in held.roll.officers}
    if not signed:
        raise TrustError("officer-unknown", "草稿没有管理员的有效签名。", "No officer's signature is on this draft.")
    open_drafts = session.exec(
        select(func.count()).select_from(ListDraft).where(col(ListDraft.state).in_(_OPEN_DRAFTS))
    ).one()
    if not known and open_drafts >= MAX_DRAFTS:
        raise _full("draft-room-full")


def _count(held: MemberList | None, draft: Draft) -> tuple[int, int]:
    """Return signatures there and needed, of the count that lacks most."""
    worst = max(progress(held, draft), key=lambda count: count.missing)
    return len(worst.signed), worst.needed


def _our_federation(session: Session, node: Node, wanted: str) -> Federation:
    federation = find_own(session, node)
    if federation is None:
        raise Conflict("not-hub", "入会申请请交给汇总节点。", "A request is handed to the hub.")
    if wanted not in {"", federation.id}:
        raise TrustError("audience-mismatch", "这是给另一联合体的申请。", "The request is for another federation.")
    return federation


def _newer_of_key(session: Session, request: EnrolmentRequest) -> JoinRequest | None:
    """Return the request by the same key that was made later: an old one that somebody sends again changes nothing."""
    for row in session.exec(_of_key(request)).all():
        if row.issued_at is not None and (request.issued_at is None or row.issued_at > request.issued_at):
            return row
    return None


def _granted_by(session: Session, request: EnrolmentRequest) -> str:
    """Return the draft that grants the same as asked before by the same key, "" where there is none."""
    for row in session.exec(_of_key(request).where(JoinRequest.state == PROPOSED)).all():
        before = read_request(row.file)
        if (before.kind, before.applicant) == (request.kind, request.applicant):
            return row.draft
    return ""


def _make_room(session: Session, node: Node, request: EnrolmentRequest, *, cosigned: bool) -> None:
    """Take away what this request replaces or outdates, and the oldest of what fills the desk."""
    _delete(session, session.exec(_of_key(request)).all())
    unsigned = select(JoinRequest).where(JoinRequest.state == PENDING, col(JoinRequest.cosigned).is_(False))
    in_its_name = JoinRequest.node_id == request.applicant.id
    _delete(session, session.exec(unsigned.where(JoinRequest.received_at < node.clock() - KEEP_STRANGERS)).all())
    if cosigned:
        _delete(session, session.exec(unsigned.where(in_its_name, JoinRequest.kind != REPLACE)).all())
        _push_out(session, col(JoinRequest.cosigned) & in_its_name, MAX_OF_ONE)
        return
    _push_out(session, ~col(JoinRequest.cosigned) & in_its_name, MAX_OF_ONE)
    _push_out(session, ~col(JoinRequest.cosigned), MAX_PENDING)


def _of_key(request: EnrolmentRequest) -> SelectOfScalar[JoinRequest]:
    kept = select(JoinRequest).where(JoinRequest.keyid == request.key.keyid, JoinRequest.state != DROPPED)
    return kept.where(JoinRequest.node_id == request.applicant.id)


def _push_out(session: Session, which: Any, most: int) -> None:
    """Delete the oldest pending ones of these so that one more fits."""
    open_ones = col(JoinRequest.state).in_(_OPEN_REQUESTS)
    count = session.exec(select(func.count()).select_from(JoinRequest).where(open_ones, which)).one()
    pending = select(JoinRequest).where(JoinRequest.state == PENDING, which)
    oldest = pending.order_by(col(JoinRequest.received_at), col(JoinRequest.id)).limit(max(0, count + 1 - most))
    _delete(session, session.exec(oldest).all())


def _delete(session: Session, rows: Sequence[JoinRequest]) -> None:
    for row in rows:
        session.delete(row)
    session.flush()


def _is_cosigned(session: Session, federation: Federation, request: EnrolmentRequest) -> bool:
    """Tell whether a key that is listed as the applicant's and active has signed the request."""
    keys = select(PeerKey.public_key).where(PeerKey.federation == federation.id, PeerKey.status == ACTIVE)
    listed = session.exec(keys.where(PeerKey.peer_id == request.applicant.id)).all()
    return any(request.is_signed_by(read_public_key(pem)) for pem in listed)


def _check_owner(session: Session, federation: Federation, request: EnrolmentRequest) -> None:
    owner = session.get(PeerKey, (federation.id, request.key.keyid))
    if owner is not None and owner.peer_id != request.applicant.id:
        raise TrustError("list-key-twice", "此公钥已属另一成员。", "This key belongs to another member already.")


def _is_listed(session: Session, node: Node, federation_id: str, request: EnrolmentRequest) -> bool:
    owner = session.get(PeerKey, (federation_id, request.key.keyid))
    if request.kind != JOIN or owner is None or owner.status != "active":
        return False
    peer = find_peer(session, federation_id, owner.peer_id)
    if peer is None or not _reached_alike(peer, request.applicant):
        return False
    held = open_held(session, federation_id, node.clock()) if peer.status != ACTIVE else None
    return held is None or held.members[peer.id].status != LEFT  # who left asks to come back


def _reached_alike(listed: MemberEntry | Peer, asked: Applicant) -> bool:
    """Tell whether a member is listed with the way to reach it that it asks for: address, transport, sealing key."""
    return (listed.url, listed.transport, listed.sealing_key) == (asked.url, asked.transport, asked.sealing_key)


def _check_address(url: str) -> None:
    try:
        check_url(url)
    except UsageError as error:
        raise InputRefused(error.code, error.text.zh, error.text.en) from error


def _full(code: str) -> NetworkError:
    return NetworkError(
        code, "待处理的申请过多，请稍后再试。", "Too many wait already; try again later.", retry_after_seconds=3600
    )


def _request_json(session: Session, row: JoinRequest) -> dict[str, Any]:
    draft = session.get(ListDraft, row.draft) if row.draft else None
    return {
        "id": row.node_id,
        "request": row.id,
        "kind": row.kind,
        "name": row.name,
        "keyid": row.keyid,
        "state": row.state,
        "draft": row.draft,
        "signed": draft.signed if draft else 0,
        "needed": draft.needed if draft else 0,
        "received_at": row.received_at.isoformat(),
        "cosigned": row.cosigned,
        "file": row.file.decode(),
    }
