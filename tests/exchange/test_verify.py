"""`gonghui verify` and `gonghui record`: off line, byte for byte, with the exit code 5 where trust does not hold."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from federation.errors import GonghuiError
from federation.keys import fingerprint, public_pem
from node.access.permissions import OFFICER, VIEWER, Actor
from node.cli import make_app
from node.context import Node
from node.exchange.records import export_record, list_records
from node.stream.service import append_record

from .conftest import World, stranger

ROOT = Path(__file__).parents[2]
ANN = Actor("a1", "ann", OFFICER)


def _run(*arguments: object) -> Any:
    result = CliRunner().invoke(make_app(), ["--config", "/nonexistent/config.toml", *map(str, arguments)])
    if isinstance(result.exception, GonghuiError):
        return result.exception.exit_code, result.exception.code
    return result.exit_code, result.stdout


def _member_list(world: World, *members: Node) -> bytes:
    entries = [
        {
            "id": node.node_id,
            "name": node.settings.node.name,
            "code": "",
            "keys": [{"keyid": node.signer.public_key.keyid, "pem": public_pem(node.signer.public_key)}],
            "status": "active",
            "url": "",
        }
        for node in (world.hub, *members)
    ]
    with world.hub.database.write() as session:
        return append_record(
            session,
            world.hub,
            federation=world.federation,
            stream="all",
            kind="member-list",
            subject="members",
            revision=1,
            supersedes="",
            schema="member-list.v1",
            content=json.dumps({"members": entries}).encode(),
        ).envelope


def test_an_exported_record_verifies_by_member_list_and_by_key(world: World, tmp_path: Path) -> None:
    college = world.add_college()
    stored = world.append(college, 7, subject="MEM.all/2026U")
    (tmp_path / "r.json").write_bytes(export_record(college, ANN, stored.id[:12]) + b"\n")
    (tmp_path / "m.json").write_bytes(_member_list(world, college))
    (tmp_path / "k.pem").write_text(public_pem(college.signer.public_key))
    (tmp_path / "k.json").write_text(json.dumps({"key": {"pem": public_pem(college.signer.public_key)}}))
    hub_print = fingerprint(world.hub.signer.public_key)

    code, out = _run("verify", tmp_path / "r.json", "--member-list", tmp_path / "m.json", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["id"], told["type"], told["issued_at"]) == (stored.id, "record", "2026-10-10T08:00:00Z")
    assert told["signed_by"]["node"] == college.node_id
    assert told["statement"]["audience"] == {"federation": world.federation, "readers": "all"}
    assert told["content_schema"] == "valid"
    assert told["anchor"] == {"fingerprint": hub_print, "compared": False}
    for anchor in (("--key", tmp_path / "k.pem"), ("--key", tmp_path / "k.json")):
        code, out = _run("verify", tmp_path / "r.json", *anchor, "--json")
        assert (code, json.loads(out)["signed_by"]["node"]) == (0, "")
    code, out = _run(
        "verify", tmp_path / "r.json", "--member-list", tmp_path / "m.json", "--fingerprint", hub_print.upper()
    )
    assert code == 0
    assert college.node_id in out
    assert "release" not in out


def test_what_does_not_hold_ends_with_exit_code_five(world: World, tmp_path: Path) -> None:
    college, other = world.add_college(), world.add_college()
    envelope = world.append(college, 7).envelope
    (tmp_path / "m.json").write_bytes(_member_list(world, college, other))
    (tmp_path / "k.pem").write_text(public_pem(stranger().public_key))
    anchor = ("--member-list", tmp_path / "m.json")
    changed = envelope.replace(b"eyJ", b"eyI", 1)
    faults = {
        "signature-invalid": changed,
        "origin-mismatch": world.forge(other, envelope),
        "envelope-shape": envelope[:-1],
    }
    for expected, data in faults.items():
        (tmp_path / "r.json").write_bytes(data)
        assert _run("verify", tmp_path / "r.json", *anchor) == (5, expected)
    (tmp_path / "r.json").write_bytes(envelope)
    assert _run("verify", tmp_path / "r.json", "--key", tmp_path / "k.pem") == (5, "key-unknown")
    assert _run("verify", tmp_path / "r.json", *anchor, "--fingerprint", "ab12") == (5, "fingerprint-mismatch")
    (tmp_path / "other.json").write_bytes(envelope)
    assert _run("verify", tmp_path / "r.json", "--member-list", tmp_path / "other.json")[0] == 5
    assert _run("verify", tmp_path / "r.json") == (2, "anchor-missing")
    assert _run("verify", tmp_path / "none.json", *anchor)[0] == 3


def test_the_command_itself_ends_with_code_five(world: World, tmp_path: Path) -> None:
    college = world.add_college()
    (tmp_path / "r.json").write_bytes(world.append(college).envelope)
    (tmp_path / "k.pem").write_text(public_pem(stranger().public_key))
    (tmp_path / "own.pem").write_text(public_pem(college.signer.public_key))

    def run(key: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "node", "--lang", "en", "verify", "r.json", "--key", key]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("own.pem").returncode == 0
    wrong = run("k.pem")
    assert wrong.returncode == 5
    assert "key-unknown" in wrong.stderr


def test_a_receipt_verifies_too(world: World, tmp_path: Path) -> None:
    college = world.add_college()
    receipt = world.push(college, world.append(college).envelope).enclosed[0]
    (tmp_path / "r.json").write_bytes(receipt.raw)
    (tmp_path / "m.json").write_bytes(_member_list(world, college))
    code, out = _run("verify", tmp_path / "r.json", "--member-list", tmp_path / "m.json", "--json")
    told = json.loads(out)
    assert (code, told["type"], told["statement"]["verdict"]) == (0, "receipt", "accepted")
    assert told["signed_by"]["node"] == world.hub.node_id


def test_records_are_listed_and_exported_to_those_who_may(world: World) -> None:
    college = world.add_college()
    stored = world.append(college)
    assert [row["id"] for row in list_records(college, ANN)] == [stored.id]
    assert list_records(college, ANN, kind="notice") == []
    assert export_record(college, ANN, stored.id) == stored.envelope
    for bad, code in (("zz", "record-id-misspelt"), ("0" * 64, "record-unknown")):
        with pytest.raises(GonghuiError, match=code):
            export_record(college, ANN, bad)
    with pytest.raises(GonghuiError, match="not-permitted"):
        export_record(college, Actor("v", "v", VIEWER), stored.id)
