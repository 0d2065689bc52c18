"""Leases in the database: of several processes on one database, exactly one does a thing at a time.

A lease ends by release, by time, or, where the holder ran on this very machine, by its process being gone: after a
kill the next run need not wait. A lease is courtesy, not proof: what is done under it must bear being done twice. So
nothing waits for the disk: after a power cut the holder is gone.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session, col, select, update

from node.clock import Clock
from node.db import Database
from node.stream.models import Lease

_ENSURE = text("INSERT INTO lease (name, holder, error) VALUES (:name, '', '') ON CONFLICT DO NOTHING")


@dataclass(frozen=True)
class HeldLease:
    """A lease that we hold. Renew it in good time: `seconds` is how long it lasts each time."""

    database: Database
    clock: Clock
    name: str
    holder: str
    seconds: float

    def renew(self) -> bool:
        """Go on holding it; return False where somebody else has taken it since."""
        return self._change(expires_at=self.clock() + timedelta(seconds=self.seconds))

    def release(self, *, due_at: datetime | None = None, error: str = "") -> None:
        """Give it back; note when the thing is due again and how it went."""
        self._change(holder="", expires_at=None, due_at=due_at, finished_at=self.clock(), error=error)

    def _change(self, **values: object) -> bool:
        with self.database.write(durable=False) as session:
            mine = (col(Lease.name) == self.name) & (col(Lease.holder) == self.holder)
            return session.execute(update(Lease).where(mine).values(**values)).rowcount == 1  # type: ignore[attr-defined, no-any-return]


def take_lease(
    database: Database, clock: Clock, name: str, *, seconds: float, only_when_due: bool = False
) -> HeldLease | None:
    """Take the lease `name` for `seconds`; return None where another holds it, or where it is not due yet."""
    with database.write(durable=False) as session:
        row = _lock(session, name)
        now = clock()
        taken = row.holder and row.expires_at is not None and row.expires_at > now and not _is_gone(row.holder)
        early = only_when_due and row.due_at is not None and row.due_at > now
        if taken or early:
            return None
        row.holder = _new_holder()
        row.started_at, row.expires_at = now, now + timedelta(seconds=seconds)
        session.add(row)
        return HeldLease(database, clock, name, row.holder, seconds)


def find_lease(session: Session, name: str) -> Lease | None:
    """Return what is known of the lease `name`: when it ran, how it ended, when it is due."""
    return session.get(Lease, name)


def _lock(session: Session, name: str) -> Lease:
    session.execute(_ENSURE, {"name": name})
    return session.exec(select(Lease).where(Lease.name == name).with_for_update()).one()


def _new_holder() -> str:
    pid = os.getpid()
    return f"{socket.gethostname()}|{pid}|{_started(pid)}|{secrets.token_hex(8)}"


def _is_gone(holder: str) -> bool:
    """Tell whether the holder was a process of this machine that no longer runs."""
    host, pid, started, _ = holder.split("|")
    return host == socket.gethostname() and started != "" and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process began, in ticks since the machine did; "" where there is none, or no way to know."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
