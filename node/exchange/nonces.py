"""Each request is answered once: its nonce is kept until no clock within the window could let it pass again.

One short transaction a request; the purge rides along now and then.
"""

from datetime import timedelta

from sqlalchemy import bindparam, text

from federation.errors import TrustError
from federation.request import Request
from node.context import Node
from node.db import UtcDateTime

KEEP_FURTHER = timedelta(days=1)  # a clock that jumped ahead and back must not open the window again
_PURGE_EVERY = 64

_USE = text(
    "INSERT INTO used_nonce (origin, nonce, expires_at) VALUES (:origin, :nonce, :expires_at) ON CONFLICT DO NOTHING"
).bindparams(bindparam("expires_at", type_=UtcDateTime()))
_COUNT = text(
    "INSERT INTO peer_read (federation, peer_id, pulls, cursor, last_at)"
    " VALUES (:federation, :peer, 1, :cursor, :at)"
    " ON CONFLICT (federation, peer_id) DO UPDATE"
    " SET pulls = peer_read.pulls + 1, cursor = excluded.cursor, last_at = excluded.last_at"
).bindparams(bindparam("at", type_=UtcDateTime()))
_PURGE = text("DELETE FROM used_nonce WHERE expires_at < :before").bindparams(bindparam("before", type_=UtcDateTime()))


def use_nonce(node: Node, opened: Request, window_seconds: int) -> None:
    """Use the request's nonce up, and count a read; raise TrustError where the nonce was used before."""
    now = node.clock()
    with node.database.write(durable=False) as session:
        connection = session.connection()
        values = {
            "origin": opened.member.id,
            "nonce": opened.nonce,
            "expires_at": opened.issued_at + timedelta(seconds=window_seconds),
        }
        if connection.execute(_USE, values).rowcount != 1:
            raise TrustError("request-replayed", "请求已使用过。", "This request was answered before.")
        if opened.op == "pull":
            read = {
                "federation": opened.member.federation,
                "peer": opened.member.id,
                "cursor": opened.body["cursor"],
                "at": now,
            }
            connection.execute(_COUNT, read)
        if int(opened.id[:4], 16) % _PURGE_EVERY == 0:
            connection.execute(_PURGE, {"before": now - KEEP_FURTHER})
