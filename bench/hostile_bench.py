"""What a hostile member or stranger sends to a real `gonghui serve`: each refused quickly, in bounded memory, alive.

    python -m bench.hostile_bench --json

Each attack is sent from 16 connections at once; counted is the time from the first byte sent to the refusal read. The
server is a process of its own. Memory is the growth of its resident set over all attacks, after a warm-up.
"""

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPResponse
from pathlib import Path
from select import select
from typing import Any, Self

import httpx
from sqlmodel import select as sql_select

from federation.documents import dump_document, format_time, sha256_hex
from federation.envelope import RECORD_TYPE, REQUEST_TYPE, join_page, read_envelope, sign
from federation.errors import TrustError
from federation.keys import new_identifier, new_private_pem, public_pem, read_signer
from federation.request import build_request
from node.db import Database
from node.founding import found_node
from node.stream.models import Federation, Peer

CONNECTIONS = 16
_CHUNK = 65_536
EACH = 20  # requests of each attack on each connection
AT_ONCE = 1_000
BUSY = "server-busy"  # told at once, where large bodies are under way already
LIMITS = {"p95_milliseconds": 200.0, "memory_megabytes": 50.0}
ROOT = Path(__file__).parents[1]


@dataclass
class Victim:
    """A running hub and one of its members, who is hostile."""

    url: str
    process: subprocess.Popen[str]
    database_url: str
    hub_id: str
    federation: str
    member: str
    signer: Any

    def resident_bytes(self) -> int:
        """Return the resident memory of the server."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def request(self, op: str, body: dict[str, Any]) -> bytes:
        """Return a sound request of the member."""
        return build_request(
            self.signer, op=op, origin=self.member, audience=self.hub_id, federation=self.federation, body=body,
            at=datetime.now(UTC), nonce=secrets.token_urlsafe(16),
        )  # fmt: skip

    def signed(self, text: bytes) -> bytes:
        """Return `text` as if it were a request, really signed by the member: nothing stops it before it is parsed."""
        return join_page([sign(text, REQUEST_TYPE, self.signer)])

    def request_with(self, op: str, body: bytes) -> bytes:
        """Return a signed request whose body is exactly these bytes."""
        head = dump_document(
            {
                "version": 1, "op": op, "origin": self.member, "nonce": secrets.token_urlsafe(16),
                "audience": {"federation": self.federation, "node": self.hub_id},
                "issued_at": format_time(datetime.now(UTC)),
            }
        )  # fmt: skip
        return self.signed(head[:-1] + b',"body":' + body + b"}")

    def push(self, record: bytes) -> bytes:
        """Return a sound push of one record, whatever that is."""
        try:
            identity = read_envelope(record).id
        except TrustError:
            identity = sha256_hex(record)
        return join_page([self.request("push", {"records": [identity]}), record])


@contextmanager
def victim(folder: Path) -> Iterator[Victim]:
    """Found a hub, let it know one member, and serve it."""
    made = found_node(folder / "hub", {"hub.enabled": True, "sync.enabled": False}, admin="admin", federation_name="f")
    url = f"sqlite:///{folder}/hub/gonghui.db"
    signer, member = read_signer(new_private_pem()), new_identifier("n")
    database = Database(url)
    with database.write() as session:
        federation = session.exec(sql_select(Federation.id)).one()
        key = signer.public_key
        session.add(Peer(federation=federation, id=member, name="m", public_key=public_pem(key), keyid=key.keyid))
    database.close()
    command = [sys.executable, "-m", "node", "--config", str(made.config), "serve", "--port", "0", "--json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GONGHUI_")}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    ) as process:
        try:
            told = ""
            while "}" not in told:
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise SystemExit("the server did not start")
                told += line
            yield Victim(json.loads(told)["url"], process, url, made.node_id, federation, member, signer)
        finally:
            process.kill()


@dataclass(frozen=True)
class Attack:
    """What is sent, anew each time, and the code with which it is refused."""

    name: str
    make: Callable[[Victim], bytes]
    code: str  # `answered`: the request stands, what is enclosed is refused as its result
    op: str = "push"
    gzip: bool = False


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * 10_000_000) for _ in range(20)) + packer.flush()


@cache
def _many_signatures(count: int) -> bytes:
    one = b'{"keyid":"%064x","sig":"%b"}'
    parts = b",".join(one % (number, b"A" * 88) for number in range(count))
    return b'{"payload":"e30=","payloadType":"%b","signatures":[%b]}' % (RECORD_TYPE.encode(), parts)


def _record(victim: Victim, content: bytes, schema: str = "release") -> bytes:
    head = dump_document(
        {
            "version": 1, "kind": "release", "origin": victim.member, "stream": "all", "sequence": 1, "previous": "",
            "audience": {"federation": victim.federation, "readers": "all"}, "subject": "MEM.all/2026U", "revision": 1,
            "issued_at": format_time(datetime.now(UTC)), "supersedes": "", "policy": "",
            "schema": {"id": schema, "version": 1, "sha256": "0" * 64},
        }
    )  # fmt: skip
    return sign(head[:-1] + b',"content":' + content + b"}", RECORD_TYPE, victim.signer)


_NEAR_MISS = b'{"payload":"' + b"A" * 900_000 + b'","payloadType":"x","signatures":[{"keyid":"' + b"0" * 64 + b'"}]}'
_REF = b'{"$ref":"http://127.0.0.1:1/x"}'
_DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
_PATTERN = b'{"$schema":"x","type":"object","patternProperties":{"^(a+)+$":{"$ref":"http://127.0.0.1:1/x"}},"' + (
    b"a" * 30_000 + b'!":1}'
)

_LONG = b'{"origin":"n-' + b"a" * 40_000 + b'!","stream":"all","first":1,"last":2}'
_NESTED = b"[" * 10_000 + b"]" * 10_000
_STRANGER = read_signer(new_private_pem())


class Connection:
    """One connection of an attacker, who listens while it sends: a refusal may come before the last byte has gone."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def post(self, path: str, body: bytes, *, gzip: bool = False) -> tuple[int, bytes]:
        """Send a request; return status and body of what is answered."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        self._socket.sendall((head + ("content-encoding: gzip\r\n" if gzip else "") + "\r\n").encode())
        whole = self._send(self._socket, memoryview(body))
        answer = HTTPResponse(self._socket)
        answer.begin()
        told = answer.status, answer.read()
        if answer.will_close or not whole:
            self._close()
        return told

    def _send(self, to: socket.socket, body: memoryview) -> bool:
        for start in range(0, len(body), _CHUNK):
            if select([to], [], [], 0)[0]:
                return False
            try:
                to.sendall(body[start : start + _CHUNK])
            except ConnectionError:
                return False
        return True

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _attack(name: str, code: str, make: Callable[[Victim], bytes], op: str = "push", *, gzip: bool = False) -> Attack:
    return Attack(name, make, code, op, gzip)


ATTACKS = (
    _attack("decompression bomb", "body-too-large", lambda _: _bomb(), gzip=True),
    _attack("100,000 signatures", "body-too-large", lambda _: b"[" + _many_signatures(100_000) + b"]"),
    _attack("6,000 signatures", "answered", lambda v: v.push(_many_signatures(6_000))),
    _attack("nearly an envelope", "answered", lambda v: v.push(_NEAR_MISS)),
    _attack("10,000-deep request", "json-too-deep", lambda v: v.request_with("pull", _NESTED), "pull"),
    _attack("10,000-deep record", "answered", lambda v: v.push(_record(v, _DEEP))),
    _attack("lone surrogate", "json-surrogate", lambda v: v.request_with("pull", b'{"cursor":"\\ud800"}'), "pull"),
    _attack("remote $ref", "schema-invalid", lambda v: v.request_with("pull", _REF), "pull"),
    _attack("catastrophic pattern", "answered", lambda v: v.push(_record(v, _PATTERN))),
    _attack("catastrophic subject", "schema-invalid", lambda v: v.request_with("missing", _LONG), "missing"),
    _attack("stranger", "key-unknown", lambda _: join_page([sign(b"{}", REQUEST_TYPE, _STRANGER)]), "pull"),
)


def strike(victim: Victim, attack: Attack, *, connections: int = CONNECTIONS, each: int = EACH) -> dict[str, Any]:
    """Send an attack from so many connections at once; return its p95 in milliseconds and how it was refused."""
    bodies = [[attack.make(victim) for _ in range(each)] for _ in range(connections)]
    said: Counter[str] = Counter()

    def one(mine: list[bytes]) -> list[float]:
        times = []
        with Connection(victim.url) as connection:
            for body in mine:
                start = time.perf_counter()
                status, answer = connection.post(f"/exchange/v1/{attack.op}", body, gzip=attack.gzip)
                times.append(time.perf_counter() - start)
                said[json.loads(answer)["code"] if status != 200 else "answered"] += 1
                if status >= 500 and status != 503:
                    said[f"status {status}"] += 1
        return times

    with ThreadPoolExecutor(connections) as threads:
        times = sorted(moment for mine in threads.map(one, bodies) for moment in mine)
    return {
        "p95_milliseconds": round(times[int(len(times) * 0.95)] * 1000, 1),
        "refused_as": dict(said),
        "as_expected": set(said) <= {attack.code, BUSY},
    }


def flood(victim: Victim, count: int = AT_ONCE) -> dict[str, Any]:
    """Open so many connections before any request is sent on them, then send on all; count the answers."""
    body = victim.signed(b"{}")
    head = b"POST /exchange/v1/pull HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    host, port = victim.url.removeprefix("http://").split(":")
    answers: Counter[str] = Counter()
    start = time.perf_counter()
    sockets = [socket.create_connection((host, int(port)), timeout=60) for _ in range(count)]
    for one in sockets:
        one.sendall(head + body)
    for one in sockets:
        with one:
            answers[one.recv(12).decode()[-3:]] += 1
    return {"seconds": round(time.perf_counter() - start, 2), "answers": dict(answers)}


def run(*, connections: int = CONNECTIONS, each: int = EACH, at_once: int = AT_ONCE) -> dict[str, Any]:
    """Return what came of each attack, the worst p95, and how much the server has grown."""
    with tempfile.TemporaryDirectory() as name, victim(Path(name)) as hub:
        for attack in ATTACKS:  # warm: modules, validators, worker threads, the allocator's arenas
            strike(hub, attack, connections=min(connections, 4), each=1)
        before = hub.resident_bytes()
        struck = {attack.name: strike(hub, attack, connections=connections, each=each) for attack in ATTACKS}
        flooded = flood(hub, at_once)
        with httpx.Client(base_url=hub.url, trust_env=False, timeout=60) as client:
            alive = client.post("/exchange/v1/ping", content=join_page([hub.request("ping", {})])).status_code == 200
        grown = (hub.resident_bytes() - before) / 1_000_000
    return {
        "connections": connections,
        "requests_each": each,
        "attacks": struck,
        "flood": flooded,
        "p95_milliseconds": max(one["p95_milliseconds"] for one in struck.values()),
        "memory_megabytes": round(grown, 1),
        "as_expected": all(one["as_expected"] for one in struck.values()),
        "alive": alive,
        "limits": LIMITS,
    }


def main() -> None:
    """Print the figures; end with 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    options = parser.parse_args()
    figures = run(connections=options.connections, each=options.each, at_once=options.at_once)
    print(json.dumps(figures, indent=2) if options.json else figures)
    held = all(figures[name] <= limit for name, limit in LIMITS.items())
    sys.exit(not (held and figures["alive"] and figures["as_expected"]))


if __name__ == "__main__":
    main()
