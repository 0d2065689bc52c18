"""Federations that are founded once a session and copied for each test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.faults.federation import Nodes, found, free_port

LONG = bool(os.environ.get("GONGHUI_SOAK"))
long_form = pytest.mark.skipif(not LONG, reason="long form: make soak")


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    """Give a hub and two colleges as they were founded, to be copied."""
    return found(tmp_path_factory.mktemp("three"), ["ann", "ben"])


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Callable[[Nodes], Nodes]]:
    """Give a maker of copies, whose processes end with the test."""
    made: list[Nodes] = []

    def copy(nodes: Nodes) -> Nodes:
        made.append(nodes.copy(tmp_path / f"copy{len(made)}"))
        return made[-1]

    yield copy
    for nodes in made:
        nodes.end()


@pytest.fixture
def on_server(postgres_url: str, tmp_path: Path) -> Iterator[Nodes]:
    """Give a federation whose hub keeps its rows in a database of its own on PostgreSQL."""
    name = f"t{os.urandom(6).hex()}"
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgres_url.replace("/postgres?", f"/{name}?")
    nodes = found(tmp_path / "on-server", ["ann", "ben"], hub_settings={"database.url": url})
    nodes.port = free_port()
    nodes.address_hub(f"http://127.0.0.1:{nodes.port}")
    try:
        yield nodes
    finally:
        nodes.end()
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
