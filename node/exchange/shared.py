"""Shared figures: what accepted releases say, own and others', and the newest revision of each alone.

`take_release` is the handler of kind `release`, and what a node does with its own release in the transaction that
signs it: what others would refuse is refused at home first. A release is taken whole or not at all.
"""

from collections.abc import Collection
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect, Table, bindparam, delete, insert, or_
from sqlalchemy import select as core_select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from federation.catalogue import load_catalogue
from federation.observations import ReleaseReader
from federation.protection import check_noise
from node.exchange.models import SharedFigure
from node.indicators.noise_choice import find_protection
from node.prepared import Prepared
from node.stream.models import StoredRecord
from node.stream.service import CURRENT, EQUIVOCAL

KIND = "release"
_TABLE: Table = SharedFigure.__table__  # type: ignore[attr-defined]
_CLEAR = Prepared(
    delete(_TABLE).where(
        *(_TABLE.c[name] == bindparam(name) for name in ("federation", "origin", "period", "dataflow"))
    )
)
_NEWER = Prepared(
    core_select(col(StoredRecord.id))
    .where(
        col(StoredRecord.federation) == bindparam("federation"),
        col(StoredRecord.origin) == bindparam("origin"),
        col(StoredRecord.stream) == bindparam("stream"),
        col(StoredRecord.kind) == KIND,
        col(StoredRecord.subject) == bindparam("subject"),
        col(StoredRecord.revision) > bindparam("revision"),
        or_(col(StoredRecord.state) == CURRENT, col(StoredRecord.state) == EQUIVOCAL),
    )
    .limit(1)
)


@cache
def release_reader() -> ReleaseReader:
    """Return the reader by this program's catalogue; it keeps what it has worked out."""
    return ReleaseReader(load_catalogue())


def take_release(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
    """Put a release's observations in the place of those of its revision before; raise InputRefused, changing nothing.

    An older revision that comes late never replaces a newer one, nor what a newer one has contradicted.
    """
    reader = release_reader()
    check_noise(content, find_protection(session, record.federation), reader.catalogue)
    observations = reader.read(content, subject=record.subject, audience=record.stream.partition(":")[0])
    if _has_newer(session, record):
        return
    period, dataflow = content["period"], content["dataflow"]
    place = {"federation": record.federation, "origin": record.origin, "period": period, "dataflow": dataflow}
    _CLEAR.run(session.connection(), place)
    noise = content.get("noise")
    moved = {"method": noise["method"], "variance": noise["variance"]} if noise else {}
    same = {**place, **moved, "record_id": record.id, "revision": record.revision}
    rates = [{**same, **item._asdict()} for item in observations if item.denominator is not None]
    others = [
        {**same, "indicator": code, "dims": dims, "status": status, "value": value}
        for code, dims, status, value, _, denominator in observations
        if denominator is None
    ]
    for rows in filter(None, (rates, others)):  # no column that is empty throughout: there are thousands
        _insert(session, rows)


def withdraw_release(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG001
    """Show nothing of a release whose origin signed two different things for one place or revision."""
    mine = (_TABLE.c.federation == record.federation) & (_TABLE.c.origin == record.origin)
    session.execute(delete(_TABLE).where(mine, _TABLE.c.record_id == record.id))


def load_shared(
    session: Session, federation_id: str, origins: Collection[str], period: str, indicators: Collection[str] = ()
) -> list[SharedFigure]:
    """Return what these nodes have shared for a period, of all indicators or of those that are named."""
    statement = _shared_by(federation_id, origins, period)
    if indicators:
        statement = statement.where(col(SharedFigure.indicator).in_(indicators))
    order = (col(SharedFigure.indicator), col(SharedFigure.dims), col(SharedFigure.origin))
    return list(session.exec(statement.order_by(*order)).all())


def list_periods(session: Session, federation_id: str, origins: Collection[str], indicator: str = "") -> list[str]:
    """Return the periods for which these nodes have shared anything, or this indicator."""
    subjects = session.exec(
        select(StoredRecord.subject)
        .where(StoredRecord.federation == federation_id, StoredRecord.kind == KIND, StoredRecord.state == CURRENT)
        .where(col(StoredRecord.origin).in_(origins))
        .distinct()
    ).all()
    periods = sorted({subject.partition("/")[2] for subject in subjects})
    if not indicator:
        return periods
    shared = [_shared_by(federation_id, origins, p).where(SharedFigure.indicator == indicator) for p in periods]
    found = [session.exec(statement.limit(1)).first() for statement in shared]
    return [period for period, figure in zip(periods, found, strict=True) if figure is not None]


def _shared_by(federation_id: str, origins: Collection[str], period: str) -> SelectOfScalar[SharedFigure]:
    return select(SharedFigure).where(
        SharedFigure.federation == federation_id,
        col(SharedFigure.origin).in_(origins),
        SharedFigure.period == period,
    )


def _insert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert rows of the same columns, as they are: plain texts and integers need no conversion on their way."""
    connection = session.connection()
    statement = _insert_statement(connection.dialect, tuple(rows[0]))
    if statement.positional:
        in_order = itemgetter(*statement.positiontup or ())
        connection.exec_driver_sql(str(statement), [in_order(row) for row in rows])
    else:
        connection.exec_driver_sql(str(statement), rows)


@cache
def _insert_statement(dialect: Dialect, columns: tuple[str, ...]) -> SQLCompiler:
    return insert(_TABLE).compile(dialect=dialect, column_keys=list(columns))


def _has_newer(session: Session, record: StoredRecord) -> bool:
    wanted = {
        "federation": record.federation,
        "origin": record.origin,
        "stream": record.stream,
        "subject": record.subject,
        "revision": record.revision,
    }
    return bool(_NEWER.all(session.connection(), wanted))
