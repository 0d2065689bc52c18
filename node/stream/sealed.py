"""Sealing to the readers that the member list names now, and the keys with which this node opens.

A record for the hub, one node or a group is sealed where each reader has a listed sealing key, else it goes in clear:
the list is signed, so nobody but the officers can take a key away. We seal to ourselves too, so that a node that lost
its database reads its own records again when peers give them back; what was opened once stays beside the envelope in
the database, like all else that this node knows, so that a lost key costs nothing that was read.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from federation.acceptance import ALL, HUB, NO_KEYS, Record
from federation.documents import read_object
from federation.envelope import SEALED_TYPE, read_envelope
from federation.errors import InputRefused, TrustError
from federation.keys import Member, sealing_public
from federation.sealing import (
    GROUP_KEY,
    MAX_WRAPS,
    Keyring,
    group_key_id,
    is_usable,
    key_id,
    read_inner,
    unseal,
)
from node.context import Node
from node.prepared import Prepared
from node.stream.models import Federation, Home, MemberListState, Peer, StoredRecord
from node.stream.standing import active_at


@dataclass(frozen=True)
class Sealing:
    """How a record of ours is sealed: to these keys, or under the group key of an epoch."""

    to: tuple[str, ...] = ()
    epoch: int = 0
    group_key: bytes = field(default=b"", repr=False)


GROUP_PREFIX, NODE_PREFIX = "group:", "node:"
CURRENT = "current"
_LISTED_GROUPS = Prepared(
    core_select(col(MemberListState.own_groups)).where(col(MemberListState.federation) == bindparam("federation"))
)
_PINNED_GROUPS = Prepared(
    core_select(col(Peer.groups)).where(
        col(Peer.federation) == bindparam("federation"), col(Peer.id) == bindparam("own")
    )
)


def own_member(session: Session, node: Node, federation: Federation | Home) -> Member:
    """Return ourselves as the member list names us."""
    connection, wanted = session.connection(), {"federation": federation.id, "own": node.node_id}
    rows = _LISTED_GROUPS.all(connection, {"federation": federation.id}) or _PINNED_GROUPS.all(connection, wanted)
    groups = frozenset(rows[0][0].split() if rows else ())
    is_hub = federation.hub_id == node.node_id
    return Member(node.node_id, federation.id, node.signer.public_key, is_hub=is_hub, groups=groups)


def find_readers(session: Session, node: Node, federation: Federation, stream: str) -> list[Peer]:
    """Return the active members, ourselves excepted, to whom a stream is addressed."""
    active = select(Peer).where(Peer.federation == federation.id, active_at(node.clock()), Peer.id != node.node_id)
    if stream.startswith(GROUP_PREFIX):
        name = stream.removeprefix(GROUP_PREFIX)
        in_some = session.exec(active.where(Peer.groups != "").order_by(col(Peer.id))).all()
        return [peer for peer in in_some if name in peer.groups.split()]
    reader = federation.hub_id if stream == HUB else stream.removeprefix(NODE_PREFIX)
    return list(session.exec(active.where(Peer.id == reader)).all())


def find_sealing_keys(session: Session, node: Node, federation: Federation, stream: str) -> list[str]:
    """Return the keys to which a record of `stream` is sealed, our own first; empty: it goes in clear.

    A reader without a key, or with one that nothing can be sealed to, is left out, and must not open the record to all.
    In clear goes only what is for nodes of an earlier release alone. Without any reader (held, suspended, gone) a
    record is sealed to ourselves: it can be sealed again to whoever comes back.
    """
    if stream == ALL or not node.sealing_key:
        return []
    readers = find_readers(session, node, federation, stream)
    if readers and not any(peer.sealing_key for peer in readers):
        return []
    keys = [node.sealing_key, *(peer.sealing_key for peer in readers if is_usable(peer.sealing_key))]
    if len(keys) > MAX_WRAPS:
        raise InputRefused("group-too-large", "组内成员过多。", f"A group has at most {MAX_WRAPS} members.")
    return list(dict.fromkeys(keys))


def find_group_key(session: Session, node: Node, federation_id: str, stream: str, to: list[str]) -> tuple[int, bytes]:
    """Return epoch and key of our stream's newest group key; the key is b"" where it was given to other readers."""
    newest = session.exec(
        _group_keys(federation_id, node.node_id, stream).order_by(col(StoredRecord.sequence).desc()).limit(1)
    ).first()
    if newest is None:
        return 0, b""
    payload = _payload_of(newest)
    same = {wrap["key"] for wrap in payload["wraps"]} == {key_id(key) for key in to}
    return payload["epoch"], _open_group_key(node, payload) if same else b""


def find_keyring(session: Session, node: Node, record: Record) -> Keyring:
    """Return what this node can open a record with: its sealing keys, new and old, and the group key of its epoch."""
    if record.sealed is None:
        return NO_KEYS
    private = {key_id(sealing_public(key)): key for key in node.sealing_keys}
    subject = subject_of(record.sealed["epoch"])
    handed_out = session.exec(
        _group_keys(record.federation, record.origin, record.stream).where(StoredRecord.subject == subject)
    ).first()
    if handed_out is None:
        return Keyring(private)
    key = _open_group_key(node, _payload_of(handed_out))
    return Keyring(private, {group_key_id(key): key} if key else {})


def subject_of(epoch: int) -> str:
    """Return the subject of the record that hands out the group key of an epoch; each has but one revision."""
    return f"{GROUP_KEY}/{epoch}"


def take_group_key(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG001
    """Check a group key that was handed out (handler of kind `group-key`); raise InputRefused. Its record keeps it."""
    if record.subject != subject_of(content["epoch"]) or read_envelope(record.envelope).payload_type != SEALED_TYPE:
        raise InputRefused("group-key-mismatch", "组密钥与条目不符。", "The group key is not of this record.")


def _group_keys(federation_id: str, origin: str, stream: str) -> SelectOfScalar[StoredRecord]:
    return select(StoredRecord).where(
        StoredRecord.federation == federation_id,
        StoredRecord.origin == origin,
        StoredRecord.stream == stream,
        StoredRecord.kind == GROUP_KEY,
        StoredRecord.state == CURRENT,
    )


def _payload_of(record: StoredRecord) -> dict[str, Any]:
    return read_object(read_envelope(record.envelope).payload)


def _open_group_key(node: Node, payload: dict[str, Any]) -> bytes:
    """Open it anew each time: no key lies in the database but sealed."""
    private = {key_id(sealing_public(key)): key for key in node.sealing_keys}
    try:
        return bytes.fromhex(read_inner(unseal(payload, Keyring(private)))["content"]["key"])
    except TrustError:  # our own key of that time is lost: what follows keeps its place unread
        return b""
