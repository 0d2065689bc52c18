"""The database: whole transactions, gapless numbers, on SQLite and PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy import select as core_select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from federation.errors import StorageError
from node.db import Database, Meta, UtcDateTime, last_number, next_number
from node.prepared import Prepared
from node.stream.models import UsedNonce

THREADS = 24


def test_numbers_have_no_gap_and_no_double_under_four_writers(database: Database) -> None:
    def take(_: int) -> int:
        with database.write() as session:
            return next_number(session, "log")

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(take, range(40))) == list(range(1, 41))


def test_a_failed_transaction_gives_its_number_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        next_number(session, "data")
        raise ZeroDivisionError
    with database.write() as session:
        assert next_number(session, "data") == 1
        assert last_number(session, "data") == 1


def test_a_locked_database_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL waits for row locks only")
    monkeypatch.setattr("node.db.BUSY_SECONDS", 0.1)
    database = Database(database_url)
    database.create_tables()
    with database.write(), pytest.raises(StorageError) as caught, database.write() as second:
        second.add(Meta(name="a", value="b"))
    assert caught.value.code == "database-locked"
    database.close()


def test_only_a_durable_write_waits_for_the_disk(database: Database) -> None:
    def level(*, durable: bool) -> object:
        with database.write(durable=durable) as session:
            session.add(Meta(name=f"{durable}{next(numbers)}", value=""))
            if database.engine.dialect.name == "sqlite":
                return session.execute(text("PRAGMA synchronous")).scalar_one() == 2
            return session.execute(text("SHOW synchronous_commit")).scalar_one() == "on"

    numbers = iter(range(10))
    assert [level(durable=durable) for durable in (True, False, False, True)] == [True, False, False, True]
    with database.read() as session:
        assert len(session.exec(select(Meta).where(Meta.value == "")).all()) == 4


def test_a_prepared_statement_converts_what_it_is_given_and_runs_in_our_transaction(database: Database) -> None:
    put = Prepared(
        text(
            "INSERT INTO used_nonce (origin, nonce, expires_at) VALUES (:origin, :nonce, :at) ON CONFLICT DO NOTHING"
        ).bindparams(bindparam("at", type_=UtcDateTime()))
    )
    known = Prepared(
        core_select(col(UsedNonce.nonce)).where(
            col(UsedNonce.origin) == "o", col(UsedNonce.expires_at) > bindparam("at", type_=UtcDateTime())
        )
    )
    at = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
    undone, kept = ({"origin": "o", "nonce": name, "at": at} for name in ("undone", "n"))
    with pytest.raises(ZeroDivisionError):
        database.note(lambda connection: put.run(connection, undone) / 0)
    for expected in (1, 0):
        assert database.note(lambda connection: put.run(connection, kept)) == expected
    with database.read() as session:
        assert session.get_one(UsedNonce, ("o", "n")).expires_at == at
        assert known.all(session.connection(), {"at": at}) == []
        assert known.all(session.connection(), {"at": at - timedelta(seconds=1)}) == [("n",)]


def test_a_prepared_statement_that_fails_says_so(database: Database) -> None:
    broken = Prepared(text("SELECT 1 FROM nowhere"))
    with pytest.raises((StorageError, DBAPIError)), database.read() as session:
        broken.all(session.connection(), {})
    with database.read() as session:  # and leaves the connection fit for others
        assert session.exec(select(Meta)).all() is not None


def test_a_note_on_a_locked_database_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL waits for row locks only")
    monkeypatch.setattr("node.db.BUSY_SECONDS", 0.1)
    database = Database(database_url)
    database.create_tables()
    with database.write(), pytest.raises(StorageError) as caught:
        database.note(lambda _: None)
    assert caught.value.code == "database-locked"
    database.close()


def test_on_a_locked_database_those_who_note_wait_once_together(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL waits for row locks only")
    monkeypatch.setattr("node.db.BUSY_SECONDS", 0.5)
    database = Database(database_url)
    database.create_tables()
    together, turns = threading.Barrier(THREADS), 0
    take_turn = database._note_all

    def count() -> None:
        nonlocal turns
        turns += 1
        take_turn()

    monkeypatch.setattr(database, "_note_all", count)

    def note(_: int) -> str:
        together.wait()
        with pytest.raises(StorageError) as caught:
            database.note(lambda _: None)
        return caught.value.code

    with database.write(), ThreadPoolExecutor(THREADS) as threads:
        assert {*threads.map(note, range(THREADS))} == {"database-locked"}
    assert turns < THREADS // 2, "each would have waited behind all others"
    database.close()


def test_notes_of_many_threads_are_each_kept_or_refused_alone(database: Database) -> None:
    put = Prepared(
        text("INSERT INTO used_nonce (origin, nonce, expires_at) VALUES (:origin, :nonce, :at)").bindparams(
            bindparam("at", type_=UtcDateTime())
        )
    )
    at = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
    together = threading.Barrier(THREADS)

    def note(number: int) -> str:
        together.wait()
        values = {"origin": "o", "nonce": f"n{number}", "at": at}
        try:
            return str(database.note(lambda connection: put.run(connection, values) / (number % 3)))
        except ZeroDivisionError:
            return "refused"

    with ThreadPoolExecutor(THREADS) as threads:
        said = list(threads.map(note, range(THREADS)))
    assert [word == "refused" for word in said] == [number % 3 == 0 for number in range(THREADS)]
    with database.read() as session:
        kept = {row.nonce for row in session.exec(select(UsedNonce)).all()}
    assert kept == {f"n{number}" for number in range(THREADS) if number % 3}
