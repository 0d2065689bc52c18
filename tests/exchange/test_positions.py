"""Four writers and a reader at once: positions under a lock lose nothing; a plain serial cursor must lose."""

import random
import threading
import time
from typing import Any

from sqlalchemy import create_engine, text
from sqlmodel import select

from federation.keys import Member
from node.db import Database
from node.exchange.serving import read_page
from node.stream.models import StoredRecord

from .conftest import World

WRITERS, EACH = 4, 25


def _race(write: Any, read: Any) -> tuple[set[Any], set[Any]]:
    """Run writers and one reader; return what was written and what the reader has seen by its cursor."""
    written: set[Any] = set()
    seen: set[Any] = set()
    done = threading.Event()
    errors: list[BaseException] = []

    def writer(number: int) -> None:
        try:
            for n in range(EACH):
                written.add(write(number * 1000 + n))
        except BaseException as error:  # noqa: BLE001  shown by the test
            errors.append(error)

    def reader() -> None:
        cursor = 0
        last_round = False
        while True:
            items, cursor = read(cursor)
            seen.update(items)
            if last_round and not items:
                return
            time.sleep(0.002)
            last_round = done.is_set()

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(WRITERS)]
    follower = threading.Thread(target=reader)
    follower.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join()
    assert errors == []
    return written, seen


def test_no_reader_misses_a_record(world: World) -> None:
    college = world.add_college()
    reader = Member(college.node_id, world.federation, college.signer.public_key)

    def write(n: int) -> str:
        return world.append(world.hub, n).id

    def read(cursor: int) -> tuple[list[str], int]:
        with world.hub.database.read() as session:
            page = read_page(session, world.hub, reader, world.hub.node_id, cursor)
        return [identity for identity, _ in page.enclosed], page.cursor

    written, seen = _race(write, read)
    assert len(written) == WRITERS * EACH
    assert seen == written
    with world.hub.database.read() as session:
        rows = session.exec(select(StoredRecord).order_by(StoredRecord.sequence)).all()  # type: ignore[arg-type]
    assert [row.sequence for row in rows] == list(range(1, WRITERS * EACH + 1))
    assert [row.previous for row in rows] == ["", *(row.id for row in rows[:-1])]


def test_a_plain_serial_cursor_loses_records(postgres_url: str) -> None:
    """The control: without it, the test above could not fail."""
    engine = create_engine(postgres_url, pool_size=10)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS plain"))
        connection.execute(text("CREATE TABLE plain (position bigserial PRIMARY KEY, item integer)"))

    def write(n: int) -> int:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO plain (item) VALUES (:n)"), {"n": n})
            time.sleep(random.random() / 50)  # noqa: S311  a transaction has more to do than to take its number
        return n

    def read(cursor: int) -> tuple[list[int], int]:
        with engine.connect() as connection:
            statement = text("SELECT position, item FROM plain WHERE position > :c ORDER BY position")
            rows = connection.execute(statement, {"c": cursor}).all()
        return [row.item for row in rows], rows[-1].position if rows else cursor

    written, seen = _race(write, read)
    engine.dispose()
    assert seen < written


def test_two_deliveries_of_one_record_at_once(world: World) -> None:
    college = world.add_college()
    envelopes = [world.append(college, n).envelope for n in range(10)]
    outcomes: list[Any] = []

    def deliver() -> None:
        for envelope in envelopes:
            outcomes.append(world.receive(world.hub, envelope).verdict)  # noqa: PERF401  one at a time is the point

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 30
    assert outcomes.count("accepted") == 10
    assert [state for _, state, _ in world.states(world.hub)] == ["current"] * 10
    assert isinstance(world.hub.database, Database)
