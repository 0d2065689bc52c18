"""`gonghui doctor`: each thing that can be wrong is made wrong, and is named with its mend."""

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from federation.keys import new_private_pem, public_pem, read_signer
from node.access.models import Account
from node.clock import now
from node.context import Node, open_node
from node.doctor import ERROR, OK, WARNING, Finding, examine, exit_code_of
from node.founding import found_node
from node.stream.models import Federation, Peer
from tests.cli.conftest import Gonghui, Served

Change = Callable[[Node], None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Path:
    """A sound node on each kind of database."""
    values = {"database.url": database_url, "server.port": free_port()}
    made = found_node(tmp_path / "n", values, admin="admin")
    node = open_node(made.config)
    with node.database.write() as session:
        for role in ("officer", "approver"):
            session.add(Account(id=role, name=role, role=role, created_at=now()))
    node.database.close()
    return made.config


def found(config: Path) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(config)}


def test_a_sound_node_has_nothing_to_mend_but_to_join(config: Path) -> None:
    findings = found(config)
    wrong = {check: finding.state for check, finding in findings.items() if finding.state != OK}
    wrong.pop("font", None)  # the machine's affair
    wrong.pop("disk", None)
    assert wrong == {"hub": WARNING, "backup": WARNING}
    assert set(findings) >= {
        "config",
        "node.key",
        "node.seal",
        "node.secret",
        "database",
        "tables",
        "clock",
        "port",
        "people",
    }
    for finding in findings.values():
        assert finding.said.zh
        assert finding.said.en
        assert finding.state == OK or finding.mend.zh


def test_configuration_and_keys(config: Path) -> None:
    (config.parent / "node.key").chmod(0o644)
    finding = found(config)["node.key"]
    assert (finding.state, finding.exit_code) == (ERROR, 8)
    assert finding.mend.zh.startswith("chmod 600 ")
    (config.parent / "node.key").chmod(0o600)
    (config.parent / "node.key").write_bytes(b"not a key")
    assert found(config)["node.key"].exit_code == 5
    (config.parent / "node.secret").unlink()
    assert found(config)["node.secret"].exit_code == 8
    config.write_text("[server]\nprot = 1\n", encoding="utf-8")
    assert [(f.check, f.exit_code) for f in examine(config)] == [("config", 2)]


def test_database_without_identity_tables_or_columns(config: Path, database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE event_notice"))
    assert found(config)["tables"].state == WARNING
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE peer DROP COLUMN last_error"))
    finding = found(config)["tables"]
    assert (finding.state, finding.exit_code) == (ERROR, 8)
    assert "peer.last_error" in finding.said.en
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM meta"))
    assert found(config)["database"].exit_code == 8
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE meta"))
        connection.execute(text("DROP TABLE setup_link"))
        connection.execute(text("DROP TABLE calendar_feed"))
        connection.execute(text("DROP TABLE web_session"))
        connection.execute(text("DROP TABLE account"))
    engine.dispose()
    assert found(config)["database"].exit_code == 8


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    made = found_node(tmp_path / "n", {}, admin="admin")
    (tmp_path / "n" / "gonghui.db").unlink()
    assert found(made.config)["database"].exit_code == 8
    assert not (tmp_path / "n" / "gonghui.db").exists(), "looking makes nothing"
    unreachable = {"database.url": f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"}
    other = tmp_path / "other.toml"
    other.write_text(f'[database]\nurl = "{unreachable["database.url"]}"\n', encoding="utf-8")
    assert found(other)["database"].exit_code == 8


def test_a_clock_that_went_back(config: Path) -> None:
    findings = examine(config, clock=lambda: now() - timedelta(days=400))
    assert next(f for f in findings if f.check == "clock").state == ERROR


def test_a_port_held_by_somebody_else_and_by_this_node(config: Path, serve: Callable[..., Served]) -> None:
    port = int(config.read_text(encoding="utf-8").partition("\nport = ")[2].splitlines()[0])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        finding = found(config)["port"]
    assert (finding.state, finding.exit_code) == (ERROR, 6)
    serve(config, "--port", str(port))
    assert found(config)["port"].state == OK


def test_nobody_to_approve(config: Path) -> None:
    node = open_node(config)
    with node.database.write() as session:
        session.delete(session.get_one(Account, "approver"))
    node.database.close()
    finding = found(config)["people"]
    assert finding.state == WARNING
    assert "--role approver" in finding.mend.zh


def test_the_hub_is_called_and_its_key_compared(config: Path, tmp_path: Path, serve: Callable[..., Served]) -> None:
    hub = open_node(found_node(tmp_path / "hub", {"hub.enabled": True, "sync.enabled": False}, admin="admin").config)
    served = serve(tmp_path / "hub" / "config.toml")
    node = open_node(config)
    key = hub.signer.public_key
    peer = Peer(
        federation="f", id=hub.node_id, name="hub", url=served.url, public_key=public_pem(key), keyid=key.keyid,
        is_hub=True, last_success_at=now(),
    )  # fmt: skip
    with node.database.write() as session:
        session.add(Federation(id="f", name="f", hub_id=hub.node_id, joined_at=now()))
        session.add(peer)
    assert found(config)["hub"].state == OK
    with node.database.write() as session:
        session.get_one(Peer, ("f", hub.node_id)).keyid = read_signer(new_private_pem()).public_key.keyid
    assert found(config)["hub"].exit_code == 5
    served.stop()
    finding = found(config)["hub"]
    assert (finding.state, finding.exit_code) == (ERROR, 6)
    hub.database.close()
    node.database.close()


def test_a_missing_font_is_told_with_what_to_type(config: Path, tmp_path: Path) -> None:
    finding = examine(config, font_folders=(str(tmp_path / "none"),))[-1]
    assert (finding.check, finding.state) == ("font", WARNING)
    assert "fonts-noto-cjk" in finding.mend.zh
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "NotoSansCJK-Regular.ttc").write_bytes(b"")
    assert examine(config, font_folders=(str(tmp_path / "fonts"),))[-1].state == OK


def test_the_exit_code_is_the_worst() -> None:
    sound = Finding("a", OK, examine(Path("/none/config.toml"))[0].said)
    assert exit_code_of([sound, replace(sound, exit_code=5), replace(sound, exit_code=2)]) == 5


def test_the_command(tmp_path: Path, gonghui: Gonghui) -> None:
    made = found_node(tmp_path / "n", {"server.port": free_port()}, admin="admin")
    said = gonghui("--config", made.config, "doctor", "--json")
    assert said.code == said.json["exit_code"] == 0
    (tmp_path / "n" / "node.key").unlink()
    said = gonghui("--config", made.config, "--lang", "en", "doctor")
    assert said.code == 8
    assert "Restore it from a backup" in said.out
