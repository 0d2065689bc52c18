"""What came with the member list in force: its version, the grants, schemas. Nothing where none is signed.

Whoever takes a list calls `keep_listed` in the transaction that makes it the list in force.
"""

from collections.abc import Mapping

from sqlmodel import Session, col, delete

from federation.grants import Grants, read_grants
from node.stream.models import Federation, ListedDocument

GRANTS = "grants.json"
SCHEMAS = "schemas/"


def keep_listed(session: Session, federation_id: str, version: int, documents: Mapping[str, bytes]) -> None:
    """Put these documents (target path to bytes) in the place of all before; raise TrustError for unreadable grants."""
    if GRANTS in documents:
        read_grants(documents[GRANTS])
    session.execute(delete(ListedDocument).where(col(ListedDocument.federation) == federation_id))
    for path, content in documents.items():
        session.add(ListedDocument(federation=federation_id, path=path, content=content))
    federation = session.get_one(Federation, federation_id)
    federation.list_version = version
    session.add(federation)
    session.flush()


def find_listed(session: Session, federation_id: str, path: str) -> bytes:
    """Return a document of the list in force; b"" where it has none of this path."""
    found = session.get(ListedDocument, (federation_id, path))
    return found.content if found else b""


def find_grants(session: Session, federation_id: str) -> Grants | None:
    """Return the grants in force; None where the federation has signed none: then the streams' audiences alone hold."""
    data = find_listed(session, federation_id, GRANTS)
    return read_grants(data) if data else None


def find_schema(session: Session, federation_id: str, name: str) -> bytes:
    """Return the schema of this name that came with the list; b"" where there is none."""
    return find_listed(session, federation_id, f"{SCHEMAS}{name}.json")
