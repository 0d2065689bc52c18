"""What is left of a document that failed an outer step: the digest of its bytes, the reason, and how often it came.

Whoever floods us with junk costs us a few short statements for each piece of it, and one row for all beyond the first
ten thousand.
"""

from datetime import datetime

from sqlalchemy import bindparam, text
from sqlmodel import Session

from federation.documents import sha256_hex
from node.db import UtcDateTime
from node.prepared import Prepared

MAX_REFUSED = 10_000
MORE = "more"  # stands for all digests beyond them
_AT = bindparam("at", type_=UtcDateTime())
_AGAIN = Prepared(
    text(
        "UPDATE refused_document SET count = count + 1, last_at = :at, code = :code WHERE digest = :digest"
    ).bindparams(_AT)
)
_FIRST = Prepared(
    text(
        "INSERT INTO refused_document (digest, code, via, count, first_at, last_at)"
        " VALUES (:digest, :code, :via, 1, :at, :at)"
    ).bindparams(_AT)
)
_FULL = Prepared(text("SELECT digest FROM refused_document LIMIT 1 OFFSET :most"))


def count_refusal(session: Session, envelope: bytes, code: str, via: str, at: datetime) -> None:
    """Count a refused document, in the caller's transaction, which holds the lock of the log."""
    connection = session.connection()
    row = {"digest": sha256_hex(envelope), "code": code, "via": via, "at": at}
    for digest in (row["digest"], MORE):  # which stands there only where there is no room for others
        if _AGAIN.run(connection, {**row, "digest": digest}):
            return
    full = _FULL.all(connection, {"most": MAX_REFUSED - 1})
    _FIRST.run(connection, {**row, "digest": MORE} if full else row)
