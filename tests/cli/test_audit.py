"""`gonghui audit` as a script runs it: a refusal is an entry, a cut end shows against what others kept."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from federation.envelope import CHECKPOINT_TYPE, join_page, read_envelope, sign
from federation.keys import new_private_pem, read_signer
from node.context import Node, open_node
from node.exchange.cosigning import current_checkpoint
from node.founding import found_node
from node.stream.service import get_federation
from tests.cli.conftest import Gonghui, Said

Run = Callable[..., Said]
BROKEN = 5


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return found_node(tmp_path / "n", {"sync.enabled": False, "hub.enabled": True}, admin="it").config


@pytest.fixture
def run(config: Path, gonghui: Gonghui) -> Run:
    def speak(*words: str | Path, token: Path = config.parent / "admin.token") -> Said:
        return gonghui("--config", config, "--token-file", token, *words)

    return speak


def _checkpoint(node: Node) -> bytes:
    with node.database.write() as session:
        return current_checkpoint(session, node, get_federation(session, node)).envelope


def test_a_refused_command_is_an_entry(run: Run, tmp_path: Path) -> None:
    token = tmp_path / "li.token"
    assert run("user", "add", "li", "--role", "viewer", "--token-out", token).code == 0
    assert run("audit", "export", token=token).code == 4
    assert run("user", "list", token=tmp_path / "none").code == 4
    rows = run("audit", "export", "--json").json
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    added = next(row["subject"] for row in rows if row["action"] == "user.add" and row["account"] != "system")
    refused = [row for row in rows if row["action"] == "access.refuse"]
    assert [(row["account"], row["subject"]) for row in refused] == [
        (added, "gonghui:audit"),
        ("network", "gonghui:user"),
    ]
    assert refused[0]["result"] == "not-permitted"
    assert run("audit", "verify", "--json").json["entries"] == len(rows) + 1, "that it was exported is one too"


def test_a_cut_end_shows_against_a_checkpoint_that_somebody_kept(config: Path, run: Run, tmp_path: Path) -> None:
    for name in ("li", "wang"):
        assert run("user", "add", name, "--role", "viewer").code == 0
    node = open_node(config)
    envelope = _checkpoint(node)
    kept, page = tmp_path / "kept.json", tmp_path / "page.json"
    kept.write_bytes(envelope + b"\n")
    page.write_bytes(join_page([envelope]))
    for file in (kept, page):
        assert run("audit", "verify", "--checkpoint", file).code == 0, file
    with node.database.write() as session:  # the end is cut, cleanly, and so is what we signed over it
        session.execute(text("DELETE FROM own_checkpoint"))
        last = session.execute(text("SELECT max(number) FROM audit_entry WHERE action = 'user.add'")).scalar_one()
        session.execute(text("DELETE FROM audit_entry WHERE number >= :last"), {"last": last})
        session.execute(text("UPDATE counter SET value = :rest WHERE name = 'audit'"), {"rest": last - 1})
    node.database.close()
    assert run("audit", "verify").code == 0, "nothing in the house shows it"
    said = run("audit", "verify", "--checkpoint", kept)
    assert (said.code, "audit-entry-missing" in said.error) == (BROKEN, True)


def test_only_a_checkpoint_that_this_node_signed_counts(config: Path, run: Run, tmp_path: Path) -> None:
    node = open_node(config)
    envelope = read_envelope(_checkpoint(node))
    node.database.close()
    file = tmp_path / "kept.json"
    stranger = read_signer(new_private_pem())
    bent = envelope.raw.replace(b'"sig":"', b'"sig":"AAAA', 1)
    for data, code in (
        (sign(envelope.payload, CHECKPOINT_TYPE, stranger), "key-unknown"),
        (sign(envelope.payload, CHECKPOINT_TYPE, stranger).replace(
            stranger.public_key.keyid.encode(), envelope.keyids[0].encode()), "signature-invalid"),
        (bent, ""),
        (b"{}", "envelope-shape"),
    ):  # fmt: skip
        file.write_bytes(data)
        said = run("audit", "verify", "--checkpoint", file)
        assert (said.code != 0, code in said.error) == (True, True), (code, said.error)
    said = run("audit", "verify", "--checkpoint", tmp_path / "none.json")
    assert "file-unreadable" in said.error
