"""A hostile network between real nodes: whatever it does, nothing is lost or doubled, and it heals without a hand."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.authority import make_authority
from tests.faults.checks import check_healed
from tests.faults.conftest import LONG, long_form
from tests.faults.federation import Folder, Nodes, free_port, live, publish_notice
from tests.faults.process import Around, Running, start
from tests.faults.proxy import FAULTS, run_proxy

Copied = Callable[[Nodes], Nodes]
SEEDS = range(8) if LONG else range(1)
HEAL_SECONDS = 60


@dataclass
class Network:
    """A running middlebox: its port, what it shall do, and what it did."""

    port: int
    wanted: Path
    log: Path
    process: Running

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def do(self, *faults: str) -> None:
        draft = self.wanted.with_suffix(".new")
        draft.write_text(",".join(faults))
        draft.rename(self.wanted)

    def did(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.log.read_text("utf-8").splitlines())


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """Give a maker of middleboxes before a port."""
    made: list[Network] = []

    def make(behind: int, *, seed: int = 1, tls: str = "", connect: str = "") -> Network:
        port, wanted, log = free_port(), tmp_path / f"wanted{len(made)}", tmp_path / f"log{len(made)}"
        wanted.write_text("pass")
        log.touch()
        values = (port, ("127.0.0.1", behind), str(wanted), str(log), seed, tls, connect)
        process = start(run_proxy, *values, around=Around(), folder=tmp_path)
        made.append(Network(port, wanted, log, process))
        until = time.monotonic() + 20
        while not process.out.exists() or "ready" not in process.out.read_text():
            assert time.monotonic() < until, process.error.read_text()
            time.sleep(0.01)
        return made[-1]

    yield make
    for each in made:
        each.process.kill()


def code_of(folder: Folder) -> str:
    """Run one round and return its code for the hub."""
    [result] = json.loads(folder.sync().out)
    return str(result["code"])


def wait_until_healed(nodes: Nodes, seconds: float = HEAL_SECONDS) -> float:
    """Wait until the federation is as it should be, without touching it; return how long it took."""
    begun = time.monotonic()
    while True:
        try:
            check_healed(nodes)
        except AssertionError:
            if time.monotonic() - begun > seconds:
                raise
            time.sleep(0.3)
        else:
            return time.monotonic() - begun


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_bad_network_does_is_mended_by_the_next_rounds(
    three: Nodes, copied: Copied, network: Callable[..., Network], record_property: Callable[..., None], seed: int
) -> None:
    nodes = copied(three)
    live(nodes, ["ann", "ben"])
    between = network(nodes.port, seed=seed)
    nodes.address_hub(between.url)
    nodes.serve_hub()
    between.do(*FAULTS)
    for college in nodes.colleges:
        college.work()
        college.serve(0)
    begun, number = time.monotonic(), 100
    least = len(FAULTS) if LONG else len(FAULTS) // 2  # of the faults must have come up
    while len(between.did()) < least or time.monotonic() - begun < (30 if LONG else 3):
        assert time.monotonic() - begun < 120, between.did()
        with nodes["ann"].opened() as node:
            publish_notice(node, number)
        number += 1
        time.sleep(0.5)
    between.do("pass")
    seconds = wait_until_healed(nodes)
    told = check_healed(nodes)
    record_property("figure", f"bad network, seed {seed}: {between.did().total()} requests, healed in {seconds:.1f} s")
    assert told["records"] > number - 100


def test_middleboxes_of_every_kind(three: Nodes, copied: Copied, network: Callable[..., Network]) -> None:
    """Each says what it is; where it can be lived with, the exchange goes on, and never is anything taken for done."""
    nodes = copied(three)
    between = network(nodes.port)
    nodes.address_hub(between.url)
    nodes.serve_hub()
    ann = nodes["ann"]
    ann.set(exchange_read_timeout_seconds=1.5)
    ann.work()
    for fault, code in (
        ("html", "peer-answer-not-json"),
        ("status", "peer-error-status"),
        ("cut-ask", "peer-unreachable"),
        ("cut-answer", "peer-unreachable"),
        ("lose", "peer-unreachable"),
        ("byte-a-second", "peer-timeout"),
        ("duplicate", "request-replayed"),
    ):
        between.do(fault)
        begun = time.monotonic()
        assert code_of(ann) == code, fault
        assert time.monotonic() - begun < 8, fault
    for fault in ("delay", "strip", "verbs", "pass"):
        between.do(fault)
        assert code_of(ann) == "", fault
    nodes["ben"].work()
    for name in ("ben", "ann"):
        assert code_of(nodes[name]) == ""
    check_healed(nodes)


def test_a_proxy_with_an_authority_of_its_own(
    three: Nodes, copied: Copied, network: Callable[..., Network], tmp_path: Path
) -> None:
    """As a campus has it: all traffic through a proxy that opens TLS, whose authority is trusted by name or not."""
    nodes = copied(three)
    authority, server = make_authority(tmp_path, "hub.example.edu")
    between = network(nodes.port, connect=str(server))
    nodes.address_hub("https://hub.example.edu")
    nodes.serve_hub()
    for college in nodes.colleges:
        college.work()
        assert code_of(college) == "peer-unreachable"
        college.set(exchange_proxy=between.url)
        assert code_of(college) == "peer-unreachable"  # it is there, but nobody has said to trust it
        college.set(exchange_proxy=between.url, exchange_ca_file=str(authority))
    for name in ("ann", "ben", "ann"):
        assert code_of(nodes[name]) == ""
    assert between.did()["pass"] >= 8
    check_healed(nodes)


@long_form
def test_a_peer_whose_certificate_is_by_the_colleges_own_authority(
    three: Nodes, copied: Copied, network: Callable[..., Network], tmp_path: Path
) -> None:
    nodes = copied(three)
    authority, server = make_authority(tmp_path, "127.0.0.1")
    between = network(nodes.port, tls=str(server))
    nodes.address_hub(between.url.replace("http:", "https:"))
    nodes.serve_hub()
    ann = nodes["ann"]
    ann.work()
    assert code_of(ann) == "peer-unreachable"
    ann.set(exchange_ca_file=str(authority))
    assert code_of(ann) == ""
