"""`gonghui user` from the first administrator on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.founding import found_node
from tests.cli.conftest import Gonghui, Said

Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, gonghui: Gonghui) -> Run:
    made = found_node(tmp_path / "n", {"sync.enabled": False, "server.public_url": "https://u.example"}, admin="it")

    def speak(*words: str | Path, token: Path = made.token_file) -> Said:
        return gonghui("--config", made.config, "--token-file", token, "user", *words)

    return speak


def test_an_account_from_first_to_last(run: Run, tmp_path: Path) -> None:
    token = tmp_path / "zhang.token"
    said = run("add", "zhang", "--role", "officer", "--token-out", token, "--json")
    assert said.code == 0, said.error
    assert said.json["setup_link"].startswith("https://u.example/setup/")
    assert token.stat().st_mode & 0o777 == 0o600
    assert run("list", token=token).code == 4, "an officer keeps no accounts"
    assert run("role", "zhang", "admin").code == 0
    listed = run("list", "--json", token=token)
    assert [(item["name"], item["role"], item["has_password"]) for item in listed.json] == [
        ("it", "admin", False),
        ("zhang", "admin", False),
    ]
    second = tmp_path / "second.token"
    assert run("token", "zhang", "--out", second).code == 0
    assert run("list", token=token).code == 4, "the token before is dead"
    assert run("list", token=second).code == 0
    assert run("link", "zhang").out.startswith("https://u.example/setup/")
    assert run("disable", "zhang", "--json").json["active"] is False
    assert run("list", token=second).code == 4
    assert run("enable", "zhang").code == 0
    assert run("list", token=second).code == 0


def test_refusals_have_their_codes(run: Run, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    said = run("add", "li", "--role", "viewer", "--token-out", taken)
    assert (said.code, "file-exists" in said.error) == (7, True)
    assert taken.read_text() == "mine"
    assert [item["name"] for item in run("list", "--json").json] == ["it"], "no account without its file"
    fresh = tmp_path / "fresh"
    assert run("add", "li", "--role", "root", "--token-out", fresh).code == 3
    assert not fresh.exists()
    assert run("add", "it", "--role", "viewer").code == 7
    assert run("disable", "it").code == 7
    assert run("link", "nobody").code == 3
    assert run("add", "li").code == 2


def test_a_misspelt_command_ends_with_2(run: Run, gonghui: Gonghui) -> None:
    for said in (run("add", "li"), run("nothing"), run("list", "--no-such-option"), gonghui("nothing")):
        assert said.code == 2
        assert "Traceback" not in said.error
