"""Releases as a college's release service publishes them: signed, and taken at home in the same transaction."""

from typing import Any

from sqlmodel import Session, select

from federation.documents import dump_document
from federation.protection import schema_of
from node.context import Node
from node.exchange.models import SharedFigure
from node.exchange.shared import take_release, withdraw_release
from node.stream.models import StoredRecord
from node.stream.service import append_record
from tests.exchange.conftest import World


def count(indicator: str, value: int | None = None, status: str = "A", **dims: str) -> dict[str, Any]:
    """Return an observation of a count; without a value it is withheld."""
    told: dict[str, Any] = {"status": "Q"} if value is None and status == "A" else {"status": status}
    return {"indicator": indicator, "dims": dims, **told, **({} if value is None else {"value": value})}


def rate(indicator: str, numerator: int, denominator: int, **dims: str) -> dict[str, Any]:
    return {
        "indicator": indicator,
        "dims": dims,
        "status": "A",
        "numerator": numerator,
        "denominator": denominator,
    }


def content(observations: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "dataflow": "MEM.all",
        "catalogue": {"id": "gonghui-catalogue", "version": "1.0.0"},
        "period": "2026U",
        "known_at": {"number": 7, "at": "2026-10-10T01:02:03Z"},
        "reason": "",
        "approval": "two-person",
        "minimum_cell": {"S1": 5, "S2": 10},
        "observations": observations,
        **changes,
    }


def sign_release(world: World, node: Node, observations: list[dict[str, Any]], **changes: Any) -> StoredRecord:
    """Sign the next revision without looking at it, as a node would whose gate was taken out."""
    subject = changes.pop("subject", "")
    stream = changes.pop("stream", "")
    said = content(observations, **changes)
    with node.database.write() as session:
        return write_release(session, node, world.federation, said, subject=subject, stream=stream)


def write_release(
    session: Session, node: Node, federation: str, said: dict[str, Any], *, subject: str = "", stream: str = ""
) -> StoredRecord:
    subject = subject or f"{said['dataflow']}/{said['period']}"
    stream = stream or said["dataflow"].partition(".")[2]
    last = session.exec(
        select(StoredRecord)
        .where(StoredRecord.origin == node.node_id, StoredRecord.stream == stream)
        .where(StoredRecord.subject == subject)
        .order_by(StoredRecord.revision.desc())  # type: ignore[attr-defined]
    ).first()
    return append_record(
        session,
        node,
        federation=federation,
        stream=stream,
        kind="release",
        subject=subject,
        revision=last.revision + 1 if last else 1,
        supersedes=last.id if last else "",
        schema=schema_of(said),
        content=dump_document(said),
    )


def publish(world: World, node: Node, observations: list[dict[str, Any]], **changes: Any) -> StoredRecord:
    """Sign a release and take it at home, then let the hub take it."""
    record = sign_release(world, node, observations, **changes)
    with node.database.write() as session:
        stored = session.get_one(StoredRecord, record.id)
        take_release(session, stored, content(observations, **changes))
    return record


def take_releases(world: World) -> None:
    world.handlers["release"] = take_release
    world.handlers["release:withdraw"] = withdraw_release


def shown(node: Node, indicator: str = "MEM_CNT") -> dict[tuple[str, str], str]:
    """Return (origin, dims) -> what is shown of an indicator: its value, or its status."""
    with node.database.read() as session:
        rows = session.exec(select(SharedFigure).where(SharedFigure.indicator == indicator)).all()
    return {
        (row.origin, row.dims): row.value or (f"{row.numerator}/{row.denominator}" if row.status == "A" else row.status)
        for row in rows
    }
