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
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, bindparam, or_, text
from sqlalchemy import update as core_update
from sqlmodel import Session, col, select

from node.clock import Clock
from node.db import Database, UtcDateTime
from node.prepared import Prepared
from node.stream.models import Lease

_FREE = Prepared(
    core_update(Lease)
    .where(
        col(Lease.name) == bindparam("the_name"), or_(col(Lease.holder) == "", col(Lease.expires_at) <= bindparam("at"))
    )
    .values(holder=bindparam("by"), started_at=bindparam("at"), expires_at=bindparam("until"))
)
_FIRST = Prepared(
    text(
        "INSERT INTO lease (name, holder, error, started_at, expires_at) VALUES (:the_name, :by, '', :at, :until)"
        " ON CONFLICT DO NOTHING"
    ).bindparams(bindparam("at", type_=UtcDateTime()), bindparam("until", type_=UtcDateTime()))
)
_MINE = (col(Lease.name) == bindparam("the_name")) & (col(Lease.holder) == bindparam("by"))
_RENEW = Prepared(core_update(Lease).where(_MINE).values(expires_at=bindparam("until")))
_RELEASE = Prepared(
    core_update(Lease)
    .where(_MINE)
    .values(holder="", expires_at=None, due_at=bindparam("due"), finished_at=bindparam("at"), error=bindparam("code"))
)
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
        until = self.clock() + timedelta(seconds=self.seconds)
        mine = {"the_name": self.name, "by": self.holder, "until": until}
        return self.database.note(lambda connection: _RENEW.run(connection, mine)) == 1

    def release(self, *, due_at: datetime | None = None, error: str = "") -> None:
        """Give it back; note when the thing is due again and how it went."""
        self.database.note(lambda connection: self.release_in(connection, due_at=due_at, error=error))

    def release_in(self, connection: Connection, *, due_at: datetime | None = None, error: str = "") -> None:
        """As `release`, within the caller's transaction."""
        ended = {"due": due_at, "at": self.clock(), "code": error}
        _RELEASE.run(connection, {"the_name": self.name, "by": self.holder, **ended})


def take_lease(
    database: Database, clock: Clock, name: str, *, seconds: float, only_when_due: bool = False
) -> HeldLease | None:
    """Take the lease `name` for `seconds`; return None where another holds it, or where it is not due yet."""
    if not only_when_due:
        held = _take_free(database, clock, name, seconds)
        if held is not None:
            return held
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


def _take_free(database: Database, clock: Clock, name: str, seconds: float) -> HeldLease | None:
    """Take the lease in one statement, where nobody has it, or nobody ever had; else return None."""
    holder, now = _new_holder(), clock()
    wanted = {"the_name": name, "by": holder, "at": now, "until": now + timedelta(seconds=seconds)}
    taken = database.note(lambda connection: _FREE.run(connection, wanted) or _FIRST.run(connection, wanted)) == 1
    return HeldLease(database, clock, name, holder, seconds) if taken else None


def find_lease(session: Session, name: str) -> Lease | None:
    """Return what is known of the lease `name`: when it ran, how it ended, when it is due."""
    return session.get(Lease, name)


def _lock(session: Session, name: str) -> Lease:
    session.execute(_ENSURE, {"name": name})
    return session.exec(select(Lease).where(Lease.name == name).with_for_update()).one()


def _new_holder() -> str:
    return f"{_process(os.getpid())}|{secrets.token_hex(8)}"


@lru_cache(maxsize=1)
def _process(pid: int) -> str:
    return f"{socket.gethostname()}|{pid}|{_started(pid)}"


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
