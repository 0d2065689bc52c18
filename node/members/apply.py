"""Writing a plan, and taking a whole import back. Both join a running transaction; neither ever overwrites a row.

Rows carry the numbers at which they were learnt and un-learnt, so that (period, known_at) gives the same figure after
any number of imports and undos. An undo un-learns what the import taught and learns anew what it had un-learnt.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select, update
from sqlmodel import Session, SQLModel

from node.members.known import FACT_FIELDS, STAFF_FIELDS
from node.members.models import MemberSpell, Person, PersonFact, PersonLink, StaffSpell
from node.members.plan import Plan

_SPELL = ("person_id", "valid_from", "valid_to")
_BELIEVED: tuple[type[SQLModel], ...] = (PersonLink, PersonFact, StaffSpell, MemberSpell)
_AT_ONCE = 500  # ids in one statement


def apply_plan(session: Session, plan: Plan, number: int) -> None:
    """Write the plan as change `number`."""
    execute = session.connection().execute
    for table, ids in ((PersonFact, plan.old_facts), (StaffSpell, plan.old_staff), (MemberSpell, plan.old_members)):
        _unlearn(session, table, ids, number)
    if plan.persons:
        execute(insert(Person), [{"id": person_id} for person_id in plan.persons])
    for model, names, rows in (
        (PersonLink, ("person_id", "kind", "digest"), plan.links),
        (PersonFact, ("person_id", *FACT_FIELDS), plan.facts),
        (StaffSpell, (*_SPELL, *STAFF_FIELDS), plan.staff),
        (MemberSpell, (*_SPELL, "leave_reason"), plan.members),
    ):
        if rows:
            columns = (*names, "learnt")
            execute(insert(model), [dict(zip(columns, (*row, number), strict=True)) for row in rows])


def _unlearn(session: Session, model: Any, ids: list[int], number: int) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        chosen = model.id.in_(ids[start : start + _AT_ONCE])
        session.connection().execute(update(model).where(chosen).values(unlearnt=number))


def unlearn_change(session: Session, undone: int, number: int) -> int:
    """Believe again, from change `number` on, what was believed before change `undone`; return the rows touched.

    Only right while every change after `undone` is itself undone; the caller checks that.
    """
    connection = session.connection()
    touched = 0
    for model in _BELIEVED:
        table: Any = model.__table__  # type: ignore[attr-defined]
        cell = table.c
        before = select(table).where(cell.learnt < undone, cell.unlearnt >= undone)
        again = [_copy(row, number) for row in connection.execute(before).mappings()]
        taught = update(table).where(cell.learnt >= undone, cell.unlearnt.is_(None)).values(unlearnt=number)
        touched += connection.execute(taught).rowcount + len(again)
        if again:
            connection.execute(insert(table), again)
    return touched


def _copy(row: Any, number: int) -> dict[str, Any]:
    kept: Iterable[tuple[str, Any]] = ((name, value) for name, value in row.items() if name != "id")
    return {**dict(kept), "learnt": number, "unlearnt": None}
