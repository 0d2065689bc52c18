"""What the words of the catalogue mean in this database: fields, conditions and measures as SQLAlchemy expressions.

The vocabulary is closed (`schemas/indicator-catalogue.v1.json`). A word without a meaning here raises; no text of a
catalogue ever becomes part of a statement but as a bound value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, case, literal, or_

from federation.catalogue import UNKNOWN, Catalogue, Codelist, Condition, Indicator
from federation.periods import Period
from node.members.models import MemberSpell, PersonFact, StaffSpell

STAFF: Any = StaffSpell.__table__  # type: ignore[attr-defined]
MEMBER: Any = MemberSpell.__table__  # type: ignore[attr-defined]
FACT: Any = PersonFact.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Field:
    """Where a word is stored, the source that tells it, and whether it holds for all time once it was told."""

    column: ColumnElement[Any]
    source: str
    timeless: bool = False


FIELDS: Mapping[str, Field] = {
    "status": Field(STAFF.c.status, "staff"),
    **{
        name: Field(STAFF.c[name], name)
        for name in (
            "title",
            "title_level",
            "education",
            "staff_category",
            "employ_form",
            "unit_type",
            "department",
            "contract_end",
        )
    },
    "gender": Field(FACT.c.gender, "gender", timeless=True),
    "birth_date": Field(FACT.c.birth_date, "birth_date", timeless=True),
    "age_band": Field(FACT.c.birth_date, "birth_date", timeless=True),
    "leave_reason": Field(MEMBER.c.leave_reason, "membership"),
}


def visible(table: Any, known_at: int) -> ColumnElement[bool]:
    """Select the rows that were believed at `known_at`."""
    return and_(table.c.learnt <= known_at, or_(table.c.unlearnt.is_(None), table.c.unlearnt > known_at))


def covers(table: Any, day: date) -> ColumnElement[bool]:
    """Select the spells that hold on a day."""
    return and_(table.c.valid_from <= day, or_(table.c.valid_to.is_(None), table.c.valid_to > day))


def dimension_value(field: str, codelist: Codelist, period: Period) -> ColumnElement[Any]:
    """Return the code of a row in a dimension; what is null or in no list is counted as unknown later."""
    column = FIELDS[field].column
    if field != "age_band":
        return column
    bands = [(column > years_before(period.end, code.below), code.code) for code in codelist.codes if code.below]
    return case((column.is_(None), UNKNOWN), *bands, else_=UNKNOWN)


def years_before(day: date, years: int) -> date:
    """Return the latest birth date of somebody who is `years` full years old on `day`."""
    year = max(day.year - years, 1)
    return date(year, 2, 28) if (day.month, day.day) == (2, 29) and not _is_leap(year) else day.replace(year=year)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def holds(condition: Condition, period: Period) -> ColumnElement[bool]:
    """Return what a condition selects; null never holds."""
    if condition.any_of:
        return or_(*(holds(part, period) for part in condition.any_of))
    column = FIELDS[condition.field].column
    if condition.codes:
        return column.in_(condition.codes)
    return column >= {"period_start": period.start, "period_end": period.end}[condition.since]


def measure_value(indicator: Indicator) -> ColumnElement[int]:
    """Return what one row adds."""
    if indicator.measure == "filled":
        parts = [case((_is_filled(FIELDS[name].column), 1), else_=0) for name in indicator.fields]
        return sum(parts[1:], start=parts[0])
    return literal(len(indicator.fields) if indicator.measure == "fields" else 1, Integer)


def _is_filled(column: ColumnElement[Any]) -> ColumnElement[bool]:
    if column.type.python_type is date:
        return column.is_not(None)
    return column.not_in([UNKNOWN, ""])


def fields_of(catalogue: Catalogue, indicator: Indicator, table: tuple[str, ...]) -> list[str]:
    """Return the words that a table of an indicator rests on, beside its subject."""
    conditions = [part for whole in indicator.filters for part in (whole, *whole.any_of)]
    words = [condition.field for condition in conditions if condition.field]
    return words + [catalogue.dimension(indicator, letter).field for letter in table]
