"""What this node believes about persons now, loaded once before a file is compared with it."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Select, select
from sqlmodel import Session

from node.db import last_number
from node.members.models import MemberSpell, PersonFact, PersonLink, StaffSpell

STAFF_FIELDS = (
    "status",
    "title",
    "title_level",
    "education",
    "staff_category",
    "employ_form",
    "unit_type",
    "department",
    "contract_end",
)
FACT_FIELDS = ("name", "staff_no", "gender", "birth_date")


@dataclass(frozen=True)
class KnownSpell:
    """One believed spell: [start, end), `values` in the order of STAFF_FIELDS or (leave_reason,)."""

    row_id: int
    start: date
    end: date | None
    values: tuple[Any, ...]

    def covers(self, day: date) -> bool:
        """Tell whether the spell holds on `day`."""
        return self.start <= day and (self.end is None or day < self.end)


@dataclass
class Known:
    """Everything believed at change `number`; spells of a person are in order of time."""

    number: int
    links: dict[str, dict[str, str]] = field(default_factory=dict)  # kind -> digest -> person
    facts: dict[str, tuple[int, tuple[Any, ...]]] = field(default_factory=dict)  # person -> (row id, FACT_FIELDS)
    staff: dict[str, list[KnownSpell]] = field(default_factory=dict)
    members: dict[str, list[KnownSpell]] = field(default_factory=dict)


def current_known_at(session: Session) -> int:
    """Return the number of the last committed change of data; 0 before the first."""
    return last_number(session, "data")


def load_known(session: Session) -> Known:
    """Load what is believed now, one statement a table."""
    known = Known(current_known_at(session))
    link, fact = PersonLink.__table__.c, PersonFact.__table__.c  # type: ignore[attr-defined]
    for person_id, kind, digest in _rows(
        session, select(link.person_id, link.kind, link.digest).where(link.unlearnt.is_(None))
    ):
        known.links.setdefault(kind, {})[digest] = person_id
    columns = [fact.person_id, fact.id, *(fact[name] for name in FACT_FIELDS)]
    for person_id, row_id, *values in _rows(session, select(*columns).where(fact.unlearnt.is_(None))):
        known.facts[person_id] = (row_id, tuple(values))
    known.staff = _load_spells(session, StaffSpell, STAFF_FIELDS)
    known.members = _load_spells(session, MemberSpell, ("leave_reason",))
    return known


def _rows(session: Session, statement: Select[Any]) -> Any:
    return session.connection().execute(statement).fetchall()


def _load_spells(session: Session, table: Any, names: tuple[str, ...]) -> dict[str, list[KnownSpell]]:
    cell = table.__table__.c
    columns = [cell.person_id, cell.id, cell.valid_from, cell.valid_to, *(cell[name] for name in names)]
    statement = select(*columns).where(cell.unlearnt.is_(None)).order_by(cell.valid_from)
    found: dict[str, list[KnownSpell]] = {}
    for person_id, row_id, start, end, *values in _rows(session, statement):
        found.setdefault(person_id, []).append(KnownSpell(row_id, start, end, tuple(values)))
    return found
