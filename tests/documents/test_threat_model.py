"""The threat model names only what exists, and leaves out no table and no file."""

import re
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from node import tables  # noqa: F401  every table must be known
from node.founding import found_node

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## ([A-Z]\w+).*?\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))


def _rows(section: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:tests|federation|node|schemas|docs)/[\w./-]+)`", TEXT))
    assert len(named) > 40
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("row", _rows("Threats"), ids=lambda row: row[0][:40])
def test_every_threat_has_a_control_a_place_a_default_and_a_test(row: list[str]) -> None:
    _, control, where, default, tests = row
    assert control
    assert default
    assert re.search(r"`(federation|node)", where)
    paths = re.findall(r"`(tests/[\w./]+)`", tests)
    assert paths
    for path in paths:
        assert re.search(r"^\s*def test_", (ROOT / path).read_text(encoding="utf-8"), re.M), f"{path} tests nothing"


def test_every_table_is_there() -> None:
    named = set(re.findall(r"`(\w+)`", SECTIONS["Tables"]))
    assert sorted(set(SQLModel.metadata.tables) - named) == []
    assert sorted(named - set(SQLModel.metadata.tables) - {"gonghui"}) == []


def test_every_file_of_a_new_node_is_there(tmp_path: Path) -> None:
    found_node(tmp_path / "node", {}, admin="it")
    named = set(re.findall(r"`([\w.]+)`", SECTIONS["Files"]))
    made = {path.name for path in (tmp_path / "node").iterdir() if not path.name.endswith(("-wal", "-shm"))}
    assert sorted(made - named) == []
