"""A hub that pulls 1,500 nodes once, against a bare fetch and insert of the same bytes; then with a tenth of them dead.

    python -m bench.hub_bench --json

The nodes are stubs behind one listener on loopback: each has its own key, one signed release, and signs its answers to
each request. They are nodes of the earlier release: they keep no log, which they show by saying nothing of one, and are
asked for records alone. A member of this release costs one request more (`ping`), one for head statements where either
side has new ones, and one for cosignatures where that is due, hourly at most.

Half of the dead refuse the connection, half accept it and say nothing. Delivery is the time from the
start of the round until a node's record is kept. Both sides use the same number of workers; each has its own process,
so that the peak of memory is the hub's alone.
"""

import argparse
import asyncio
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert
from sqlmodel import SQLModel, col, select

from bench import exchange_bench
from bench.exchange_bench import BareFigure, figure_rows, make_node, make_release
from federation.documents import read_object
from federation.envelope import join_page, read_envelope, split_page
from federation.keys import new_identifier, new_private_pem, public_pem, read_signer
from federation.request import build_answer
from node.config import ExchangeSection, Settings
from node.context import Node
from node.db import Database
from node.exchange import shared, sync
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.service import append_record

NODES = 1_500
OBSERVATIONS = 55
DEAD_SHARE = 10  # one in ten
SILENT_SECONDS = 3.0  # what this bench allows a peer that says nothing
LIMITS = {"ratio": 2.0, "memory_megabytes": 300.0, "dead_p95_ratio": 1.2}


def make_stubs(folder: Path, count: int) -> dict[str, Any]:
    """Write the keys and the signed release of each stub; return the federation's id and the stubs by id."""
    exchange_bench.use_long_code_list()
    federation, hub = new_identifier("f"), new_identifier("n")
    stubs: dict[str, dict[str, str]] = {}
    node = make_node(folder / "signer", federation)
    with node.database.write() as session:
        session.add(Federation(id=federation, name="bench", hub_id=hub, joined_at=datetime.now(UTC)))
    content = make_release("2026U", OBSERVATIONS)
    for _ in range(count):
        pem = new_private_pem()
        home = folder / f"stub{len(stubs)}"
        home.mkdir()
        one = Node(home, node.settings, node.database, new_identifier("n"), read_signer(pem), node.secret)
        with node.database.write(durable=False) as session:
            envelope = append_record(
                session, one, federation=federation, stream="all", kind="release", subject="MEM.all/2026U", revision=1,
                supersedes="", schema="release.v1", content=content,
            ).envelope  # fmt: skip
        stubs[one.node_id] = {"pem": pem.decode(), "envelope": envelope.decode()}
    node.database.close()
    return {"federation": federation, "hub": hub, "stubs": stubs}


async def serve_stubs(known: dict[str, Any]) -> None:
    """Answer `ping` and `pull` for all stubs, and `GET /bare/<id>` with the stored bytes; print the port first."""
    signers = {name: read_signer(stub["pem"].encode()) for name, stub in known["stubs"].items()}
    envelopes: dict[str, bytes] = {name: stub["envelope"].encode() for name, stub in known["stubs"].items()}
    ids = {name: read_envelope(data).id for name, data in envelopes.items()}

    def answer(path: str, body: bytes) -> bytes:
        if path.startswith("/bare/"):
            return join_page([envelopes[path.removeprefix("/bare/")]])
        request = read_envelope(split_page(body)[0])
        asked = read_object(request.payload)
        name, first = asked["audience"]["node"], asked["body"].get("cursor", 1) == 0
        return build_answer(
            signers[name], op=asked["op"], origin=name, audience=asked["origin"], federation=known["federation"],
            request_id=request.id, enclosed=[(ids[name], envelopes[name])] if first else [],
            cursor=1 if asked["op"] == "pull" else 0, at=datetime.now(UTC),
            body={"time": "2026-10-10T08:00:00Z"} if asked["op"] == "ping" else None,
        )  # fmt: skip

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                lengths = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0])) if lengths else b""
                path = lines[0].split(" ")[1]
                page = answer(path, body)
                start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                writer.write(start % len(page) + page)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=256)
    asyncio.get_running_loop().add_reader(sys.stdin, server.close)  # its end: whoever started us is gone
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    with suppress(asyncio.CancelledError):  # closed
        await server.serve_forever()


def make_hub(folder: Path, known: dict[str, Any], urls: dict[str, str]) -> Node:
    """Return a hub that knows all stubs at their addresses."""
    base = make_node(folder, known["federation"])
    settings = Settings(exchange=ExchangeSection(read_timeout_seconds=SILENT_SECONDS))
    hub = Node(base.folder, settings, base.database, known["hub"], base.signer, base.secret)
    with hub.database.write() as session:
        session.add(Federation(id=known["federation"], name="bench", hub_id=known["hub"], joined_at=datetime.now(UTC)))
        for name, stub in known["stubs"].items():
            key = read_signer(stub["pem"].encode()).public_key
            session.add(
                Peer(
                    federation=known["federation"], id=name, name=name, url=urls[name],
                    public_key=public_pem(key), keyid=key.keyid,
                )
            )  # fmt: skip
    return hub


