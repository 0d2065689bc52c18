"""Whom we know: the hub whose key was pinned by hand, and the members whose keys its signed list names.

The pinned key never changes by anything that comes over the network. Failures of a peer are kept here, so that a
restart does not begin to knock anew, and are cleared by any verified contact.
"""

from datetime import datetime, timedelta
from secrets import SystemRandom
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from federation.errors import InputRefused, TrustError
from federation.keys import Member, read_public_key
from node.audit import write_audit
from node.config import SyncSection
from node.context import NODE_ID
from node.db import Meta
from node.prepared import Prepared
from node.stream.models import Federation, MemberListState, Peer, PeerKey, PeerRead, StoredRecord
from node.stream.service import CURRENT
from node.stream.standing import ACTIVE, SUSPENDED, is_active

MEMBER_LIST = "member-list"
_RANDOM = SystemRandom()
_FURTHER = Prepared(
    core_select(col(PeerKey.public_key)).where(
        col(PeerKey.federation) == bindparam("federation"),
        col(PeerKey.peer_id) == bindparam("peer"),
        col(PeerKey.status) == ACTIVE,
        col(PeerKey.keyid) != bindparam("keyid"),
    )
)


def find_peer(session: Session, federation_id: str, peer_id: str) -> Peer | None:
    """Return the peer of this id in this federation."""
    return session.get(Peer, (federation_id, peer_id))


def get_peer(session: Session, federation_id: str, peer_id: str) -> Peer:
    """Return the peer of this id; raise InputRefused where there is none."""
    peer = find_peer(session, federation_id, peer_id)
    if peer is None:
        raise InputRefused("peer-unknown", "没有这个对端，请看 gonghui peer list。", "No such peer; see `peer list`.")
    return peer


def list_peers(session: Session, federation_id: str) -> list[Peer]:
    """Return all peers, the hub first, then by name."""
    statement = select(Peer).where(Peer.federation == federation_id)
    return list(session.exec(statement.order_by(col(Peer.is_hub).desc(), col(Peer.name), col(Peer.id))).all())


def list_reachable(session: Session, federation: Federation, own_id: str, now: datetime) -> list[Peer]:
    """Return whom this node calls: a college its hub, the hub its active members that have an address."""
    we_are_hub = federation.hub_id == own_id
    return [
        peer
        for peer in list_peers(session, federation.id)
        if peer.url and is_active(peer, now) and peer.id != own_id and (we_are_hub or peer.is_hub)
    ]


def member_of(session: Session, peer: Peer, now: datetime) -> Member:
    """Return the peer as the protocol knows it, with every key it signs with now.

    Raise TrustError where the stored key is not its own id's.
    """
    key = read_public_key(peer.public_key)
    if key.keyid != peer.keyid:
        raise TrustError("key-id-mismatch", "公钥与其编号不符。", "A public key does not belong to its id.")
    wanted = {"federation": peer.federation, "peer": peer.id, "keyid": peer.keyid}
    further = _FURTHER.all(session.connection(), wanted)
    return Member(
        peer.id,
        peer.federation,
        key,
        active=is_active(peer, now),
        is_hub=peer.is_hub,
        groups=frozenset(peer.groups.split()),
        sealing_key=peer.sealing_key,
        other_keys=tuple(read_public_key(pem) for (pem,) in further),
    )


def is_due(session: Session, peer: Peer, now: datetime) -> bool:
    """Tell whether the peer may be called again: its wait is over, or it has called us since it failed."""
    if peer.next_try_at is None or peer.next_try_at <= now:
        return True
    read = session.get(PeerRead, (peer.federation, peer.id))
    return read is not None and peer.failed_at is not None and read.last_at > peer.failed_at


def note_contact(peer: Peer, skew_seconds: int) -> None:
    """Clear the back-off: a verified answer came."""
    peer.failures, peer.next_try_at, peer.failed_at, peer.last_error, peer.rest_until = 0, None, None, "", None
    peer.skew_seconds = skew_seconds


