"""The database: SQLite in WAL mode or PostgreSQL, the same code for both.

`read()` gives a snapshot, `write()` one transaction that is whole or not there. Numbers that must have no gap come
from `next_number`, which holds the counter's row until commit; a sequence of the database would lose records to
readers that overtake a slow writer.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, event, inspect, update
from sqlalchemy import select as core_select
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import DateTime, TypeDecorator
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

from federation.errors import StorageError
from node.migration import add_missing_columns, describe_tables
from node.prepared import Prepared, run_on_driver

BUSY_SECONDS = 10
T = TypeVar("T")
SQLModel.model_config["defer_build"] = True  # rows are never validated: a tenth of a command's start would go for it


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time in both databases (SQLite itself forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Refuse a naive time: nobody would know its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Counter(SQLModel, table=True):
    """A gapless counter: `data` for changes of data, `log` for positions of records, and others of one table each."""

    name: str = Field(primary_key=True)
    value: int = 0


class Meta(SQLModel, table=True):
    """Small facts about this database: node identity, schema version."""

    name: str = Field(primary_key=True)
    value: str


_NAMED = col(Counter.name) == bindparam("counter")
_NEXT = Prepared(update(Counter).where(_NAMED).values(value=Counter.value + 1).returning(col(Counter.value)))
_LOCK = Prepared(core_select(col(Counter.value)).where(_NAMED).with_for_update())


def next_number(session: Session, name: str) -> int:
    """Return the next number of the counter `name`; its row stays locked until this transaction ends."""
    rows = _NEXT.all(session.connection(), {"counter": name})
    if rows:
        return int(rows[0][0])
    session.add(Counter(name=name, value=1))
    session.flush()
    return 1


def lock_number(session: Session, name: str) -> None:
    """Hold the counter `name` until this transaction ends without taking a number."""
    _LOCK.all(session.connection(), {"counter": name})


def last_number(session: Session, name: str) -> int:
    """Return the last number of the counter `name` given out; 0 before the first."""
    counter = session.get(Counter, name, populate_existing=True)
    return counter.value if counter else 0


class _Turn:
    """One writer at a time among the threads of this process: SQLite's own waiting sleeps, and starves one of many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise _explain("locked")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Note:
    """What one thread has to note, and what came of it."""

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def attempt(self, do: Callable[[Callable[[Connection], Any]], Any]) -> None:
        try:
            self.result = do(self.work)
        except BaseException as error:  # noqa: BLE001  raised where it was asked for
            self.error = error


class _Session(Session):
    """A session that knows its connection by heart: dozens of statements a record ask for it."""

    held: Connection | None = None

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Return the transaction's connection."""
        if self.held is not None and not args and not kwargs:
            return self.held
        return super().connection(*args, **kwargs)


