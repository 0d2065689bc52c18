"""Our own streams: sign a record, give it its place, and note who must get it, all in the caller's transaction.

The position in the log is gapless and is taken under a lock that is held until commit: a reader that has seen
position n has seen every position below. The content is spliced in as exactly the bytes that were approved.
"""

from datetime import datetime
from typing import Any

from securesystemslib.signer import Key
from sqlalchemy import ColumnElement, and_, bindparam, literal, null
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from federation.acceptance import (
    Record,
    check_content_schema,
    check_grant,
    open_with_plaintext,
    read_signed_record,
)
from federation.documents import dump_document, read_object, sha256_hex, splice
from federation.envelope import MAX_ENVELOPE_BYTES, RECORD_TYPE, SEALED_TYPE, read_envelope, sign
from federation.errors import Conflict, InputRefused, TrustError
from federation.keys import Member, read_public_key
from federation.sealing import GROUP_KEY, MAX_MEMBER_WRAPS, new_group_key, seal, write_inner
from node.audit import write_audit
from node.audit.events import SYSTEM
from node.clock import format_time
from node.context import Node
from node.db import lock_number, next_number
from node.prepared import Prepared
from node.stream.listed import find_grants, find_schema
from node.stream.log import append_leaf
from node.stream.marks import Head, note_mark
from node.stream.models import Federation, Home, Peer, PeerKey, StoredRecord
from node.stream.outbox import fill_outbox
from node.stream.recovery import check_may_sign, next_sequence
from node.stream.sealed import Sealing, find_group_key, find_sealing_keys, own_member, subject_of
from node.stream.standing import ACTIVE, RETIRED, counts
from schemas import has_schema, schema_digest

CURRENT, QUARANTINED, PLACEHOLDER, EQUIVOCAL = "current", "quarantined", "placeholder", "equivocal"
ABANDONED = "abandoned"  # its origin was restored, does not know it, and began the stream anew
UNPROVEN = "unproven"  # signed by a revoked key, and nothing shows that it is older
SEALED, CARRIED = "sealed", "carried"  # a state, and the code in it of what we only pass on
VERSION = 1


_IS_PRESENT = col(Federation.left_at).is_(None)  # not founded anew as another
# statements of every request: built once
_HOMES = Prepared(
    core_select(col(Federation.id), col(Federation.hub_id))
    .where(_IS_PRESENT)
    .order_by(col(Federation.joined_at), col(Federation.id))
)
_FEDERATIONS = select(Federation).where(_IS_PRESENT).order_by(col(Federation.joined_at), col(Federation.id))
_OF_PEER = (col(Peer.status), col(Peer.held_from), col(Peer.held_until), col(Peer.groups), col(Peer.sealing_key))
_OF_KEY = (col(PeerKey.retired_at), *_OF_PEER)
_LISTED = Prepared(
    core_select(col(PeerKey.peer_id), col(PeerKey.public_key), col(PeerKey.status), col(PeerKey.revoked_at), *_OF_KEY)
    .select_from(PeerKey)
    .outerjoin(Peer, and_(col(Peer.federation) == col(PeerKey.federation), col(Peer.id) == col(PeerKey.peer_id)))
    .where(col(PeerKey.federation) == bindparam("federation"), col(PeerKey.keyid) == bindparam("keyid"))
)
_PINNED = Prepared(
    core_select(col(Peer.id), col(Peer.public_key), literal(ACTIVE), null(), null(), *_OF_PEER).where(
        col(Peer.federation) == bindparam("federation"), col(Peer.keyid) == bindparam("keyid")
    )
)


def list_federations(session: Session) -> list[Federation]:
    """Return the federations this node belongs to, the first joined first; those founded anew as another are gone."""
    return list(session.exec(_FEDERATIONS).all())


def find_federation(session: Session, node: Node) -> Federation | None:
    """Return the federation in which `node` speaks, else the only one; None where it has joined none.

    Raise Conflict where there are several and nobody has said which.
    """
    joined = list_federations(session)
    if node.federation:
        return next((one for one in joined if one.id == node.federation), None)
    if len(joined) > 1:
        raise _ambiguous(joined)
    return joined[0] if joined else None


