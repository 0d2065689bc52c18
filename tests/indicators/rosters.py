"""Random histories of people, written straight into the tables: several versions of every row, believed at times."""

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import insert, update
from sqlmodel import Session

from node.db import Counter
from node.intake.models import DataChange
from node.members.models import MemberSpell, Person, PersonFact, StaffSpell

LAST = 6  # changes of data
FIELDS = ("staff", "gender", "birth_date", "title_level", "education", "staff_category", "employ_form", "unit_type",
          "contract_end", "membership")  # fmt: skip
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _add_changes(session: Session, changes: Sequence[dict[str, Any]]) -> None:
    """Write changes numbered from 1, and the counter behind them."""
    for number, values in enumerate(changes, 1):
        fields = {"kind": "import", "account_id": "a", "at": NOW, "complete": True, **values}
        session.add(DataChange(number=number, **fields))
    session.connection().execute(
        update(Counter).where(Counter.name == "data").values(value=len(changes))  # type: ignore[arg-type]
    )


def scatter(session: Session, dice: random.Random, persons: int, *changes: dict[str, Any]) -> None:
    """Write `persons` with random facts, employment and membership over LAST changes, the first long ago."""
    told = {"as_of": date(2020, 1, 1), "fields": ",".join(FIELDS)}
    since = [{"as_of": date(2026, 9, 30), "fields": "membership"}] * (LAST - 1)
    _add_changes(session, changes or (told, *since))
    for person in [uuid.UUID(int=dice.getrandbits(128)).hex for _ in range(persons)]:
        session.connection().execute(insert(Person), [{"id": person}])
        for model, rows in (
            (PersonFact, [_fact(dice)]),
            (StaffSpell, [{**span, **_job(dice)} for span in _spans(dice)]),
            (MemberSpell, [{**span, "leave_reason": _leave(dice, span)} for span in _spans(dice)]),
        ):
            for row in rows:
                believed = {"person_id": person, **_believed(dice)}
                if model is not PersonFact and dice.random() < 0.1:
                    continue
                if model is PersonFact:
                    believed = {"person_id": person, "learnt": 1, "unlearnt": dice.choice([None, None, 3])}
                    if believed["unlearnt"]:
                        later = {"person_id": person, "learnt": 3, "unlearnt": None}
                        session.connection().execute(insert(model), [{**_fact(dice), **later}])
                session.connection().execute(insert(model), [{**row, **believed}])


def _believed(dice: random.Random) -> dict[str, Any]:
    learnt = dice.randint(1, LAST - 1)
    return {"learnt": learnt, "unlearnt": dice.choice([None, None, None, dice.randint(learnt + 1, LAST)])}


def _spans(dice: random.Random) -> list[dict[str, Any]]:
    """Return up to three spells that touch or leave gaps, many of them at borders of periods."""
    borders = [date(y, m, d) for y in (2024, 2025, 2026) for m, d in ((9, 30), (10, 1), (1, 1), (12, 31), (8, 31))]
    days = sorted({dice.choice([dice.choice(borders), date(2023, 1, 1) + timedelta(dice.randrange(1400))])
                   for _ in range(dice.choice([1, 2, 3, 4]))})  # fmt: skip
    ends: list[date | None] = [*days[1:], dice.choice([None, None, None, days[-1] + timedelta(200)])]
    return [{"valid_from": a, "valid_to": b} for a, b in zip(days, ends, strict=True) if dice.random() < 0.9]


def _leave(dice: random.Random, span: dict[str, Any]) -> str:
    return dice.choice(["RETIRE", "TRANSFER", "QUIT", "OTHER", "_U", "?"]) if span["valid_to"] else ""


def _fact(dice: random.Random) -> dict[str, Any]:
    births = [date(1991, 9, 30), date(1991, 10, 1), date(1981, 9, 30), date(1971, 10, 1), date(1992, 2, 29), None]
    born = dice.choice([dice.choice(births), date(1955, 1, 1) + timedelta(dice.randrange(17000))])
    return {"gender": dice.choice(["1", "1", "2", "2", "2", "9", "_U"]), "birth_date": born}


def _job(dice: random.Random) -> dict[str, Any]:
    return {
        "status": dice.choice(["11", "11", "11", "11", "12", "13", "14", "16", "01", "04", "05"]),
        "title": dice.choice(["011", "_U"]),
        "title_level": dice.choice(["SENIOR", "ASSOC", "MID", "JUN", "NONE", "_U", "odd"]),
        "education": dice.choice(["11", "14", "21", "81", "_U"]),
        "staff_category": dice.choice(["11", "11", "12", "13", "51", "_U"]),
        "employ_form": dice.choice(["ESTAB", "ESTAB", "AGENCY", "CONTRACT", "DISPATCH", "EXTERNAL", "_U"]),
        "unit_type": dice.choice(["TEACH", "ADMIN", "LOGISTICS", "_U"]),
        "contract_end": dice.choice([None, date(2025, 9, 30), date(2026, 9, 29), date(2026, 9, 30), date(2027, 1, 1)]),
    }
