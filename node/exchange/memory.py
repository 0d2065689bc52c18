"""What the database remembers, in the words of `federation.acceptance.Memory`; all within one federation."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, or_, select
from sqlmodel import Session, col

from federation.acceptance import KEY_REVOKED, Held
from federation.grants import Grants
from federation.keys import Member
from node.context import Node
from node.prepared import Prepared
from node.stream.listed import find_grants, find_schema
from node.stream.models import Federation, Home, ProvenRecord, StoredRecord
from node.stream.service import ABANDONED, EQUIVOCAL, PLACEHOLDER, SEALED, UNPROVEN, find_member

UNSOUND_REVISION = ("revision-skips", "supersedes-mismatch", "equivocation")
_STREAM = and_(
    col(StoredRecord.federation) == bindparam("federation"),
    col(StoredRecord.origin) == bindparam("origin"),
    col(StoredRecord.stream) == bindparam("stream"),
)


def _found(where: ColumnElement[bool]) -> Prepared:
    of_place = (col(StoredRecord.origin), col(StoredRecord.stream), col(StoredRecord.previous))
    of_state = (col(StoredRecord.state), col(StoredRecord.code))
    columns = (col(StoredRecord.id), col(StoredRecord.sequence), *of_state, *of_place)
    return Prepared(select(*columns).where(where).order_by(col(StoredRecord.sequence).desc()).limit(1))


_BY_ID = _found(and_(col(StoredRecord.federation) == bindparam("federation"), col(StoredRecord.id) == bindparam("id")))
_AT = _found(and_(_STREAM, col(StoredRecord.sequence) == bindparam("sequence")))
_HEAD = _found(_STREAM)
_REVISIONS = Prepared(
    select(col(StoredRecord.revision), col(StoredRecord.id)).where(
        _STREAM,
        col(StoredRecord.subject) == bindparam("subject"),
        col(StoredRecord.state) != PLACEHOLDER,
        col(StoredRecord.state) != ABANDONED,
        or_(and_(*(col(StoredRecord.code) != code for code in UNSOUND_REVISION)), col(StoredRecord.state) == EQUIVOCAL),
    )
)


class DatabaseMemory:
    """The memory of one node in one federation, within the caller's transaction."""

    def __init__(self, session: Session, node: Node, federation: Federation | Home) -> None:
        self._session = session
        self._node = node
        self._federation = federation
        self._members: dict[str, Member | None] = {}

    def find_member(self, keyid: str) -> Member | None:
        """Return who owns this key in the federation's member list."""
        if keyid not in self._members:
            self._members[keyid] = find_member(self._session, self._node, self._federation, keyid)
        return self._members[keyid]

    def forget_members(self) -> None:
        """Look keys up anew: a handler may just have stored another member list."""
        self._members.clear()

    def find_grants(self) -> Grants | None:
        """Return the grants in force; None where the federation has signed none."""
        return find_grants(self._session, self._federation.id)

    def find_schema(self, name: str) -> bytes:
        """Return the schema of this name that came with the member list."""
        return find_schema(self._session, self._federation.id, name)

    def find_record(self, record_id: str) -> Held | None:
        """Return the record of this id."""
        return self._held(_BY_ID, id=record_id)

    def find_at(self, origin: str, stream: str, sequence: int) -> Held | None:
        """Return the record that holds this place."""
        return self._held(_AT, origin=origin, stream=stream, sequence=sequence)

    def find_head(self, origin: str, stream: str) -> Held | None:
        """Return the record of the highest sequence of a stream."""
        return self._held(_HEAD, origin=origin, stream=stream)

    def is_older(self, record_id: str, at: datetime) -> bool:
        """Tell whether we took the record in before `at`, or all required witnesses had cosigned it by then."""
        stored = self._session.get(StoredRecord, record_id)
        proven = self._session.get(ProvenRecord, record_id)
        before = stored is not None and stored.state != PLACEHOLDER and stored.stored_at < at
        return before or (proven is not None and proven.witnessed_at < at)

    def find_revisions(self, origin: str, stream: str, subject: str) -> list[tuple[int, str]]:
        """Return (revision, id) of all held records of a subject whose revision number itself was sound.

        What was current before its origin contradicted it keeps its number: else a third record could take it.
        """
        wanted = {"federation": self._federation.id, "origin": origin, "stream": stream, "subject": subject}
        return [(revision, identity) for revision, identity in _REVISIONS.all(self._session.connection(), wanted)]

    def _held(self, statement: Prepared, **values: object) -> Held | None:
        rows = statement.all(self._session.connection(), {"federation": self._federation.id, **values})
        if not rows:
            return None
        identity, sequence, state, code, origin, stream, previous = rows[0]
        unproven = (state, code) == (UNPROVEN, KEY_REVOKED)
        return Held(identity, sequence, state == PLACEHOLDER, state == SEALED, origin, stream, previous, unproven)