class Database:
    """One database; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Open `url` lazily: nothing is touched before the first session."""
        self.url = url
        connect_args: dict[str, Any] = {}
        if url.startswith("sqlite"):
            connect_args = {"check_same_thread": False, "timeout": BUSY_SECONDS}
        self.engine: Engine = create_engine(
            url, connect_args=connect_args, hide_parameters=True
        )  # values may be personal
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._turn: AbstractContextManager[None] = _Turn() if self.engine.dialect.name == "sqlite" else nullcontext()
        self._writing = self.engine.execution_options(writes=True)
        self._noting = self.engine.execution_options(writes=True, durable=False)
        self._notes: deque[_Note] = deque()
        self._noter = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for reading; nothing it does is kept."""
        with _storage_errors(), _Session(self.engine, expire_on_commit=False) as session:
            session.held = session.connection()
            yield session

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Session]:
        """Give one transaction: committed when the block ends, rolled back when it raises.

        With `durable=False` the commit does not wait for the disk: a power cut may undo it, a crash of the program
        does not. That is enough for what is worthless after minutes, and spares every reader a wait.
        """
        engine = self._writing if durable else self._noting
        with (
            self._turn,
            _storage_errors(),
            _Session(engine, expire_on_commit=False) as session,
        ):  # its end may fail, too
            session.held = session.connection()  # BEGIN now: on SQLite this takes the write lock
            if not durable:
                _let_commit_run_ahead(session.held)
            yield session
            session.held = None
            session.commit()

    def note(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction as `write(durable=False)` does, without objects: for what each request notes.

        On SQLite what several threads note at once shares a transaction; where a part of it fails, each is done alone:
        so `work` may be called twice, and does nothing but read and write this database.
        """
        if self.engine.dialect.name != "sqlite":
            return self._note_alone(work)
        mine = _Note(work)
        self._notes.append(mine)
        while self._notes and self._noter.acquire(blocking=False):
            try:
                self._note_all()
            finally:
                self._noter.release()
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[no-any-return]

    def _note_all(self) -> None:
        """Do what waits, all in one transaction; what comes while we wait for our turn is in it."""
        together: list[_Note] = []
        try:
            with self._turn, _storage_errors(), self._noting.begin() as connection:
                while self._notes:
                    together.append(self._notes.popleft())
                    together[-1].result = together[-1].work(connection)
        except BaseException as error:  # noqa: BLE001  each is told its own
            if len(together) > 1:
                for one in together:
                    one.attempt(self._note_alone)
            else:
                if not together:  # our turn never came: who queued meanwhile is told now, not after a wait of its own
                    together = [self._notes.popleft() for _ in range(len(self._notes))]
                for one in together:
                    one.error = error
        for one in together:
            one.done.set()

    def _note_alone(self, work: Callable[[Connection], T]) -> T:
        with self._turn, _storage_errors(), self._noting.begin() as connection:
            _let_commit_run_ahead(connection)
            return work(connection)

    def create_tables(self) -> None:
        """Create every table and column that is missing; a digest spares the look where all are there."""
        wanted = describe_tables(SQLModel.metadata)
        with _storage_errors():
            earlier = inspect(self.engine).has_table("meta")
        if earlier:
            with self.read() as session:
                known = session.get(Meta, "tables")
            if known is not None and known.value == wanted:
                return
        with _storage_errors():
            SQLModel.metadata.create_all(self.engine)
        with self.write() as session:
            for name in ("data", "log", "audit", "leaf", "witness", "statement"):
                if session.exec(select(Counter).where(Counter.name == name)).first() is None:
                    session.add(Counter(name=name, value=0))
            lock_number(session, "log")  # of two processes that start at once, one adds what is missing
            if earlier:
                add_missing_columns(session.connection(), SQLModel.metadata)
            session.merge(Meta(name="tables", value=wanted))

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let SQLAlchemy's own BEGIN rule (not the driver's), and set what every connection needs."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where we shall write: a later upgrade could only fail."""
    options = connection.get_execution_options()
    writes, durable = options.get("writes", False), options.get("durable", True)
    if writes and connection.info.get("durable", True) is not durable:
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.info["durable"] = durable
    run_on_driver(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")


def _let_commit_run_ahead(connection: Connection) -> None:
    """Let PostgreSQL's commit not wait for the disk; on SQLite `_begin_sqlite` has seen to it."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turn what the driver says into an error a person can act on."""
    try:
        yield
    except OperationalError as error:
        raise _explain(str(error.orig).lower()) from error


def _explain(said: str) -> StorageError:
    for needle, code, zh, en in (
        (
            "locked",
            "database-locked",
            "数据库正被占用，请稍后重试。",
            "The database is locked; try again shortly.",
        ),
        (
            "full",
            "disk-full",
            "磁盘已满，没有写入任何内容。请清理磁盘后重试。",
            "The disk is full; nothing was written.",
        ),
        (
            "readonly",
            "database-read-only",
            "数据库为只读，请检查文件权限。",
            "The database is read-only; check permissions.",
        ),
        (
            "unable to open",
            "database-unreachable",
            "打不开数据库，请检查路径和权限。",
            "Cannot open the database.",
        ),
        ("connection", "database-unreachable", "连不上数据库服务器。", "Cannot reach the database server."),
    ):
        if needle in said:
            return StorageError(code, zh, en)
    return StorageError("database-error", "数据库出错，没有写入任何内容。", "The database failed; nothing was written.")


def sqlite_url(folder: Path, url: str) -> str:
    """Return `url` with a relative SQLite path made relative to `folder`."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.startswith("sqlite:////") or url == "sqlite:///:memory:":
        return url
    return prefix + str((folder / url.removeprefix(prefix)).resolve())
