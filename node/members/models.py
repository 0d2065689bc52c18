"""Tables of people: valid time and recorded time.

Every row says from which change of data (`learnt`) until which (`unlearnt`, null: still) this node believed it; spells
also say from which day (`valid_from`) until which (`valid_to`, exclusive, null: open) it held in the world. Rows are
inserted and un-learnt, never overwritten, so that (period, known_at) always gives the same figure.
"""

import uuid
from datetime import date

from sqlmodel import Field, SQLModel


class Believed(SQLModel):
    """Recorded time: numbers of `DataChange`; visible at k when learnt <= k and (unlearnt is null or unlearnt > k)."""

    learnt: int = Field(index=True)
    unlearnt: int | None = Field(default=None, index=True)


class Spell(Believed):
    """Valid time: [valid_from, valid_to)."""

    valid_from: date
    valid_to: date | None = None


class Person(SQLModel, table=True):
    """Somebody. Holds nothing but an identity; rows of other tables come and go."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex, primary_key=True)


class PersonLink(Believed, table=True):
    """What a row of a file is recognised by: kind `id_number`, `staff_no` or `member_no`; a keyed HMAC of the value."""

    __tablename__ = "person_link"
    id: int | None = Field(default=None, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    kind: str
    digest: str = Field(index=True)


class PersonFact(Believed, table=True):
    """What does not change in the world: corrected, never a spell. Gender GB/T 2261.1 (`1`, `2`, `9`) or `_U`."""

    __tablename__ = "person_fact"
    id: int | None = Field(default=None, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    name: str = ""
    staff_no: str = ""
    gender: str = "_U"
    birth_date: date | None = None


class StaffSpell(Spell, table=True):
    """Employment: one row as long as none of its codes changes. Codes of `schemas/codelists`, blank is `_U`."""

    __tablename__ = "staff_spell"
    id: int | None = Field(default=None, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    status: str = "11"  # CL_STATUS; first digit 1: on the job
    title: str = "_U"  # CL_TITLE (GB/T 8561)
    title_level: str = "_U"  # CL_TITLE_LEVEL, derived from title at import
    education: str = "_U"  # CL_EDUCATION (GB/T 4658)
    staff_category: str = "_U"  # CL_STAFF_CATEGORY (JY/T 1001)
    employ_form: str = "_U"  # CL_EMPLOY_FORM (用人方式)
    unit_type: str = "_U"  # CL_UNIT_TYPE
    department: str = ""
    contract_end: date | None = None


class MemberSpell(Spell, table=True):
    """Union membership. `leave_reason` is a code of CL_LEAVE_REASON, `_U` where not told, empty while open."""

    __tablename__ = "member_spell"
    id: int | None = Field(default=None, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    leave_reason: str = ""
