"""A real server under what a hostile member or stranger sends: the short form of `bench.hostile_bench`.

Times are the bench's affair: on a machine that runs other tests they say nothing.
"""

from pathlib import Path

import httpx
import pytest

from bench.hostile_bench import ATTACKS, LIMITS, flood, strike, victim
from federation.envelope import join_page

PATHS = (
    "/exchange/v1/../../node.key",
    "/exchange/v1/membership/../../../node.key",
    "/exchange/v1/membership/%2e%2e%2fnode.key",
    "/exchange/v1/membership//etc/passwd",
    "/exchange/v1/membership/..%5cnode.key",
)


def test_a_real_server_refuses_stays_small_and_alive(tmp_path: Path) -> None:
    with victim(tmp_path) as hub, httpx.Client(base_url=hub.url, trust_env=False, timeout=60) as client:
        for attack in ATTACKS:
            strike(hub, attack, connections=2, each=1)
        before = hub.resident_bytes()
        for attack in ATTACKS:
            told = strike(hub, attack, connections=4, each=2)
            assert told["refused_as"] == {attack.code: 8}, attack.name
        for path in PATHS:
            answer = client.get(path)
            assert answer.status_code in {404, 405}, path
            assert b"PRIVATE KEY" not in answer.content
        assert flood(hub, 200)["answers"] == {"403": 200}
        assert client.post("/exchange/v1/ping", content=join_page([hub.request("ping", {})])).status_code == 200
        assert (hub.resident_bytes() - before) / 1_000_000 < LIMITS["memory_megabytes"]
        assert hub.process.poll() is None


@pytest.mark.parametrize("name", ["decompression bomb", "10,000-deep request"])
def test_the_attacks_are_what_they_say(name: str, tmp_path: Path) -> None:
    """A refusal proves nothing where the attack is a dud."""
    attack = next(attack for attack in ATTACKS if attack.name == name)
    with victim(tmp_path) as hub:
        body = attack.make(hub)
    assert len(body) < (400_000 if attack.gzip else 66_000)
