"""kill -9 of a college and of the hub in the middle of a sync: nothing is lost, nothing is there twice.

Real processes, real sockets, real files. The college has more to push than fits in one request; the kill comes when
the hub has taken some of it and not all. Then the same command is given again.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from federation.keys import public_pem
from node.access.permissions import OFFICER, Actor
from node.activities import service
from node.activities.draft import Draft
from node.context import Node, open_node
from node.founding import Founding, found_node
from node.stream.models import Federation, Peer
from tests.cli.conftest import Gonghui, Served, environment

ANN = Actor("a-ann", "ann", OFFICER)
RECORDS = 160
SOAK = pytest.mark.skipif(
    not os.environ.get("GONGHUI_SOAK"), reason="long form: make soak; at every step: tests/faults"
)
Serve = Callable[..., Served]


def introduce(hub: Founding, college: Founding) -> Node:
    """Let hub and college know each other; return the college with its outbox full."""
    node, other = open_node(college.config), open_node(hub.config)
    with node.database.write() as session:
        session.add(Federation(id=hub.federation, name="省", hub_id=hub.node_id, joined_at=node.clock()))
        session.add(_peer(hub, other, is_hub=True))
    with other.database.write() as session:
        session.add(_peer(hub, node, is_hub=False))
    for number in range(RECORDS):
        draft = Draft(f"活动 {number}", "体育馆", "2031-12-12T14:00", "2031-12-12T17:00", details="说明" * 900)
        service.publish(node, ANN, draft)
    other.database.close()
    return node


def _peer(hub: Founding, node: Node, *, is_hub: bool) -> Peer:
    key = node.signer.public_key
    return Peer(
        federation=hub.federation,
        id=node.node_id,
        name="x",
        public_key=public_pem(key),
        keyid=key.keyid,
        is_hub=is_hub,
    )


def count(config: Path, statement: str) -> int:
    with sqlite3.connect(f"file:{config.parent / 'gonghui.db'}?mode=ro", uri=True, timeout=10) as connection:
        return int(connection.execute(statement).fetchone()[0])


TAKEN = "SELECT count(*) FROM stored_record WHERE kind = 'notice'"


def wait_for_some(config: Path) -> int:
    """Wait until the hub has taken some records, and return how many."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (taken := count(config, TAKEN)) >= 3:
            return taken
        time.sleep(0.005)
    raise TimeoutError


def address(node: Node, hub: Founding, url: str) -> None:
    with node.database.write() as session:
        row = session.get_one(Peer, (hub.federation, hub.node_id))
        row.url = url
        session.add(row)


def start_sync(college: Founding) -> subprocess.Popen[bytes]:
    words = ["--config", str(college.config), "--token-file", str(college.token_file), "sync", "run", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "node", *words],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@SOAK
@pytest.mark.parametrize("victim", ["college", "hub"])
def test_a_kill_in_the_middle_of_a_sync_loses_and_doubles_nothing(
    tmp_path: Path, serve: Serve, gonghui: Gonghui, victim: str
) -> None:
    hub = found_node(tmp_path / "hub", {"hub.enabled": True, "sync.enabled": False}, admin="a", federation_name="省")
    college = found_node(tmp_path / "college", {"sync.enabled": False}, admin="a")
    node = introduce(hub, college)
    served = serve(hub.config, afresh=True)
    address(node, hub, served.url)
    run = start_sync(college)
    taken = wait_for_some(hub.config)
    killed = run if victim == "college" else served.process
    killed.send_signal(signal.SIGKILL)
    killed.wait(20)
    run.wait(60)
    assert taken < RECORDS, "the kill came in the middle"
    if victim == "hub":
        assert count(college.config, "SELECT count(*) FROM outbox_item WHERE state = 'waiting'") > 0
        served = serve(hub.config, afresh=True)
        address(node, hub, served.url)
    again = gonghui("--config", college.config, "--token-file", college.token_file, "sync", "run", "--json")
    assert again.code == 0, again.error
    assert count(hub.config, TAKEN) == RECORDS
    assert count(hub.config, f"{TAKEN} AND state = 'current'") == RECORDS
    assert count(hub.config, "SELECT max(sequence) FROM stored_record WHERE kind = 'notice'") == RECORDS
    assert count(hub.config, "SELECT count(*) FROM receipt") == RECORDS
    assert count(hub.config, "SELECT count(*) FROM event_notice") == RECORDS
    for name in ("refused_document", "waiting_document", "equivocation"):
        assert count(hub.config, f"SELECT count(*) FROM {name}") == 0
    assert count(college.config, "SELECT count(*) FROM outbox_item WHERE state = 'delivered'") == RECORDS
    node.database.close()
