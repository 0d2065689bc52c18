"""Federations that are founded once a session and copied for each test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.federation import Nodes, found

LONG = bool(os.environ.get("GONGHUI_SOAK"))


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
