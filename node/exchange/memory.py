"""What the database remembers, in the words of `federation.acceptance.Memory`; all within one federation."""

from datetime import datetime

from sqlmodel import Session, col, select

from federation.acceptance import Held
from federation.grants import Grants
from federation.keys import Member
from node.context import Node
from node.stream.listed import find_grants, find_schema
from node.stream.models import Federation, ProvenRecord, StoredRecord
from node.stream.service import EQUIVOCAL, PLACEHOLDER, SEALED, find_member

UNSOUND_REVISION = ("revision-skips", "supersedes-mismatch", "equivocation")


class DatabaseMemory:
    """The memory of one node in one federation, within the caller's transaction."""

    def __init__(self, session: Session, node: Node, federation: Federation) -> None:
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
        return self._held(col(StoredRecord.id) == record_id)

    def find_at(self, origin: str, stream: str, sequence: int) -> Held | None:
        """Return the record that holds this place."""
        return self._held(
            (col(StoredRecord.origin) == origin)
            & (col(StoredRecord.stream) == stream)
            & (col(StoredRecord.sequence) == sequence)
        )

    def find_head(self, origin: str, stream: str) -> Held | None:
        """Return the record of the highest sequence of a stream."""
        return self._held((col(StoredRecord.origin) == origin) & (col(StoredRecord.stream) == stream))

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
        rows = self._session.exec(
            select(StoredRecord.revision, StoredRecord.id).where(
                StoredRecord.federation == self._federation.id,
                StoredRecord.origin == origin,
                StoredRecord.stream == stream,
                StoredRecord.subject == subject,
                col(StoredRecord.state) != PLACEHOLDER,
                col(StoredRecord.code).not_in(UNSOUND_REVISION) | (col(StoredRecord.state) == EQUIVOCAL),
            )
        )
        return list(rows.all())

    def _held(self, where: object) -> Held | None:
        row = self._session.exec(
            select(StoredRecord.id, StoredRecord.sequence, StoredRecord.state)
            .where(StoredRecord.federation == self._federation.id, where)  # type: ignore[arg-type]
            .order_by(col(StoredRecord.sequence).desc())
            .limit(1)
        ).first()
        return Held(row[0], row[1], row[2] == PLACEHOLDER, row[2] == SEALED) if row else None
