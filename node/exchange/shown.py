"""Taking a record off the screens: what it said goes, and what its subject said before is shown again.

A reader's newest sound revision is what the subject says. Where the last one counts no more (its key was revoked, its
origin gave it up), the one before does again; not so where its origin contradicted it: then nobody knows what it says,
and the handler of the kind lets nothing older stand in.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from federation.errors import GonghuiError
from node.stream.models import StoredRecord
from node.stream.service import CURRENT, read_content

Handlers = Mapping[str, Callable[[Session, StoredRecord, dict[str, Any]], None]]


def take_off(session: Session, handlers: Handlers, row: StoredRecord) -> None:
    """Withdraw what a record said, whose state says already that it does not count; show the revision before."""
    withdraw = handlers.get(f"{row.kind}:withdraw")
    if withdraw is None:
        return
    withdraw(session, row, {})
    before = session.exec(
        select(StoredRecord)
        .where(StoredRecord.federation == row.federation, StoredRecord.origin == row.origin)
        .where(StoredRecord.stream == row.stream, StoredRecord.kind == row.kind)
        .where(StoredRecord.subject == row.subject, StoredRecord.state == CURRENT)
        .order_by(col(StoredRecord.revision).desc())
        .limit(1)
    ).first()
    if before is None:
        return
    try:
        with session.begin_nested():
            handlers[before.kind](session, before, read_content(before))
    except (GonghuiError, IntegrityError):  # taken once, but not by what is known now: nothing is shown
        return