def note_failure(peer: Peer, code: str, at: datetime, settings: SyncSection, *, retry_after_seconds: int = 0) -> None:
    """Wait longer after each failure in a row, by chance a little more or less, never beyond the longest wait.

    What the peer itself asked for (`Retry-After`) is waited for in any case.
    """
    peer.failures += 1
    seconds = min(settings.backoff_first_seconds * 2.0 ** min(peer.failures - 1, 30), settings.backoff_max_seconds)
    seconds = min(seconds * _RANDOM.uniform(0.75, 1.25), settings.backoff_max_seconds)
    peer.last_error, peer.failed_at = code, at
    peer.next_try_at = at + timedelta(seconds=max(seconds, retry_after_seconds))
    if retry_after_seconds:
        peer.rest_until = at + timedelta(seconds=retry_after_seconds)


def take_member_list(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
    """Take the members' keys from the hub's signed list (handler of kind `member-list`); raise TrustError.

    Whoever is no longer named is suspended. The hub's entry must carry the pinned key; our own entry says nothing new.
    """
    if _is_outdated(session, record) or session.get(MemberListState, record.federation) is not None:
        return  # where officers sign the list, the hub's own word on members counts for nothing
    federation = session.get_one(Federation, record.federation)
    own_id = session.get_one(Meta, NODE_ID).value
    keys = _check_keys(content["members"])
    named = {entry["id"]: entry for entry in content["members"]}
    for peer in list_peers(session, federation.id):
        if peer.id not in named and not peer.is_hub:
            peer.status = SUSPENDED
            session.add(peer)
    for identity, entry in named.items():
        if identity != own_id:
            _take_member(session, record, entry, keys[identity], is_hub=identity == federation.hub_id)
    session.flush()


def _is_outdated(session: Session, record: StoredRecord) -> bool:
    newer = select(StoredRecord.id).where(
        StoredRecord.federation == record.federation,
        StoredRecord.origin == record.origin,
        StoredRecord.kind == MEMBER_LIST,
        StoredRecord.state == CURRENT,
        StoredRecord.revision > record.revision,
    )
    return session.exec(newer.limit(1)).first() is not None


def _check_keys(members: list[dict[str, Any]]) -> dict[str, str]:
    """Return the PEM of each member's present key; raise TrustError where a key or a member stands twice."""
    owners: dict[str, str] = {}
    present: dict[str, str] = {}
    for entry in members:
        if entry["id"] in present:
            raise TrustError("member-list-double", "成员在名录中出现两次。", "A member stands twice in the list.")
        for key in entry["keys"]:
            if read_public_key(key["pem"]).keyid != key["keyid"]:
                raise TrustError("key-id-mismatch", "公钥与其编号不符。", "A public key does not belong to its id.")
            if owners.setdefault(key["keyid"], entry["id"]) != entry["id"]:
                raise TrustError("member-list-key-shared", "两个成员共用一把密钥。", "Two members share one key.")
        present[entry["id"]] = entry["keys"][0]["pem"]
    return present


def _take_member(session: Session, record: StoredRecord, entry: dict[str, Any], pem: str, *, is_hub: bool) -> None:
    keyid = entry["keys"][0]["keyid"]
    peer = find_peer(session, record.federation, entry["id"])
    if peer is None:
        peer = Peer(federation=record.federation, id=entry["id"], name="", public_key=pem, keyid=keyid, is_hub=is_hub)
    elif peer.keyid != keyid:
        if is_hub:
            raise TrustError(
                "peer-key-changed",
                "名录中汇总节点的密钥与已核对的指纹不同，已拒绝。",
                "The list names another key for the hub than the pinned one; refused.",
            )
        write_audit(
            session, account_id="system", action="member.key-changed", subject=peer.id, at=record.stored_at, keyid=keyid
        )
        peer.public_key, peer.keyid = pem, keyid
    peer.name, peer.code = entry["name"], entry["code"]
    if not is_hub:  # of the hub we keep the address that was given by hand, and it cannot suspend itself
        peer.url, peer.status = entry["url"], entry["status"]
    session.add(peer)
