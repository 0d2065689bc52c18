"""Five nodes in network namespaces: slow links, a network that falls apart and comes together, healed without a hand.

Each node has a namespace and a cable to one switch, which is a namespace of its own: nothing of the machine's own
network is touched. Where the machine has no namespaces, no `tc`, or a kernel without netem, the test is skipped and
says so.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.faults.checks import records_of
from tests.faults.conftest import LONG
from tests.faults.federation import HUB, Nodes, found, live, publish_notice
from tests.faults.process import Around
from tests.faults.test_proxy import wait_until_healed

NAMES = ("ann", "ben", "cat", "dan")
PORT = 8650
SLOW = ("tbf", "rate", "2mbit", "burst", "32kbit", "latency", "400ms")
LOSSY = ("netem", "delay", "20ms", "loss", "10%")
Copied = Callable[[Nodes], Nodes]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)


@dataclass
class Cables:
    """A switch and a cable to each node. Names are of this test alone."""

    names: list[str]
    mark: str = field(default_factory=lambda: f"gh{secrets.token_hex(3)}")

    def lay(self) -> str:
        """Make namespaces and cables; return "" or why it cannot be."""
        if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
            return "needs root, ip and tc"
        made = run("ip", "netns", "add", self.switch)
        if made.returncode != 0:
            return f"no network namespaces here: {made.stderr.strip()}"
        steps = [f"ip -n {self.switch} link add br0 type bridge", f"ip -n {self.switch} link set br0 up"]
        for number, name in enumerate(self.names):
            inside, port = self.of(name), f"p{number}"
            steps += [
                f"ip netns add {inside}",
                f"ip -n {self.switch} link add {port} type veth peer name eth0 netns {inside}",
                f"ip -n {self.switch} link set {port} master br0",
                f"ip -n {self.switch} link set {port} up",
                f"ip -n {inside} address add {self.address(name)}/24 dev eth0",
                f"ip -n {inside} link set lo up",
                f"ip -n {inside} link set eth0 up",
            ]
        for step in steps:
            done = run(*step.split())
            if done.returncode != 0:
                return f"cannot lay cables here: {step}: {done.stderr.strip()}"
        return ""

    @property
    def switch(self) -> str:
        return f"{self.mark}-switch"

    def of(self, name: str) -> str:
        return f"{self.mark}-{name}"

    def address(self, name: str) -> str:
        return f"10.231.7.{self.names.index(name) + 1}"

    def shape(self, *rule: str) -> str:
        """Shape every cable; return "" or why the kernel refuses."""
        for number in range(len(self.names)):
            done = run("tc", "-n", self.switch, "qdisc", "replace", "dev", f"p{number}", "root", *rule)
            if done.returncode != 0:
                return done.stderr.strip()
        return ""

    def plug(self, *names: str, into: bool) -> None:
        """Plug the cables of these nodes in, or pull them out."""
        for name in names:
            port = f"p{self.names.index(name)}"
            assert run("ip", "-n", self.switch, "link", "set", port, "up" if into else "down").returncode == 0

    def clear(self) -> None:
        for namespace in (*(self.of(name) for name in self.names), self.switch):
            run("ip", "netns", "delete", namespace)


@pytest.fixture
def cables() -> Iterator[Cables]:
    laid = Cables([HUB, *NAMES])
    try:
        reason = laid.lay()
        if reason:
            pytest.skip(reason)
        yield laid
    finally:
        laid.clear()


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    return found(tmp_path_factory.mktemp("five"), NAMES)


def start_all(nodes: Nodes, cables: Cables) -> None:
    live(nodes, NAMES)
    nodes.address_hub(f"http://{cables.address(HUB)}:{PORT}")
    nodes.hub.serve(PORT, host=cables.address(HUB), around=Around(namespace=cables.of(HUB)))
    for name in NAMES:
        nodes[name].serve(0, around=Around(namespace=cables.of(name)))


def test_a_network_that_falls_apart_heals_without_a_hand(
    five: Nodes, copied: Copied, cables: Cables, record_property: Callable[..., None]
) -> None:
    refused = cables.shape(*SLOW)
    if refused:
        pytest.skip(f"no tbf in this kernel: {refused}")
    nodes = copied(five)
    for name in NAMES[:2]:
        nodes[name].work()
    start_all(nodes, cables)
    for cut in [("cat", "dan"), (HUB,), ("ann", "cat")] if LONG else [("cat", "dan")]:
        cables.plug(*cut, into=False)
        if cut == ("cat", "dan"):
            for name in cut:
                assert nodes[name].work().code == 0, "a node that is cut off goes on working"
            with nodes["cat"].opened() as cat:
                origin = cat.node_id
            assert origin not in {place[0] for place in records_of(nodes.hub)}
        for name in NAMES:
            with nodes[name].opened() as node:
                publish_notice(node, 50)
        cables.plug(*cut, into=True)
        seconds = wait_until_healed(nodes)
        record_property("figure", f"partition without {'+'.join(cut)}: healed in {seconds:.1f} s")


def test_a_network_that_loses_every_tenth_packet(five: Nodes, copied: Copied, cables: Cables) -> None:
    refused = cables.shape(*LOSSY)
    if refused:
        pytest.skip(f"no netem in this kernel: {refused}")
    nodes = copied(five)
    for name in NAMES:
        nodes[name].work()
    start_all(nodes, cables)
    wait_until_healed(nodes)