def run_hub(folder: Path, known: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    """Run one round; return seconds, the p95 of delivery, how many peers were visited well, and the peak of memory."""
    exchange_bench.use_long_code_list()
    hub = make_hub(folder, known, urls)
    sync.run_round(hub, {}, only="nobody")  # publishes the member list, which is not the pull's affair
    begun = datetime.now(UTC)
    start = time.perf_counter()
    results = sync.run_round(hub, {"release": shared.take_release}, by_hand=True)
    seconds = time.perf_counter() - start
    with hub.database.read() as session:
        kept = session.exec(select(StoredRecord.stored_at).where(col(StoredRecord.kind) == "release")).all()
    delivered = sorted((at - begun).total_seconds() for at in kept)
    hub.database.close()
    return {
        "seconds": round(seconds, 2),
        "p95_seconds": round(delivered[int(len(delivered) * 0.95)], 2),
        "ok": sum(result.state == sync.OK for result in results),
        "kept": len(kept),
        "memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def run_bare(folder: Path, known: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    """Fetch the same bytes from each stub with a client of its own and insert them, in as many workers."""
    folder.mkdir()
    database = Database(f"sqlite:///{folder}/bare.db")
    SQLModel.metadata.create_all(database.engine)
    at = datetime.now(UTC)

    def one(numbered: tuple[int, str]) -> None:
        number, name = numbered
        with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501  plain HTTP on loopback
            page = client.get(f"{urls[name]}/bare/{name}").content
        envelope = read_envelope(split_page(page)[0])
        record = StoredRecord(
            id=envelope.id, position=number, federation=known["federation"], origin=name, stream="all", sequence=1,
            previous="", kind="release", subject="MEM.all/2026U", revision=1, issued_at=at, stored_at=at,
            envelope=envelope.raw,
        )  # fmt: skip
        rows = figure_rows(record, json.loads(envelope.payload)["content"])
        with database.write() as session:
            session.connection().execute(insert(StoredRecord), [record.model_dump()])
            session.connection().execute(insert(BareFigure), rows)

    start = time.perf_counter()
    with ThreadPoolExecutor(sync.MAX_QUICK) as threads:
        list(threads.map(one, enumerate(known["stubs"], 1)))
    seconds = time.perf_counter() - start
    database.close()
    return {"seconds": round(seconds, 2)}


def _child(kind: str, folder: Path, urls: dict[str, str]) -> dict[str, Any]:
    job = {"kind": kind, "folder": str(folder)}
    folder.with_suffix(".json").write_text(json.dumps(urls), encoding="utf-8")
    command = [sys.executable, "-m", "bench.hub_bench", "--job", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _dead_urls(urls: dict[str, str], silent: int) -> dict[str, str]:
    """Let one in ten be dead: by turns refusing and silent."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = closed.getsockname()[1]
    dead = [refusing, silent]
    return {
        name: f"http://127.0.0.1:{dead[number // DEAD_SHARE % 2]}" if number % DEAD_SHARE == 0 else url
        for number, (name, url) in enumerate(urls.items())
    }


def run(count: int = NODES) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0), backlog=1024) as silent:
        folder = Path(name)
        known = make_stubs(folder, count)
        (folder / "stubs.json").write_text(json.dumps(known), encoding="utf-8")
        server = subprocess.Popen(
            [sys.executable, "-m", "bench.hub_bench", "--job", json.dumps({"kind": "stubs", "folder": name})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            if server.stdout is None:
                raise SystemExit("no stubs")
            port = int(server.stdout.readline())
            urls = dict.fromkeys(known["stubs"], f"http://127.0.0.1:{port}")
            bare = _child("bare", folder / "bare", urls)
            hub = _child("hub", folder / "hub", urls)
            bare_again = _child("bare", folder / "bare2", urls)
            dead = _child("hub", folder / "dead", _dead_urls(urls, silent.getsockname()[1]))
        finally:
            server.terminate()
            server.wait()
    seconds = min(bare["seconds"], bare_again["seconds"])
    return {
        "nodes": count,
        "bare_seconds": seconds,
        "hub": hub,
        "tenth_dead": dead,
        "ratio": round(hub["seconds"] / seconds, 2),
        "memory_megabytes": hub["memory_megabytes"],
        "dead_p95_ratio": round(dead["p95_seconds"] / hub["p95_seconds"], 2),
        "limits": LIMITS,
    }


def do_job(job: dict[str, Any]) -> None:
    """Be one of the processes of the bench."""
    folder = Path(job["folder"])
    if job["kind"] == "stubs":
        asyncio.run(serve_stubs(json.loads((folder / "stubs.json").read_text(encoding="utf-8"))))
        return
    known = json.loads((folder.parent / "stubs.json").read_text(encoding="utf-8"))
    run_one = run_hub if job["kind"] == "hub" else run_bare
    print(json.dumps(run_one(folder, known, json.loads(folder.with_suffix(".json").read_text()))))


def main() -> None:
    """Print the figures; end with 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        do_job(json.loads(options.job))
        return
    figures = run(options.nodes)
    print(json.dumps(figures, indent=2) if options.json else figures)
    sys.exit(any(figures[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
