"""`gonghui bundle` as a script reads it: a file in which something does not hold ends with another exit code."""

from pathlib import Path

from tests.cli.conftest import Gonghui


def test_showing_a_bad_bundle_ends_with_5(gonghui: Gonghui, tmp_path: Path) -> None:
    node, good, bad = tmp_path / "node", tmp_path / "good.bundle", tmp_path / "bad.bundle"
    gonghui("init", node, "--hub", "--name", "hub", "--admin", "it")
    before = ("--config", node / "config.toml", "--token-file", node / "admin.token")
    assert gonghui(*before, "bundle", "export", "--all", "--out", good).code == 0
    assert gonghui(*before, "bundle", "show", good).code == 0
    data = good.read_bytes()
    at = data.index(b'"sig":"') + 7
    bad.write_bytes(data[:at] + (b"B" if data[at : at + 1] == b"A" else b"A") + data[at + 1 :])
    said = gonghui(*before, "bundle", "show", bad, "--json")
    assert (said.code, said.json["parcels"][0]["code"]) == (5, "signature-invalid")
    assert gonghui(*before, "bundle", "show", bad).code == 5