def get_federation(session: Session, node: Node) -> Federation:
    """Return the federation as `find_federation` does; raise Conflict with the mend where there is none."""
    federation = find_federation(session, node)
    if federation is None:
        raise _unknown(list_federations(session)) if node.federation else _no_federation()
    return federation


def find_home(session: Session, node: Node) -> Federation | None:
    """Return the federation of which a stranger is told: the one asked for, the one whose hub we are, or the only one.

    None where there are several: whoever asks for none in particular learns of none.
    """
    joined = list_federations(session)
    if node.federation:
        return next((one for one in joined if one.id == node.federation), None)
    ours = [one for one in joined if one.hub_id == node.node_id] or joined
    return ours[0] if len(ours) == 1 else None


def find_own(session: Session, node: Node) -> Federation | None:
    """Return the federation whose hub this node is, whatever others it is in; None where it is none's."""
    own = [one for one in list_federations(session) if one.hub_id == node.node_id]
    if len(own) > 1:  # t officers handed another one over to it
        return find_federation(session, node)
    return own[0] if own else None


def list_homes(session: Session) -> list[Home]:
    """Return the federations as `list_federations` does, on the hot path of every request; raise Conflict for none."""
    rows = _HOMES.all(session.connection(), {})
    if not rows:
        raise _no_federation()
    return [Home(*row) for row in rows]


def get_home(session: Session, node: Node) -> Home:
    """Return what `get_federation` does of it, on the hot path of every record; raise Conflict."""
    homes = [home for home in list_homes(session) if node.federation in {"", home.id}]
    if len(homes) == 1:
        return homes[0]
    federation = get_federation(session, node)  # which says what is wrong
    return Home(federation.id, federation.hub_id)


def get_named(session: Session, text: str) -> Federation:
    """Return the federation of this id or name; raise InputRefused with the choices."""
    joined = list_federations(session)
    found = [one for one in joined if text in {one.id, one.name}]
    if len(found) != 1:
        raise _unknown(joined)
    return found[0]


def _no_federation() -> Conflict:
    return Conflict(
        "federation-missing",
        "本节点尚未加入任何联合体，请先运行 gonghui peer add。",
        "This node has joined no federation; run `gonghui peer add` first.",
    )


def _unknown(joined: list[Federation]) -> InputRefused:
    return InputRefused(
        "federation-unknown",
        f"没有这样的联合体，或名称不唯一。本节点的联合体：{_named(joined, '、') or '无'}。",
        f"No such federation, or the name is not unique. This node is in: {_named(joined, ', ') or 'none'}.",
    )


def _ambiguous(joined: list[Federation]) -> Conflict:
    return Conflict(
        "federation-ambiguous",
        f"本节点属于 {len(joined)} 个联合体，请用 gonghui --federation 名称 … 指明：{_named(joined, '、')}。",
        f"This node is in {len(joined)} federations; say which, `gonghui --federation NAME …`: {_named(joined, ', ')}.",
        federations=[one.id for one in joined],
    )


def _named(joined: list[Federation], between: str) -> str:
    return between.join(f"{one.name} ({one.id})" for one in joined)


def find_member(session: Session, node: Node, federation: Federation | Home, keyid: str) -> Member | None:
    """Return who owns the key `keyid` in this federation: ourselves, or a peer whatever its status.

    A key is active, retired (what it signed stands, it asks for nothing new) or revoked at a time.
    """
    own: Key = node.signer.public_key
    if keyid == own.keyid:
        return Member(node.node_id, federation.id, own, is_hub=federation.hub_id == node.node_id)
    wanted = {"federation": federation.id, "keyid": keyid}
    connection = session.connection()
    rows = _LISTED.all(connection, wanted) or _PINNED.all(connection, wanted)  # or pinned by hand, without a list
    if not rows:
        return None
    identity, pem, key_status, revoked_at, retired_at, *of_peer = rows[0]
    status, held_from, held_until, groups, sealing_key = of_peer
    key = read_public_key(pem)
    if key.keyid != keyid:  # the id is computed from the key, never believed
        return None
    return Member(
        identity,
        federation.id,
        key,
        active=identity == node.node_id  # an older key of our own
        or counts(status, held_from, held_until, node.clock()),
        is_hub=identity == federation.hub_id,
        groups=frozenset((groups or "").split()),
        sealing_key=sealing_key or "",
        revoked_at=revoked_at,
        retired=key_status == RETIRED,
        retired_at=retired_at,
    )


