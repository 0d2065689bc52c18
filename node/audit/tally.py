"""Reads that were served and requests that were refused, counted in memory and written in batches.

A read must not cost a write. So entries of one kind are counted and written as one entry each, at the latest a minute
after the first (by whoever counts next, or by the scheduler); a crash loses the counts of that minute and nothing else.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from federation.errors import GonghuiError
from node.audit import is_subject, write_audit
from node.audit.events import NETWORK
from node.db import Database

FLUSH_AFTER = timedelta(seconds=60)
FLUSH_COUNT = 1_000
_MAX_KINDS = 500  # a stranger must not fill our memory with subjects
_Kind = tuple[str, str, str, str]  # account, action, subject, result


class _Tally:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[_Kind] = Counter()
        self.since: datetime | None = None


_TALLIES: WeakKeyDictionary[Database, _Tally] = WeakKeyDictionary()
_LOCK = threading.Lock()


def count_event(
    database: Database,
    at: datetime,
    *,
    account_id: str,
    action: str,
    subject: str = "",
    result: str = "ok",
    may_write: bool = True,
) -> None:
    """Count one event; now and then write what was counted, where the caller can wait for that (`may_write`).

    Never fails: what cannot be written is kept.
    """
    tally = _tally(database)
    with tally.lock:
        kind = (account_id, action, subject if is_subject(subject) else "other", result)
        if kind not in tally.counts and len(tally.counts) >= _MAX_KINDS:
            kind = (NETWORK, action, "more", result)
        tally.counts[kind] += 1
        tally.since = tally.since or at
        due = at - tally.since >= FLUSH_AFTER or tally.counts.total() >= FLUSH_COUNT
    if due and may_write:
        write_counts(database, at)


def write_counts(database: Database, at: datetime) -> int:
    """Write what was counted, one entry a kind; return how many entries. What the disk refuses is kept for later."""
    tally = _tally(database)
    with tally.lock:
        counts, since = tally.counts, tally.since
        tally.counts, tally.since = Counter(), None
    if not counts:
        return 0
    try:
        with database.write() as session:
            for (account_id, action, subject, result), count in sorted(counts.items()):
                write_audit(
                    session,
                    account_id=account_id,
                    action=action,
                    subject=subject,
                    at=at,
                    result=result,
                    count=count,
                )
    except GonghuiError:
        _put_back(tally, counts, since)
        return 0
    except BaseException:  # whatever it was, it is not for us to hide, nor the counts to lose
        _put_back(tally, counts, since)
        raise
    return len(counts)


def _put_back(tally: _Tally, counts: Counter[_Kind], since: datetime | None) -> None:
    with tally.lock:
        tally.counts.update(counts)
        tally.since = since


def write_all_counts(at: datetime) -> None:
    """Write what was counted for every open database: the process ends."""
    for database in list(_TALLIES):
        write_counts(database, at)


def _tally(database: Database) -> _Tally:
    with _LOCK:
        return _TALLIES.setdefault(database, _Tally())
