"""The command line imports one word's module alone; everything that must be known anyway is."""

import subprocess
import sys

import pytest

from node.cli import WORDS, _word_of
from tests.cli.conftest import environment


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["user", "list"], "user"),
        (["--config", "sync", "--lang", "en", "data", "preview"], "data"),
        (["--config=x.toml", "peer", "list"], "peer"),
        (["--token-file", "t", "--help", "peer"], ""),
        (["usr"], ""),
        (["--config"], ""),
        ([], ""),
    ],
)
def test_the_word_is_found_behind_the_common_options(arguments: list[str], word: str) -> None:
    assert _word_of(arguments) == word


def test_every_table_is_known_whatever_word_is_typed() -> None:
    script = (
        "import node.tables\nfrom sqlmodel import SQLModel\nknown = set(SQLModel.metadata.tables)\n"
        "from node.cli import make_app\nmake_app()\nprint(len(known), set(SQLModel.metadata.tables) - known)"
    )
    said = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    count, _, missing = said.stdout.strip().partition(" ")
    assert int(count) > 30
    assert missing == "set()"


def test_each_word_starts_alone() -> None:
    words = [word for word, told in WORDS.items() if told]
    script = (
        "from typer.main import get_command\nfrom node.cli import make_app\n"
        f"for word in {words!r}:\n    print(word, *get_command(make_app(word)).commands)"
    )
    said = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert [line.split() for line in said.stdout.splitlines()] == [[word, word] for word in words]