def append_record(
    session: Session,
    node: Node,
    *,
    federation: Federation | str,
    stream: str,
    kind: str,
    subject: str,
    revision: int,
    supersedes: str,
    schema: str,
    content: bytes,
) -> StoredRecord:
    """Sign `content` (exactly these bytes) as the next record of our `stream`; raise InputRefused or Conflict.

    `schema` is a name such as `release.v1`; `supersedes` the id of the revision before, "" for the first.
    """
    federation_id = federation if isinstance(federation, str) else federation.id
    row = session.get(Federation, federation_id)
    if row is None:
        raise Conflict(
            "federation-missing", "没有这个联合体。", "There is no such federation.", federation=federation_id
        )
    lock_number(session, "log")  # from here on nobody else appends
    sealing = _prepare_sealing(session, node, row, stream, kind)
    position = next_number(session, "log")
    head = session.exec(
        select(StoredRecord)
        .where(_own(node, federation_id, stream))
        .order_by(col(StoredRecord.sequence).desc())
        .limit(1)
    ).first()
    last = Head(head.sequence, head.id) if head else None
    check_may_sign(session, node, row, stream, last)
    _check_next_revision(session, node, federation_id, stream, subject, revision, supersedes)
    at = node.clock()
    place = {
        "version": VERSION,
        "origin": node.node_id,
        "audience": {"federation": federation_id, "readers": stream},
        "stream": stream,
        "sequence": next_sequence(session, federation_id, stream, last),
        "previous": head.id if head else "",
        "issued_at": format_time(at),
    }
    said = {
        "kind": kind,
        "schema": _schema_reference(session, row.id, schema),
        "subject": subject,
        "revision": revision,
        "supersedes": supersedes,
        "policy": "",
    }
    record = _sign(node, row, place, said, content, sealing)
    _check_own(session, node, row, record)
    stored = keep(session, record, position=position, stored_at=at)
    fill_outbox(session, node.node_id, row, stored)
    write_audit(
        session,
        account_id=SYSTEM,
        action="record.sign",
        subject=stored.id,
        at=at,
        kind=kind,
        stream=stream,
        sequence=stored.sequence,
    )
    note_mark(session, node, federation_id, stream, Head(stored.sequence, stored.id))
    return stored


def keep(
    session: Session,
    record: Record,
    *,
    position: int,
    stored_at: datetime,
    state: str = CURRENT,
    code: str = "",
    flush: bool = True,
) -> StoredRecord:
    """Store a record, own or received, at its position, with its leaf in the log.

    Without `flush` it is written when the caller flushes, its state settled.
    """
    stored = StoredRecord(
        id=record.id,
        position=position,
        federation=record.federation,
        origin=record.origin,
        stream=record.stream,
        sequence=record.sequence,
        previous=record.previous,
        kind=record.kind,
        subject=record.subject,
        revision=record.revision,
        issued_at=record.issued_at,
        stored_at=stored_at,
        state=state,
        code=code,
        envelope=record.envelope,
        opened=b"" if record.kind == GROUP_KEY else record.opened,
    )
    session.add(stored)
    if flush:
        session.flush()
    append_leaf(session, record.id)
    return stored


def _prepare_sealing(session: Session, node: Node, federation: Federation, stream: str, kind: str) -> Sealing | None:
    """Return how to seal to those who read `stream` now, None for in clear; first hand a group key out where due."""
    to = find_sealing_keys(session, node, federation, stream)
    if not to:
        return None
    if len(to) <= MAX_MEMBER_WRAPS:
        return Sealing(tuple(to))
    epoch, key = find_group_key(session, node, federation.id, stream, to)
    if kind == GROUP_KEY:
        return Sealing(tuple(to), epoch + 1)
    if not key:
        epoch, key = epoch + 1, new_group_key()
        append_record(
            session,
            node,
            federation=federation,
            stream=stream,
            kind=GROUP_KEY,
            subject=subject_of(epoch),
            revision=1,
            supersedes="",
            schema=f"{GROUP_KEY}.v1",
            content=dump_document({"epoch": epoch, "key": key.hex()}),
        )
    return Sealing((), epoch, key)


