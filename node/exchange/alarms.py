"""What an administrator should see of lies and logs: contradictions, restores, cut logs, witnesses, silent origins."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, true
from sqlmodel import Session, col, select

from federation.evidence import write_evidence
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.exchange.cosigning import missing_witnesses
from node.exchange.explain import explain
from node.exchange.heads import last_held
from node.exchange.records import get_record
from node.exchange.revocation import export_proof
from node.stream.log import log_size
from node.stream.models import (
    Cosigned,
    Equivocation,
    Federation,
    HeadClaim,
    OriginBreak,
    OwnCheckpoint,
    StoredRecord,
    WitnessedLog,
)
from node.stream.service import UNPROVEN, find_federation

SILENT_AFTER = timedelta(days=3)  # of an origin that says something of its heads daily
SHOWN = 200


def evidence_status(node: Node, actor: Actor) -> dict[str, Any]:
    """Return the state of our log and its witnesses, contradictions, unproven records, ages of statements."""
    check_permission(actor, "sync.read")
    with node.database.read() as session:
        federation = find_federation(session, node)
        return {
            "log_size": log_size(session),
            "checkpoint": _checkpoint(session, node, federation) if federation else None,
            "restored": [_restored(row) for row in _breaks(session, node)],
            "contradictions": [_contradiction(row) for row in _contradictions(session, node)],
            "logs": [_log_alarm(row) for row in _alarmed_logs(session, node)],
            "unproven": session.exec(
                select(func.count())
                .select_from(StoredRecord)
                .where(StoredRecord.state == UNPROVEN, _meant(node, StoredRecord))
            ).one(),
            "statements": _ages(session, node),
        }


def export_evidence(node: Node, actor: Actor, record_id: str) -> bytes:
    """Return a file for `gonghui verify`: the proof of a contradiction, or of when witnesses had seen a record."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        proof = session.exec(
            select(Equivocation).where(
                (col(Equivocation.id).startswith(record_id)) | (col(Equivocation.first_id).startswith(record_id))
            )
        ).first()
        if record_id and proof is not None and proof.first_envelope:
            return write_evidence("equivocation", [proof.first_envelope, proof.envelope])
        stored = get_record(session, record_id)
    return export_proof(node, actor, stored)


def _checkpoint(session: Session, node: Node, federation: Federation) -> dict[str, Any] | None:
    found = select(OwnCheckpoint).where(OwnCheckpoint.federation == federation.id)
    row = session.exec(found.order_by(col(OwnCheckpoint.issued_at).desc()).limit(1)).first()
    if row is None:
        return None
    signed = session.exec(select(Cosigned.witness, Cosigned.cosigned_at).where(Cosigned.checkpoint == row.id)).all()
    return {
        "id": row.id,
        "size": row.size,
        "issued_at": row.issued_at,
        "witnesses": [{"id": witness, "at": at} for witness, at in signed],
        "missing": missing_witnesses(session, node, federation, row),
    }


def _meant(
    node: Node, table: type[StoredRecord | Equivocation | HeadClaim | WitnessedLog | OriginBreak]
) -> ColumnElement[bool]:
    """Return what is of the federation in which `node` speaks; everything where nobody said which."""
    return col(table.federation) == node.federation if node.federation else true()


def _breaks(session: Session, node: Node) -> list[OriginBreak]:
    found = select(OriginBreak).where(_meant(node, OriginBreak)).order_by(col(OriginBreak.found_at).desc())
    return list(session.exec(found.limit(SHOWN)).all())


def _restored(row: OriginBreak) -> dict[str, Any]:
    names = ("id", "origin", "stream", "before", "after", "found_at")
    return {name: getattr(row, name) for name in names}


def _contradictions(session: Session, node: Node) -> list[Equivocation]:
    found = (
        select(Equivocation).where(_meant(node, Equivocation)).order_by(col(Equivocation.found_at).desc()).limit(SHOWN)
    )
    return list(session.exec(found).all())


def _contradiction(row: Equivocation) -> dict[str, Any]:
    names = ("id", "first_id", "origin", "stream", "sequence", "found_at")
    return {name: getattr(row, name) for name in names}


def _alarmed_logs(session: Session, node: Node) -> list[WitnessedLog]:
    found = select(WitnessedLog).where(WitnessedLog.alarm != "", _meant(node, WitnessedLog))
    found = found.order_by(col(WitnessedLog.alarm_at).desc())
    return list(session.exec(found.limit(SHOWN)).all())


def _log_alarm(row: WitnessedLog) -> dict[str, Any]:
    """Return whose log or audit trail did not go on from what we had cosigned, and since when we know."""
    said = {"message": explain(row.alarm).en, "message_zh": explain(row.alarm).zh}
    return {"origin": row.origin, "code": row.alarm, "found_at": row.alarm_at, **said}


def _ages(session: Session, node: Node) -> list[dict[str, Any]]:
    """Return what each origin last said of its own streams; old words may be withheld ones."""
    now = node.clock()
    own_words = select(HeadClaim).where(HeadClaim.issuer == HeadClaim.origin, _meant(node, HeadClaim))
    rows = session.exec(own_words.limit(SHOWN)).all()
    return [
        {
            "origin": row.origin,
            "stream": row.stream,
            "sequence": row.sequence,
            "issued_at": row.issued_at,
            "silent": now - row.issued_at > SILENT_AFTER,
            "missing": max(0, row.sequence - last_held(session, row.federation, row.origin, row.stream)),
        }
        for row in rows
        if row.origin != node.node_id
    ]
