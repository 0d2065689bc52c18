"""Shared figures: what accepted releases say, own and others', and the newest revision of each alone.

`take_release` is the handler of kind `release`, and what a node does with its own release in the transaction that
signs it: what others would refuse is refused at home first. A release is taken whole or not at all.
"""

from functools import cache
from typing import Any

from sqlalchemy import Table, delete, insert
from sqlmodel import Session, col, select

from federation.catalogue import load_catalogue
from federation.observations import ReleaseReader
from node.exchange.models import SharedFigure
from node.stream.models import StoredRecord
from node.stream.service import CURRENT, EQUIVOCAL

KIND = "release"
_TABLE: Table = SharedFigure.__table__  # type: ignore[attr-defined]


@cache
def release_reader() -> ReleaseReader:
    """Return the reader by this program's catalogue; it keeps what it has worked out."""
    return ReleaseReader(load_catalogue())


def take_release(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
    """Put a release's observations in the place of those of its revision before; raise InputRefused, changing nothing.

    An older revision that comes late never replaces a newer one, nor what a newer one has contradicted.
    """
    reader = release_reader()
    observations = reader.read(content, subject=record.subject, audience=record.stream.partition(":")[0])
    if _has_newer(session, record):
        return
    period, dataflow = content["period"], content["dataflow"]
    session.execute(
        delete(_TABLE).where(
            _TABLE.c.federation == record.federation,
            _TABLE.c.origin == record.origin,
            _TABLE.c.period == period,
            _TABLE.c.dataflow == dataflow,
        )
    )
    same = {
        "federation": record.federation,
        "origin": record.origin,
        "period": period,
        "dataflow": dataflow,
        "record_id": record.id,
        "revision": record.revision,
    }
    rows = [{**same, **vars(observation)} for observation in observations]
    session.connection().execute(insert(_TABLE), rows)  # core: rows need no identity map


def withdraw_release(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG001
    """Show nothing of a release whose origin signed two different things for one place or revision."""
    session.execute(delete(_TABLE).where(_TABLE.c.record_id == record.id))


def list_periods(session: Session, federation_id: str, indicator: str = "") -> list[str]:
    """Return the periods of which anything was shared, the newest first as they are written."""
    statement = select(SharedFigure.period).where(SharedFigure.federation == federation_id).distinct()
    if indicator:
        statement = statement.where(SharedFigure.indicator == indicator)
    return sorted(session.exec(statement).all(), reverse=True)


def load_shared(
    session: Session, federation_id: str, period: str, indicators: list[str] | None = None
) -> list[SharedFigure]:
    """Return the shared figures of a period, of all indicators or of these."""
    statement = select(SharedFigure).where(SharedFigure.federation == federation_id, SharedFigure.period == period)
    if indicators is not None:
        statement = statement.where(col(SharedFigure.indicator).in_(indicators))
    order = (col(SharedFigure.indicator), col(SharedFigure.dims), col(SharedFigure.origin))
    return list(session.exec(statement.order_by(*order)).all())


def _has_newer(session: Session, record: StoredRecord) -> bool:
    newer = select(StoredRecord.id).where(
        StoredRecord.federation == record.federation,
        StoredRecord.origin == record.origin,
        StoredRecord.stream == record.stream,
        StoredRecord.kind == KIND,
        StoredRecord.subject == record.subject,
        StoredRecord.revision > record.revision,
        col(StoredRecord.state).in_((CURRENT, EQUIVOCAL)),
    )
    return session.exec(newer.limit(1)).first() is not None
