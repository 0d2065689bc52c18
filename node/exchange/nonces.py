"""Each request is answered once: its nonce is kept until no clock could let it pass again.

Nonces are forgotten a day after their window. What has been forgotten is refused by the floor: a time, kept with the
nonces and only ever raised, before whose end of window no request is answered, whatever the clock says by then (it may
have jumped ahead and back). Whoever restores a backup raises the floor to that moment, since the backup knows nothing
of what was answered after it. One short transaction a request; forgetting rides along now and then.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, text

from federation.documents import format_time
from federation.errors import TrustError
from federation.request import Request
from node.context import Node
from node.db import UtcDateTime
from node.prepared import Prepared

KEEP_FURTHER = timedelta(days=1)
_FORGET_EVERY = 64


def _prepared(statement: str, time: str) -> Prepared:
    return Prepared(text(statement).bindparams(bindparam(time, type_=UtcDateTime())))


_USE = _prepared(
    "INSERT INTO used_nonce (origin, nonce, expires_at) SELECT :origin, :nonce, :expires_at"
    " WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name = 'nonce-floor' AND value > :ends) ON CONFLICT DO NOTHING",
    "expires_at",
)
_COUNT = _prepared(
    "INSERT INTO peer_read (federation, peer_id, pulls, cursor, last_at)"
    " VALUES (:federation, :peer, 1, :cursor, :at)"
    " ON CONFLICT (federation, peer_id) DO UPDATE"
    " SET pulls = peer_read.pulls + 1, cursor = excluded.cursor, last_at = excluded.last_at",
    "at",
)
_SEEN = _prepared(
    "INSERT INTO peer_read (federation, peer_id, pulls, cursor, last_at) VALUES (:federation, :peer, 0, 0, :at)"
    " ON CONFLICT (federation, peer_id) DO UPDATE SET last_at = excluded.last_at",
    "at",
)
_FORGET = _prepared("DELETE FROM used_nonce WHERE expires_at < :before", "before")
_KNOWN = Prepared(text("SELECT origin FROM used_nonce WHERE origin = :origin AND nonce = :nonce"))
_RAISE = Prepared(
    text(
        "INSERT INTO meta (name, value) VALUES ('nonce-floor', :floor)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.value < excluded.value"
    )
)


def use_nonce(node: Node, opened: Request, window_seconds: int) -> None:
    """Use the request's nonce up, and count a read.

    Raise TrustError: `request-replayed` where the nonce was used before, `request-outdated` where nobody could know.
    """
    now = node.clock()
    ends = opened.issued_at + timedelta(seconds=window_seconds)
    whose = f"{opened.member.federation} {opened.member.id}"  # another parent uses up none of this one's
    nonce = {"origin": whose, "nonce": opened.nonce}
    seen = {"federation": opened.member.federation, "peer": opened.member.id, "at": now}

    def use(connection: Connection) -> bool:
        if _USE.run(connection, {**nonce, "expires_at": ends, "ends": format_time(ends)}) != 1:
            return False
        if opened.op == "pull":
            _COUNT.run(connection, {**seen, "cursor": opened.body["cursor"]})
        else:
            _SEEN.run(connection, seen)
        if int(opened.id[:4], 16) % _FORGET_EVERY == 0:
            raise_floor(connection, now - KEEP_FURTHER)
        return True

    if not node.database.note(use):
        _refuse(known=node.database.note(lambda connection: bool(_KNOWN.all(connection, nonce))))


def refuse_issued_before(connection: Connection, at: datetime, window_seconds: int) -> None:
    """After a restore at `at`: answer nothing that was issued before it."""
    raise_floor(connection, at + timedelta(seconds=window_seconds))


def raise_floor(connection: Connection, floor: datetime) -> None:
    """Answer no request more whose window ends before `floor`, and forget the nonces of those."""
    _RAISE.run(connection, {"floor": format_time(floor)})
    _FORGET.run(connection, {"before": floor.replace(microsecond=0)})


def _refuse(*, known: bool) -> None:
    if known:
        raise TrustError("request-replayed", "请求已使用过。", "This request was answered before.")
    raise TrustError(
        "request-outdated",
        "请求早于本节点可核对的时间（时钟曾超前，或刚恢复备份）。请稍后重试，并检查时钟。",
        "The request is older than this node can check (its clock was ahead, or a backup was restored). "
        "Try again later; check the clocks.",
    )
