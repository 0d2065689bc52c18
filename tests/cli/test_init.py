"""`gonghui init`: everything once, private, never over something, and again after an interruption."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from federation.errors import Conflict, StorageError
from federation.keyfile import build_key_file, read_key_file
from federation.keys import (
    SCHEMES,
    fingerprint,
    new_sealing_pem,
    read_sealing_key,
    sealing_public,
    write_private_file,
)
from node import founding
from node.access.models import Account, SetupLink
from node.access.service import actor_of_token, digest_of
from node.audit.models import AuditEntry
from node.clock import now
from node.config import load_settings
from node.context import open_node
from node.founding import MARKER_FILE, found_node
from node.stream.models import Federation
from tests.cli.conftest import Gonghui


def test_a_college_is_founded_with_private_files(gonghui: Gonghui, tmp_path: Path) -> None:
    folder = tmp_path / "college"
    said = gonghui(
        "init",
        folder,
        "--name",
        "测试学院",
        "--port",
        "8700",
        "--admin",
        "it",
        "--transport",
        "relay",
        "--json",
        afresh=True,
    )
    assert said.code == 0, said.error
    facts = said.json
    assert facts["federation"] == ""
    for name in ("config.toml", "node.key", "node.seal", "node.secret", "admin.token", "gonghui.db"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert not (folder / MARKER_FILE).exists()
    node = open_node(folder / "config.toml")
    assert node.node_id == facts["node_id"]
    assert fingerprint(node.signer.public_key) == facts["fingerprint"]
    assert (node.settings.node.name, node.settings.server.port) == ("测试学院", 8700)
    assert node.settings.exchange.transport == "relay"
    assert "# 监听端口" in (folder / "config.toml").read_text(encoding="utf-8")
    secret = facts["setup_link"].removeprefix("http://127.0.0.1:8700/setup/")
    with node.database.read() as session:
        link = session.get_one(SetupLink, digest_of(secret))
        assert link.expires_at > now()
        assert session.get_one(Account, link.account_id).name == "it"
        assert actor_of_token(session, Path(facts["token_file"])).role == "admin"
        assert [entry.action for entry in session.exec(select(AuditEntry))] == ["node.init"]
    node.database.close()


@pytest.mark.parametrize("algorithm", SCHEMES)
def test_the_signing_key_may_be_of_any_algorithm(gonghui: Gonghui, tmp_path: Path, algorithm: str) -> None:
    said = gonghui("init", tmp_path / "n", "--key-algorithm", algorithm, "--json")
    assert said.code == 0, said.error
    node = open_node(Path(said.json["config"]))
    node.database.close()
    assert node.signer.public_key.scheme == algorithm
    file = read_key_file(build_key_file(node.signer, node_id=node.node_id, name="学院", code="", url=""))
    assert file.key == node.signer.public_key


def test_an_unknown_algorithm_is_told_before_anything_is_written(gonghui: Gonghui, tmp_path: Path) -> None:
    said = gonghui("init", tmp_path / "n", "--key-algorithm", "rsa")
    assert said.code == 2
    assert "key-algorithm" in said.error
    assert not (tmp_path / "n").exists()


def test_older_sealing_keys_are_opened_newest_first(tmp_path: Path) -> None:
    made = found_node(tmp_path / "n", {}, admin="admin")
    pems = {name: new_sealing_pem() for name in ("node.seal.1", "node.seal.2", "node.seal.10")}
    for name, pem in pems.items():
        write_private_file(tmp_path / "n" / name, pem)
    write_private_file(tmp_path / "n" / "node.seal.old", b"not ours")
    node = open_node(made.config)
    node.database.close()
    newest = read_sealing_key((tmp_path / "n" / "node.seal").read_bytes())
    assert node.sealing_key == sealing_public(newest)
    order = [sealing_public(read_sealing_key(pems[f"node.seal.{n}"])) for n in (10, 2, 1)]
    assert [sealing_public(key) for key in node.sealing_keys] == [node.sealing_key, *order]


def test_a_hub_is_founded_with_its_federation(gonghui: Gonghui, tmp_path: Path) -> None:
    said = gonghui("init", tmp_path / "hub", "--hub", "--name", "省工会", "--federation-name", "全省联合体", "--json")
    node = open_node(Path(said.json["config"]))
    with node.database.read() as session:
        federation = session.exec(select(Federation)).one()
    node.database.close()
    assert (federation.id, federation.name, federation.hub_id) == (
        said.json["federation"],
        "全省联合体",
        said.json["node_id"],
    )


def test_nothing_is_overwritten(gonghui: Gonghui, tmp_path: Path) -> None:
    folder = tmp_path / "n"
    assert gonghui("init", folder).code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = gonghui("init", folder, "--name", "别的")
    assert said.code == 7
    assert "node-exists" in said.error
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "config.toml").unlink()  # a node in use that lost its configuration is no interrupted init
    said = gonghui("init", folder)
    assert said.code == 7
    assert "node-files-present" in said.error
    assert (folder / "node.key").read_bytes() == before["node.key"]


class _PowerCut(BaseException):
    """Ends the program where it stands."""


@pytest.mark.parametrize("file", ["node.key", "node.seal", "node.secret", "admin.token", "config.toml"])
@pytest.mark.parametrize("written", [False, True])
def test_init_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, *, written: bool
) -> None:
    real = founding.replace_private_file

    def cut(path: Path, content: bytes) -> None:
        if path.name == file and not written:
            raise _PowerCut
        real(path, content)
        if path.name == file:
            raise _PowerCut

    monkeypatch.setattr(founding, "replace_private_file", cut)
    folder = tmp_path / "n"
    with pytest.raises(_PowerCut):
        found_node(folder, {}, admin="admin")
    monkeypatch.setattr(founding, "replace_private_file", real)
    key = (folder / "node.key").read_bytes() if (folder / "node.key").exists() else b""
    if file == "config.toml" and written:  # all is there; only the marker and the printed link are lost
        with pytest.raises(Conflict):
            found_node(folder, {}, admin="admin")
        return
    made = found_node(folder, {}, admin="admin")
    assert not key or (folder / "node.key").read_bytes() == key
    node = open_node(folder / "config.toml")
    assert node.node_id == made.node_id
    with node.database.read() as session:
        assert len(session.exec(select(Account)).all()) == 1
        assert len(session.exec(select(SetupLink)).all()) == 1
        assert actor_of_token(session, made.token_file).name == "admin"
    node.database.close()


def test_a_database_of_another_node_is_left_alone(tmp_path: Path, database_url: str) -> None:
    found_node(tmp_path / "a", {"database.url": database_url}, admin="admin")
    with pytest.raises(Conflict, match="database-taken"):
        found_node(tmp_path / "b", {"database.url": database_url}, admin="admin")
    open_node(tmp_path / "a" / "config.toml").database.close()


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Be somebody whom file modes bind, where the tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_is_told_and_left_clean() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "read-only"
        folder.mkdir()
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        with _as_nobody(), pytest.raises(StorageError, match="folder-unwritable") as caught:
            found_node(folder, {}, admin="admin")
        assert "同一命令" in caught.value.text.zh
        assert list(folder.iterdir()) == []


def test_two_at_once_make_one_node(tmp_path: Path, gonghui: Gonghui) -> None:
    folder = tmp_path / "n"
    with founding._unfinished(folder):
        said = gonghui("init", folder)
        assert said.code == 7
        assert "init-running" in said.error
    assert gonghui("init", folder).code == 0
    assert load_settings(folder / "config.toml").node.language == "zh"
