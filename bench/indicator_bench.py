"""All computable tables for 10,000 staff and one period, against the same statements in DuckDB over the same rows."""

import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import insert, update
from sqlalchemy.dialects import postgresql
from sqlmodel import Session, select

from bench.telling import tell
from federation.catalogue import load_catalogue
from federation.periods import Period, read_period
from node import tables  # noqa: F401  every table must be known before tables are created
from node.db import Counter, Database
from node.indicators.compute import compute_figures, figures_of
from node.indicators.counting import build_statement, count, passes_of
from node.indicators.vocabulary import FACT, MEMBER, STAFF
from node.intake.models import DataChange
from node.members.models import MemberSpell, Person, PersonFact, StaffSpell

SIZE = 10_000
PERIOD = "2026U"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIELDS = "staff,gender,birth_date,title_level,education,staff_category,employ_form,unit_type,contract_end,membership"


def fill(session: Session, staff: int) -> None:
    """Write a college: everybody with facts, one to two spells of employment and, nine in ten, a membership."""
    dice = random.Random(1)  # noqa: S311  a bench's dice
    rows: dict[Any, list[dict[str, Any]]] = {Person: [], PersonFact: [], StaffSpell: [], MemberSpell: []}
    for number in range(staff):
        person = f"{number:032x}"
        known = {"person_id": person, "learnt": 1, "unlearnt": None}
        born = date(1962, 1, 1) + timedelta(dice.randrange(15000))
        rows[Person].append({"id": person})
        rows[PersonFact].append({**known, "gender": dice.choice("112229"), "birth_date": born})
        change = date(2025, 9, 30) if dice.random() < 0.3 else None
        spells = [(date(2019, 9, 30), change), *([(change, None)] if change else [])]
        for start, end in spells:
            codes = {
                "status": dice.choice(["11"] * 18 + ["01", "05"]),
                "title_level": dice.choice(["SENIOR", "ASSOC", "ASSOC", "MID", "MID", "MID", "JUN", "NONE", "_U"]),
                "education": dice.choice(["11", "11", "14", "14", "21"]),
                "staff_category": dice.choice(["11"] * 6 + ["12", "13", "13", "14", "20"]),
                "employ_form": dice.choice(["ESTAB"] * 6 + ["AGENCY", "CONTRACT", "DISPATCH"]),
                "unit_type": dice.choice(["TEACH"] * 6 + ["ADMIN", "SUPPORT", "LOGISTICS"]),
                "contract_end": date(2027, 6, 30) if dice.random() < 0.3 else None,
            }
            rows[StaffSpell].append({**known, "valid_from": start, "valid_to": end, **codes})
        if dice.random() < 0.9:
            end = date(2026, 3, 31) if dice.random() < 0.03 else None
            start = date(2000, 1, 1) + timedelta(dice.randrange(9700))
            spell = {"valid_from": start, "valid_to": end, "leave_reason": "RETIRE" if end else ""}
            rows[MemberSpell].append({**known, **spell})
    for model, values in rows.items():
        session.connection().execute(insert(model), values)
    session.add(
        DataChange(number=1, kind="import", at=NOW, account_id="a", as_of=date(2025, 9, 30), complete=True,
                   fields=FIELDS)
    )  # fmt: skip
    session.add(
        DataChange(number=2, kind="import", at=NOW, account_id="a", as_of=date(2026, 9, 30), complete=True,
                   fields=FIELDS)
    )  # fmt: skip
    session.connection().execute(update(Counter).values(value=2))


def statements(period: Period, known_at: int) -> list[str]:
    """Return the engine's own statements with their values in place, as DuckDB reads them."""
    catalogue = load_catalogue()
    return [
        str(
            build_statement(catalogue, subject, event, indicators, period, known_at).compile(
                dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
                compile_kwargs={"literal_binds": True},
            )
        )
        for (subject, event), indicators in passes_of(catalogue).items()
    ]


def one_statement_a_table(passes: list[str]) -> list[str]:
    """Return the plain way: one GROUP BY a table and indicator, over the rows of its pass."""
    catalogue, found = load_catalogue(), []
    for text, indicators in zip(passes, passes_of(catalogue).values(), strict=True):
        rows = text.split("FROM", 1)[1].rsplit("GROUP BY", 1)[0]
        names = list(
            dict.fromkeys(catalogue.dimension(i, letter).field for i in indicators for t in i.tables for letter in t)
        )
        for place, indicator in enumerate(indicators):
            for table in indicator.tables:
                keys = ", ".join(f"d{names.index(catalogue.dimension(indicator, letter).field)}" for letter in table)
                group = f" GROUP BY {keys}" if keys else ""
                found.append(f"SELECT {keys + ',' if keys else ''} sum(n{place}) FROM {rows}{group}")
    return found


def copy_rows(session: Session) -> Any:
    """Return DuckDB, in memory, as it comes, with the same rows."""
    duck = duckdb.connect()
    for table in (FACT, STAFF, MEMBER):
        kinds = {int: "INTEGER", date: "DATE"}
        columns = ", ".join(f"{c.name} {kinds.get(c.type.python_type, 'VARCHAR')}" for c in table.columns)
        duck.execute(f"CREATE TABLE {table.name} ({columns})")
        rows = [list(row) for row in session.connection().execute(select(table)).fetchall()]
        with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8") as file:
            file.writelines(",".join("\\N" if v is None else str(v) for v in row) + "\n" for row in rows)
            file.flush()
            duck.execute(f"COPY {table.name} FROM '{file.name}' (FORMAT csv, NULLSTR '\\N', HEADER false)")
    return duck


def _seconds(work: Callable[[], Any], times: int = 7) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def run(staff: int = SIZE) -> dict[str, float]:
    """Return the ratios and the seconds they come from."""
    period, catalogue = read_period(PERIOD), load_catalogue()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder)}/bench.db")
        database.create_tables()
        with database.write() as session:
            fill(session, staff)
        passes = statements(period, 2)
        plain = one_statement_a_table(passes)
        with database.read() as session:
            duck = copy_rows(session)
            ours = sum(sum(cells.values()) for cells in count(session, catalogue, period, 2)["MEM_CNT"].values())
            theirs = sum(duck.execute(text).fetchall()[0][0] for text in plain if "GROUP BY" not in text)
            assert ours > 0
            assert theirs > 0
            result = {
                "staff": staff,
                "tables": len(plain),
                "tables_seconds": _seconds(lambda: count(session, catalogue, period, 2)),
                "figures_seconds": _seconds(lambda: figures_of(session, catalogue, period, 2)),
                "duckdb_seconds": _seconds(lambda: [duck.execute(text).fetchall() for text in passes]),
                "duckdb_table_by_table_seconds": _seconds(lambda: [duck.execute(text).fetchall() for text in plain]),
            }
        start = time.perf_counter()
        with database.write() as session:
            compute_figures(session, period, 2, NOW)
        result["computed_and_kept_seconds"] = time.perf_counter() - start
        duck.close()
        database.close()
    result["ratio"] = result["figures_seconds"] / result["duckdb_seconds"]
    result["table_by_table_ratio"] = result["figures_seconds"] / result["duckdb_table_by_table_seconds"]
    return {name: round(value, 4) for name, value in result.items()}


LIMITS = {"ratio": 5.0, "table_by_table_ratio": 5.0}


def main() -> None:
    """Print the ratios; end with 1 where one is above its limit."""
    tell(run, LIMITS, __doc__, staff=SIZE)


if __name__ == "__main__":
    main()