def _schema_reference(session: Session, federation_id: str, name: str) -> dict[str, object]:
    kind, _, version = name.partition(".v")
    listed = b"" if has_schema(name) else find_schema(session, federation_id, name)
    if not listed and not has_schema(name):
        raise InputRefused("schema-unknown", f"没有格式定义 {name}。", f"There is no schema {name}.")
    return {"id": kind, "version": int(version), "sha256": sha256_hex(listed) if listed else schema_digest(name)}


def _sign(
    node: Node,
    federation: Federation,
    place: dict[str, object],
    said: dict[str, object],
    content: bytes,
    sealing: Sealing | None,
) -> Record:
    """Sign, then read what was signed as any receiver would: what we would refuse we do not say."""
    if len(content) > MAX_ENVELOPE_BYTES:
        raise _too_large()
    own = Member(node.node_id, federation.id, node.signer.public_key, is_hub=federation.hub_id == node.node_id)
    find_own = {own.key.keyid: own}.get
    try:
        if sealing is None:
            envelope = sign(splice({**place, **said}, "content", content), RECORD_TYPE, node.signer)
            record, _ = read_signed_record(_check_size(envelope), find_own)
        else:
            header = {**place, "list": federation.list_version, "epoch": sealing.epoch}
            inner = write_inner(said, content)
            payload = seal(header, inner, to=sealing.to, group_key=sealing.group_key)
            record, _ = read_signed_record(_check_size(sign(payload, SEALED_TYPE, node.signer)), find_own)
            record = open_with_plaintext(record, inner)
    except TrustError as error:
        raise InputRefused(error.code, error.text.zh, error.text.en, **error.params) from error
    return record


def _check_own(session: Session, node: Node, federation: Federation, record: Record) -> None:
    """Take the inner steps on our own record; raise InputRefused with the code that a receiver would give."""
    grants = find_grants(session, federation.id)
    try:
        check_content_schema(record, lambda name: find_schema(session, federation.id, name))
        if grants is not None:
            check_grant(record, own_member(session, node, federation), grants)
    except TrustError as error:
        raise InputRefused(error.code, error.text.zh, error.text.en, **error.params) from error
    required = grants.required_schema(record.kind, record.issued_at) if grants else ""
    if required not in {"", record.schema}:
        raise InputRefused(
            "schema-retired",
            f"名录要求现在使用 {required}，请升级本节点。",
            f"The member list requires {required} by now; update this node.",
        )


def _check_size(envelope: bytes) -> bytes:
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise _too_large()
    return envelope


def _too_large() -> InputRefused:
    return InputRefused(
        "record-too-large",
        f"条目超过 {MAX_ENVELOPE_BYTES} 字节。",
        f"The record is larger than {MAX_ENVELOPE_BYTES} bytes.",
    )


def _own(node: Node, federation_id: str, stream: str) -> ColumnElement[bool]:
    return (
        (col(StoredRecord.federation) == federation_id)
        & (col(StoredRecord.origin) == node.node_id)
        & (col(StoredRecord.stream) == stream)
    )


def _check_next_revision(
    session: Session, node: Node, federation_id: str, stream: str, subject: str, revision: int, supersedes: str
) -> None:
    last = session.exec(
        select(StoredRecord)
        .where(_own(node, federation_id, stream), StoredRecord.subject == subject)
        .order_by(col(StoredRecord.revision).desc())
        .limit(1)
    ).first()
    expected = (last.revision + 1, last.id) if last else (1, "")
    if (revision, supersedes) != expected:
        raise Conflict(
            "revision-taken",
            "此主题已有更新的修订，请刷新后重试。",
            "This subject has a newer revision; reload and try again.",
            have=expected[0] - 1,
        )


def read_content(record: StoredRecord) -> dict[str, Any]:
    """Return the content of a record that was verified when it was stored."""
    content: dict[str, Any] = read_object(record.opened or read_envelope(record.envelope).payload)["content"]
    return content
