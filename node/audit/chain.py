"""The audit trail as a chain: each entry's hash covers it and the hash before, so nothing is cut out, changed or moved.

Numbers and hashes are given when the transaction commits, after everything else: the chain is locked last and for a
moment only, so that it never stands in the way of another lock. What is cut off at the end shows against a size and
head that others hold: every checkpoint of the log carries them, and witnesses keep those.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any

from sqlalchemy import event, func
from sqlmodel import Session, col, select

from federation.errors import TrustError
from node.audit.models import AuditEntry
from node.db import last_number, next_number

FIRST_HASH = "0" * 64
COUNTER = "audit"
_ASKED = "audit entries to chain"
_BATCH = 1_000


@dataclass(frozen=True)
class Trail:
    """How far the chain goes: number of entries and the last hash."""

    size: int
    head: str


def hash_entry(previous: str, entry: AuditEntry) -> str:
    """Return the hash (hex) of an entry that has its number, after an entry whose hash is `previous`."""
    said = {
        "number": entry.number,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "account": entry.account_id,
        "action": entry.action,
        "subject": entry.subject,
        "result": entry.result,
        "detail": entry.detail,
    }
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(f"{previous}\n{text}".encode()).hexdigest()


def ask_for_chaining(session: Session) -> None:
    """Let the entries of this transaction be chained when it commits."""
    session.info[_ASKED] = True


def read_trail(session: Session) -> Trail:
    """Return size and head of the chain as it is committed."""
    row = session.exec(
        select(AuditEntry.number, AuditEntry.hash)
        .where(col(AuditEntry.number).is_not(None))
        .order_by(col(AuditEntry.number).desc())
        .limit(1)
    ).first()
    return Trail(row[0] or 0, row[1]) if row else Trail(0, FIRST_HASH)


def head_at(session: Session, size: int) -> str:
    """Return the hash of entry number `size`; "" where the chain is shorter."""
    if not size:
        return FIRST_HASH
    found = select(AuditEntry.hash).where(AuditEntry.number == size)
    return session.exec(found).first() or ""


def verify_trail(session: Session, known: Iterable[Trail] = ()) -> Trail:
    """Go through the whole chain; return its end, or raise TrustError naming the first entry that does not hold.

    `known` are ends of the chain that were seen before: each must be an entry of it still. Memory does not grow.
    """
    wanted = {trail.size: trail.head for trail in known if trail.size}
    size, head = 0, FIRST_HASH
    for entry in read_entries(session):
        size += 1
        if entry.number != size:
            raise _broken("audit-entry-missing", size)
        head = hash_entry(head, entry)
        if entry.hash != head or wanted.pop(size, head) != head:
            raise _broken("audit-entry-changed", size)
    left_over = session.exec(select(func.count()).where(col(AuditEntry.number).is_(None))).one()
    if wanted or left_over or last_number(session, COUNTER) != size:
        raise _broken("audit-entry-missing" if not left_over else "audit-entry-changed", size + 1)
    return Trail(size, head)


def read_entries(session: Session, after: int = 0) -> Iterator[AuditEntry]:
    """Give the chained entries after number `after`, in order, batch by batch."""
    while True:
        rows = session.exec(
            select(AuditEntry)
            .where(col(AuditEntry.number) > after)
            .order_by(col(AuditEntry.number))
            .limit(_BATCH)
            .execution_options(populate_existing=True)
        ).all()
        yield from rows
        if len(rows) < _BATCH:
            return
        after = rows[-1].number or 0
        session.expunge_all()


def as_json(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry for scripts, with all that its hash covers."""
    return {
        "number": entry.number,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "account": entry.account_id,
        "action": entry.action,
        "subject": entry.subject,
        "result": entry.result,
        "detail": entry.detail,
        "hash": entry.hash,
    }


@event.listens_for(Session, "before_commit")
def _chain(session: Session) -> None:
    if session.in_nested_transaction() or not session.info.pop(_ASKED, False):
        return
    session.flush()
    rows = session.exec(select(AuditEntry).where(col(AuditEntry.number).is_(None)).order_by(col(AuditEntry.id))).all()
    head = ""
    for entry in rows:
        entry.number = next_number(session, COUNTER)  # the lock: from here on nobody else chains
        head = head or _hash_before(session, entry.number)
        head = entry.hash = hash_entry(head, entry)
        session.add(entry)
    session.flush()


def _hash_before(session: Session, number: int) -> str:
    found = session.exec(select(AuditEntry.hash).where(AuditEntry.number == number - 1)).first()
    return found or FIRST_HASH


def _broken(code: str, number: int) -> TrustError:
    return TrustError(
        code,
        f"审计日志第 {number} 条被删改或缺失。",
        f"Entry {number} of the audit trail was changed or is missing.",
        number=number,
    )
