"""The hub's member list: who is enrolled from a public-key file, who is suspended, and the signed list all others take.

Every change is published in the transaction that makes it, as the next revision of one record in the hub's stream to
all. The hub's own table of peers is the source; nothing that comes over the network changes it.
"""

from sqlmodel import Session, col, select

from federation.client import check_url
from federation.documents import dump_document
from federation.envelope import read_envelope
from federation.errors import Conflict, TrustError, UsageError
from federation.keyfile import KeyFile, build_key_file, read_key_file
from federation.keys import public_pem
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange.inbox import Handlers, take_waiting
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.peers import ACTIVE, MEMBER_LIST, find_peer, get_peer, list_peers
from node.stream.service import append_record, find_federation, get_federation

SCHEMA = "member-list.v1"


def own_key_file(node: Node, actor: Actor) -> bytes:
    """Return this node's public-key file, to be handed to the hub."""
    check_permission(actor, "peer.write")
    settings = node.settings
    return build_key_file(
        node.signer,
        node_id=node.node_id,
        name=settings.node.name,
        code=settings.node.code,
        url=settings.server.public_url,
    )


def enrol(node: Node, actor: Actor, data: bytes, handlers: Handlers) -> Peer:
    """Enrol a college from its public-key file and publish the list; the same file again changes nothing.

    Raise InputRefused or TrustError for the file, Conflict where this node is no hub.
    """
    check_permission(actor, "peer.write")
    file = read_key_file(data)
    if file.url:
        _check_address(file.url)
    with node.database.write() as session:
        federation = _get_own_federation(session, node)
        peer = _enter(session, node, federation, file)
        if publish_members(session, node, federation) is not None:
            at = node.clock()
            write_audit(session, account_id=actor.account_id, action="member.enrol", subject=peer.id, at=at)
        take_waiting(session, node, handlers)
    return peer


def set_status(node: Node, actor: Actor, peer_id: str, status: str) -> Peer:
    """Suspend a member or let it speak again, and publish the list; raise Conflict where this node is no hub."""
    check_permission(actor, "peer.write")
    with node.database.write() as session:
        federation = _get_own_federation(session, node)
        peer = get_peer(session, federation.id, peer_id)
        peer.status = status
        session.add(peer)
        session.flush()
        if publish_members(session, node, federation) is not None:
            at = node.clock()
            write_audit(session, account_id=actor.account_id, action=f"member.{status}", subject=peer.id, at=at)
    return peer


def publish_members(session: Session, node: Node, federation: Federation) -> StoredRecord | None:
    """Append the member list as the next revision where it differs from the last one published; else return None."""
    content = dump_document({"members": _entries(session, node, federation)})
    last = session.exec(
        select(StoredRecord)
        .where(
            StoredRecord.federation == federation.id,
            StoredRecord.origin == node.node_id,
            StoredRecord.kind == MEMBER_LIST,
        )
        .order_by(col(StoredRecord.revision).desc())
        .limit(1)
    ).first()
    if last is not None and _holds(last, content):
        return None
    return append_record(
        session,
        node,
        federation=federation,
        stream="all",
        kind=MEMBER_LIST,
        subject=MEMBER_LIST,
        revision=last.revision + 1 if last else 1,
        supersedes=last.id if last else "",
        schema=SCHEMA,
        content=content,
    )


def publish_members_if_hub(node: Node) -> None:
    """Publish the list where this node is the hub and its own name or address changed, or none was published yet."""
    with node.database.write() as session:
        federation = find_federation(session)
        if federation is not None and federation.hub_id == node.node_id:
            publish_members(session, node, federation)


def _holds(record: StoredRecord, content: bytes) -> bool:
    return read_envelope(record.envelope).payload.endswith(b',"content":' + content + b"}")


def _entries(session: Session, node: Node, federation: Federation) -> list[dict[str, object]]:
    settings = node.settings
    key = node.signer.public_key
    entries: list[dict[str, object]] = [
        _entry(node.node_id, settings.node.name, settings.node.code, key.keyid, public_pem(key))
        | {"url": settings.server.public_url, "is_hub": True}
    ]
    for peer in list_peers(session, federation.id):
        if peer.id != node.node_id:
            entry = _entry(peer.id, peer.name, peer.code, peer.keyid, peer.public_key)
            entries.append(entry | {"url": peer.url, "status": peer.status})
    return sorted(entries, key=lambda entry: str(entry["id"]))


def _entry(identity: str, name: str, code: str, keyid: str, pem: str) -> dict[str, object]:
    return {
        "id": identity,
        "name": name,
        "code": code,
        "keys": [{"keyid": keyid, "pem": pem}],
        "status": ACTIVE,
        "url": "",
        "is_hub": False,
    }


def _get_own_federation(session: Session, node: Node) -> Federation:
    federation = get_federation(session)
    if federation.hub_id != node.node_id:
        raise Conflict(
            "not-hub",
            "成员名录由汇总节点管理，请在汇总节点上操作。",
            "The member list is kept by the hub; do this there.",
        )
    return federation


def _check_address(url: str) -> None:
    try:
        check_url(url)
    except UsageError as error:
        raise TrustError(error.code, error.text.zh, error.text.en) from error


def _enter(session: Session, node: Node, federation: Federation, file: KeyFile) -> Peer:
    """Write the college into our peers; whoever is known keeps its key and its status."""
    if file.id == node.node_id:
        raise Conflict("peer-is-self", "这是本节点自己的公钥文件。", "This is this node's own key file.")
    peer = find_peer(session, federation.id, file.id)
    owner = session.exec(select(Peer).where(Peer.federation == federation.id, Peer.keyid == file.key.keyid)).first()
    if owner is not None and owner.id != file.id:
        raise TrustError(
            "member-list-key-shared", "此公钥已属另一成员。", "This key belongs to another member already."
        )
    if peer is not None and peer.keyid != file.key.keyid:
        raise TrustError(
            "peer-key-changed",
            "此成员已用另一把密钥登记，已拒绝。请电话核实；确需更换时请其重新初始化节点。",
            "This member is enrolled with another key; refused. Ask by telephone; a new key needs a new node.",
        )
    if peer is None:
        peer = Peer(
            federation=federation.id, id=file.id, name="", public_key=public_pem(file.key), keyid=file.key.keyid
        )
    peer.name, peer.code, peer.url = file.name, file.code, file.url
    session.add(peer)
    session.flush()
    return peer
