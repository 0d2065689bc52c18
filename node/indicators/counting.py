"""Counting in SQL: one fine-grained aggregate a subject and event, from which all tables are margins.

One pass groups the rows of a subject by every dimension that any of its tables needs, and adds up all its indicators
at once; tables are then sums over that result. So a table always adds up to its margins, and the number of statements
does not grow with the catalogue.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import product
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select
from sqlmodel import Session

from federation.catalogue import UNKNOWN, Catalogue, Dimension, Indicator, Table, dims_key
from federation.periods import Period
from node.indicators.vocabulary import FACT, MEMBER, STAFF, covers, dimension_value, holds, measure_value, visible

Cells = dict[Table, dict[str, int]]  # table -> dims key -> count


def passes_of(catalogue: Catalogue) -> dict[tuple[str, str], list[Indicator]]:
    """Return the counted indicators by (subject, event); event "" is the state at the period's end."""
    found: dict[tuple[str, str], list[Indicator]] = {}
    for indicator in catalogue.indicators.values():
        if indicator.kind in {"stock", "flow"}:
            found.setdefault((indicator.subject, indicator.event), []).append(indicator)
    return found


def _dimensions(catalogue: Catalogue, indicators: Iterable[Indicator]) -> dict[tuple[str, str], Dimension]:
    """Return the dimensions that some table needs, by (field, code list): Y may mean several things."""
    needed = [
        catalogue.dimension(indicator, letter)
        for indicator in indicators
        for letter in dict.fromkeys(letter for table in indicator.tables for letter in table)
    ]
    return {(dimension.field, dimension.codelist): dimension for dimension in needed}


def build_statement(
    catalogue: Catalogue,
    subject: str,
    event: str,
    indicators: Sequence[Indicator],
    period: Period,
    known_at: int,
    *,
    by_person: bool = False,
) -> Select[Any]:
    """Return the aggregate of one pass: its dimensions, with `by_person` whose they are, then one sum an indicator."""
    dimensions = _dimensions(catalogue, indicators)
    shared = [part for part in indicators[0].filters if all(part in other.filters for other in indicators)]
    values = [
        dimension_value(field, catalogue.codelists[codelist], period).label(f"d{place}")
        for place, (field, codelist) in enumerate(dimensions)
    ]
    if by_person:
        values.append((STAFF if subject == "staff" else MEMBER).c.person_id.label("person"))
    for place, indicator in enumerate(indicators):
        rest = [holds(part, period) for part in indicator.filters if part not in shared]
        value = measure_value(indicator)
        values.append((case((and_(*rest), value), else_=0) if rest else value).label(f"n{place}"))
    rows = _rows(subject, event, period, known_at, values).where(*(holds(part, period) for part in shared))
    found = rows.subquery()
    groups = [found.c[f"d{place}"] for place in range(len(dimensions))] + ([found.c.person] if by_person else [])
    sums = [func.sum(found.c[f"n{place}"]) for place in range(len(indicators))]
    return select(*groups, *sums).group_by(*groups)


def _rows(subject: str, event: str, period: Period, known_at: int, values: Sequence[Any]) -> Select[Any]:
    """Return the persons of a subject, or the memberships that start or end, each with its employment.

    The employment of a member or joiner is that of the period's end; of a leaver that of the last day as a member
    (the day before `valid_to`), because leaving the union usually means leaving the college.
    """
    fact = and_(FACT.c.person_id == (STAFF if subject == "staff" else MEMBER).c.person_id, visible(FACT, known_at))
    if subject == "staff":
        source = STAFF.outerjoin(FACT, fact)
        return select(*values).select_from(source).where(visible(STAFF, known_at), covers(STAFF, period.end))
    if event == "end":
        valid_to = STAFF.c.valid_to
        employed = and_(STAFF.c.valid_from < MEMBER.c.valid_to, or_(valid_to.is_(None), valid_to >= MEMBER.c.valid_to))
        counted = and_(MEMBER.c.valid_to >= period.start, MEMBER.c.valid_to <= period.end)
    else:
        employed = covers(STAFF, period.end)
        started = and_(MEMBER.c.valid_from >= period.start, MEMBER.c.valid_from <= period.end)
        counted = started if event == "start" else covers(MEMBER, period.end)
    job = and_(STAFF.c.person_id == MEMBER.c.person_id, visible(STAFF, known_at), employed)
    source = MEMBER.outerjoin(STAFF, job).outerjoin(FACT, fact)
    return select(*values).select_from(source).where(visible(MEMBER, known_at), counted)


