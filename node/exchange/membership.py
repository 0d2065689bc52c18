"""The hub's own member list, as nodes of an earlier release take it; where officers sign a list, derived from theirs.

Every change is published in the transaction that makes it, as the next revision of one record in the hub's stream to
all. The hub's own table of peers is the source; nothing that comes over the network changes it.
"""

from typing import Any

from sqlmodel import Session, col, select

from federation.documents import dump_document
from federation.envelope import read_envelope
from federation.keyfile import build_key_file
from federation.keys import public_pem
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.stream.models import Federation, StoredRecord
from node.stream.peers import MEMBER_LIST, list_peers
from node.stream.service import append_record, find_own
from node.stream.standing import ACTIVE, SUSPENDED, is_active

SCHEMA, SCHEMA_LONG_KEYS = "member-list.v1", "member-list.v2"  # the earlier release knows v1 alone
MAX_PEM_V1 = 400  # v2 has room for ML-DSA


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


def publish_members(session: Session, node: Node, federation: Federation) -> StoredRecord | None:
    """Append the member list as the next revision where it differs from the last one published; else return None."""
    entries = _entries(session, node, federation)
    content = dump_document({"members": entries})
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
        schema=_schema_of(entries),
        content=content,
    )


def publish_members_if_hub(node: Node) -> None:
    """Publish the list where this node is the hub and its own name or address changed, or none was published yet."""
    with node.database.write() as session:
        federation = find_own(session, node)
        if federation is not None:
            publish_members(session, node, federation)


def _schema_of(entries: list[dict[str, Any]]) -> str:
    longest = max(len(key["pem"]) for entry in entries for key in entry["keys"])
    return SCHEMA if longest <= MAX_PEM_V1 else SCHEMA_LONG_KEYS


def _holds(record: StoredRecord, content: bytes) -> bool:
    return read_envelope(record.envelope).payload.endswith(b',"content":' + content + b"}")


def _entries(session: Session, node: Node, federation: Federation) -> list[dict[str, Any]]:
    settings = node.settings
    key = node.signer.public_key
    entries: list[dict[str, Any]] = [
        _entry(node.node_id, settings.node.name, settings.node.code, key.keyid, public_pem(key))
        | {"url": settings.server.public_url, "is_hub": True}
    ]
    for peer in list_peers(session, federation.id):
        if peer.id != node.node_id:
            entry = _entry(peer.id, peer.name, peer.code, peer.keyid, peer.public_key)
            status = ACTIVE if is_active(peer, node.clock()) else SUSPENDED
            entries.append(entry | {"url": peer.url, "status": status})
    return sorted(entries, key=lambda entry: str(entry["id"]))


def _entry(identity: str, name: str, code: str, keyid: str, pem: str) -> dict[str, Any]:
    return {
        "id": identity,
        "name": name,
        "code": code,
        "keys": [{"keyid": keyid, "pem": pem}],
        "status": ACTIVE,
        "url": "",
        "is_hub": False,
    }
