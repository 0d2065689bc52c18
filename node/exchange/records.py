"""Records as people look at them: lists, and the verbatim export of one."""

from typing import Any

from sqlmodel import Session, col, select

from federation.errors import Conflict, InputRefused
from federation.sealing import read_inner
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.clock import format_time
from node.context import Node
from node.exchange.inbox import Handlers
from node.stream.models import StoredRecord
from node.stream.service import append_record

_SHOWN = 200


def list_records(node: Node, actor: Actor, *, kind: str = "", limit: int = _SHOWN) -> list[dict[str, Any]]:
    """Return the newest records of the log, own and received, without their content."""
    check_permission(actor, "release.read")
    statement = select(StoredRecord).order_by(col(StoredRecord.position).desc()).limit(limit)
    if node.federation:
        statement = statement.where(StoredRecord.federation == node.federation)
    if kind:
        statement = statement.where(StoredRecord.kind == kind)
    with node.database.read() as session:
        rows = session.exec(statement).all()
    return [
        {
            "id": row.id,
            "position": row.position,
            "kind": row.kind,
            "origin": row.origin,
            "stream": row.stream,
            "sequence": row.sequence,
            "subject": row.subject,
            "revision": row.revision,
            "issued_at": format_time(row.issued_at),
            "state": row.state,
            "code": row.code,
        }
        for row in rows
    ]


def export_record(node: Node, actor: Actor, record_id: str) -> bytes:
    """Return the envelope of the record whose id begins with `record_id`, exactly as it was signed."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        return get_record(session, record_id).envelope


def export_opened(node: Node, actor: Actor, record_id: str) -> bytes:
    """Return the plaintext of a sealed record of ours or for us; raise Conflict where there is none."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        opened = get_record(session, record_id).opened
    if not opened:
        raise Conflict("record-not-opened", "本节点没有该条目的明文。", "There is no plaintext of this record here.")
    return opened


def seal_again(node: Node, actor: Actor, record_id: str, handlers: Handlers) -> StoredRecord:
    """Publish a sealed record of ours anew, to the keys that its readers have now: its next revision, the same content.

    For a reader that lost its key. Raise Conflict where it is not the newest of its subject, not ours or not sealed.
    """
    check_permission(actor, "peer.write")
    with node.database.write() as session:
        old = get_record(session, record_id)
        if old.origin != node.node_id or not old.opened:
            raise Conflict("record-not-sealed", "这不是本节点密封的条目。", "This is no sealed record of this node.")
        inner = read_inner(old.opened)
        schema = inner["schema"]
        stored = append_record(
            session,
            node,
            federation=old.federation,
            stream=old.stream,
            kind=old.kind,
            subject=old.subject,
            revision=old.revision + 1,
            supersedes=old.id,
            schema=f"{schema['id']}.v{schema['version']}",
            content=old.opened.partition(b',"content":')[2][:-1],
        )
        handler = handlers.get(old.kind)
        if handler is not None:  # what is shown at home rests on the newest revision
            handler(session, stored, inner["content"])
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="record.seal-again", subject=old.id, at=at)
        return stored


def get_record(session: Session, record_id: str) -> StoredRecord:
    """Return the record whose id begins with `record_id`; raise InputRefused for none, Conflict for several."""
    if not record_id or not set(record_id) <= set("0123456789abcdef"):
        raise InputRefused("record-id-misspelt", "条目编号只含 0-9 与 a-f。", "An id has the digits 0-9 and a-f only.")
    found = session.exec(select(StoredRecord).where(col(StoredRecord.id).startswith(record_id)).limit(2)).all()
    if not found:
        raise InputRefused("record-unknown", "没有这个条目。", "There is no such record.")
    if len(found) > 1:
        raise Conflict("record-ambiguous", "编号不唯一，请多写几位。", "More than one id begins so; write more digits.")
    return found[0]