def count(session: Session, catalogue: Catalogue, period: Period, known_at: int) -> dict[str, Cells]:
    """Return all cells of all counted indicators, zeros included."""
    found: dict[str, Cells] = {}
    for (subject, event), indicators in passes_of(catalogue).items():
        statement = build_statement(catalogue, subject, event, indicators, period, known_at)
        rows = session.connection().execute(statement).fetchall()
        columns = list(zip(*rows, strict=True))
        found |= _tables_of(catalogue, indicators, columns, len(columns) - len(indicators))
    return found


def count_keys(
    session: Session,
    catalogue: Catalogue,
    period: Period,
    known_at: int,
    codes: Collection[str],
    key_of: Callable[[str], int],
) -> dict[tuple[str, str], int]:
    """Return the sum of the keys of the persons in each cell (indicator, dims key) of these counted indicators."""
    found: dict[str, Cells] = {}
    for (subject, event), passed in passes_of(catalogue).items():
        indicators = [indicator for indicator in passed if indicator.code in codes]
        if not indicators:
            continue
        statement = build_statement(catalogue, subject, event, indicators, period, known_at, by_person=True)
        columns = list(zip(*session.connection().execute(statement).fetchall(), strict=True))
        if columns:
            place = len(columns) - len(indicators) - 1
            keys = list(map(key_of, columns[place]))
            sums = [[key * number for key, number in zip(keys, row, strict=True)] for row in columns[place + 1 :]]
            columns = [*columns[:place], *map(tuple, sums)]
        found |= _tables_of(catalogue, indicators, columns, len(columns) - len(indicators))
    return {
        (code, key): number for code, cells in found.items() for rows in cells.values() for key, number in rows.items()
    }


def _tables_of(
    catalogue: Catalogue, indicators: Sequence[Indicator], columns: Sequence[Sequence[Any]], first: int
) -> dict[str, Cells]:
    """Return the tables of a pass: its dimensions stand in the columns, from `first` on a number an indicator."""
    dimensions = _dimensions(catalogue, indicators)
    if not columns:
        columns, first = [()] * (len(dimensions) + len(indicators)), len(dimensions)
    by_dimension = {
        which: _known(column, dimension)
        for (which, dimension), column in zip(dimensions.items(), columns, strict=False)
    }
    return {
        indicator.code: {
            table: _margin(catalogue, indicator, table, by_dimension, numbers) for table in indicator.tables
        }
        for indicator, numbers in zip(indicators, columns[first:], strict=True)
    }


def _known(column: Sequence[Any], dimension: Dimension) -> list[str]:
    """Return the codes of a column; what is in no list is unknown, so that nobody is lost from the total."""
    codes = {value: value if value in {c.code for c in dimension.codes} else UNKNOWN for value in set(column)}
    return list(map(codes.__getitem__, column))


def _margin(
    catalogue: Catalogue,
    indicator: Indicator,
    table: Table,
    by_dimension: dict[tuple[str, str], list[str]],
    numbers: Sequence[Any],
) -> dict[str, int]:
    """Return one table: every combination of codes, with what was counted for it."""
    dimensions = [catalogue.dimension(indicator, letter) for letter in table]
    columns = [by_dimension[dimension.field, dimension.codelist] for dimension in dimensions]
    sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for codes, number in zip(zip(*columns, strict=True), numbers, strict=True) if table else ():
        sums[codes] += number
    if not table:
        sums[()] = sum(numbers)
    return {
        dims_key(dict(zip(table, codes, strict=True))): int(sums[codes])
        for codes in product(*([code.code for code in dimension.codes] for dimension in dimensions))
    }
