"""What came with the member list in force: its version, the grants, schemas. Nothing where none is signed.

Whoever takes a list calls `keep_listed` in the transaction that makes it the list in force. Grants that this program
cannot read allow nothing: what they may forbid is not guessed, and what is quarantined meanwhile is judged anew later.
"""

from collections.abc import Mapping

from sqlalchemy import bindparam, select
from sqlmodel import Session, col, delete

from federation.errors import TrustError
from federation.grants import Grants, read_grants
from node.prepared import Prepared
from node.stream.models import Federation, ListedDocument

GRANTS = "grants.json"
SCHEMAS = "schemas/"
_NOTHING = Grants({}, {})
_LISTED = Prepared(
    select(col(ListedDocument.content)).where(
        col(ListedDocument.federation) == bindparam("federation"), col(ListedDocument.path) == bindparam("path")
    )
)


def keep_listed(session: Session, federation_id: str, version: int, documents: Mapping[str, bytes]) -> None:
    """Put the documents of a list (target path to bytes) in the place of all before."""
    session.execute(delete(ListedDocument).where(col(ListedDocument.federation) == federation_id))
    for path, content in documents.items():
        session.add(ListedDocument(federation=federation_id, path=path, content=content))
    federation = session.get_one(Federation, federation_id)
    federation.list_version = version
    session.add(federation)
    session.flush()


def find_listed(session: Session, federation_id: str, path: str) -> bytes:
    """Return a document of the list in force; b"" where it has none of this path."""
    rows = _LISTED.all(session.connection(), {"federation": federation_id, "path": path})
    return bytes(rows[0][0]) if rows else b""


def find_grants(session: Session, federation_id: str) -> Grants | None:
    """Return the grants in force; None where the federation has signed none: then the streams' audiences alone hold."""
    data = find_listed(session, federation_id, GRANTS)
    try:
        return read_grants(data) if data else None
    except TrustError:
        return _NOTHING


def find_schema(session: Session, federation_id: str, name: str) -> bytes:
    """Return the schema of this name that came with the list; b"" where there is none."""
    return find_listed(session, federation_id, f"{SCHEMAS}{name}.json")
