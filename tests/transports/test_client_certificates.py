"""A hub that asks for client certificates by its own authority: real TLS, by the node's own settings."""

import threading
import time
from pathlib import Path

import pytest
import uvicorn

from federation.errors import UsageError
from node.cli.serve import _tls_files
from node.exchange.links import open_client
from node.exchange.sync import run_round
from tests.exchange.conftest import World
from tests.faults.authority import make_authority
from tests.sync.conftest import Net


def _serve(world: World) -> tuple[uvicorn.Server, threading.Thread, str]:
    config = uvicorn.Config(world.app, port=0, log_level="critical", lifespan="off", **_tls_files(world.hub))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    return server, thread, f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def _authority(folder: Path, name: str, host: str) -> tuple[str, str]:
    (folder / name).mkdir()
    ca_file, leaf = make_authority(folder / name, host)
    return str(ca_file), str(leaf)


def test_only_who_shows_a_certificate_of_the_hubs_authority_gets_in(net: Net, world: World, tmp_path: Path) -> None:
    ours, server_leaf = _authority(tmp_path, "server", "127.0.0.1")
    clients, client_leaf = _authority(tmp_path, "clients", "college.example.edu")
    _, foreign_leaf = _authority(tmp_path, "foreign", "college.example.edu")
    world.hub.settings.server.__dict__.update(tls_certificate=server_leaf, tls_client_ca=clients)
    college = net.college()
    world.append(college, 1)
    settings = college.settings.exchange.__dict__
    server, thread, url = _serve(world)
    try:
        net.address(college, world.hub, url)
        for ca_file, certificate, code in (
            (ours, "", "peer-unreachable"),  # none shown
            (ours, foreign_leaf, "peer-unreachable"),  # of an authority the hub does not know
            (clients, client_leaf, "peer-unreachable"),  # the college does not know the hub's
            (ours, client_leaf, ""),
        ):
            settings.update(ca_file=ca_file, client_certificate=certificate)
            [result] = run_round(college, world.handlers, by_hand=True, connect=open_client)
            assert result.code == code, (certificate, result.code)
        assert result.delivered == 1
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def test_certificate_files_that_do_not_fit_are_told_before_anything_is_served(
    net: Net,
    world: World,
    tmp_path: Path,
) -> None:
    _, leaf = _authority(tmp_path, "server", "127.0.0.1")
    world.hub.settings.server.__dict__.update(tls_certificate=leaf, tls_client_ca=str(tmp_path / "missing.pem"))
    with pytest.raises(UsageError, match="tls-files"):
        _tls_files(world.hub)
