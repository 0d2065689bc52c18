"""What this node published before, read from its own signed records, and what it alone knows of it.

Nothing is copied: the signed bytes are what is public. Every revision counts, also a superseded one, and every
audience: whoever pools what several readers hold has all of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from federation.catalogue import Catalogue
from federation.documents import dump_document, sha256_hex
from federation.history import group_contents
from federation.periods import Period
from federation.publications import Name, Publication, with_counts
from node.context import Node
from node.indicators.compute import compute_figures, find_set
from node.indicators.models import Figure
from node.stream.models import StoredRecord
from node.stream.service import read_content

_KIND = "release"


@dataclass(frozen=True)
class Past:
    """All earlier releases, and the digest by which a draft names what it was protected against."""

    publications: list[Publication]
    digest: str


def load_past(session: Session, node: Node, catalogue: Catalogue, at: datetime) -> Past:
    """Return what was published, with the counts inside; figures that are not kept any more are computed anew."""
    records = list_published(session, node)
    said = {dump_document(content): content for content in map(read_content, records)}  # once, wherever it went
    found = group_contents(catalogue, said.values())
    known = [with_counts(item, _counts(session, catalogue, item.period, item.known_at, at)) for item in found]
    return Past(known, digest_of(records))


def list_published(session: Session, node: Node) -> list[StoredRecord]:
    """Return this node's own releases, oldest first, whatever became of them."""
    statement = select(StoredRecord).where(StoredRecord.origin == node.node_id, StoredRecord.kind == _KIND)
    return list(session.exec(statement.order_by(col(StoredRecord.position))).all())


def digest_of(records: Iterable[StoredRecord]) -> str:
    """Return the digest of what was published: it changes with every record."""
    return sha256_hex("".join(record.id for record in records).encode())


def _counts(session: Session, catalogue: Catalogue, period: Period, known_at: int, at: datetime) -> dict[Name, int]:
    held = find_set(session, period, known_at, catalogue=catalogue)
    if held is None:
        held = compute_figures(session, period, known_at, at, catalogue=catalogue)
    columns: Any = (col(Figure.indicator), col(Figure.dims), col(Figure.value))
    rows = session.exec(select(*columns).where(Figure.set_id == held, Figure.value != "")).all()
    return {(code, dims): int(value) for code, dims, value in rows if value.isdecimal()}
