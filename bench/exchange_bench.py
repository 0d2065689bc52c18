"""Accepting a release against its bare parts; a signed pull against a bare endpoint, and against no signature at all.

    python -m bench.exchange_bench --json

Both sides of a ratio run in one process each on one machine, request by request in turns, so that whatever else the
machine does slows all alike. `unsigned` is our own pull, statement for statement, with neither signature.
"""

import argparse
import base64
import dataclasses
import json
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import jsonschema_rs
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import BigInteger, insert
from sqlmodel import Field, SQLModel, select

import schemas
from federation.catalogue import Code, load_catalogue
from federation.envelope import join_page, split_page
from federation.keys import Member, new_identifier, new_private_pem, public_pem, read_signer
from federation.observations import ReleaseReader
from federation.request import Request as SignedRequest
from federation.request import build_request
from node import tables  # noqa: F401  every table must be known before tables are created
from node.config import Settings
from node.context import Node
from node.db import Database
from node.exchange import inbox, shared
from node.exchange.api import router
from node.exchange.body import read_body
from node.exchange.nonces import use_nonce
from node.exchange.serving import read_page
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.service import append_record, get_federation

OBSERVATIONS = 2_000
PAGE_BYTES = 290_000
ROUNDS = 8
PULLS = 300
LIMITS = {"accept_release": 1.5, "signed_pull": 0.45, "unsigned_pull": 0.5}
_CODES = ("1", "2", "9", "_U")


class BareFigure(SQLModel, table=True):
    """The columns of the program's table of shared figures, for the bare insert, with the same key."""

    __tablename__ = "bare_figure"
    federation: str = Field(primary_key=True)
    origin: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    indicator: str = Field(primary_key=True)
    dims: str = Field(primary_key=True)
    status: str
    value: str = ""
    numerator: int | None = Field(default=None, sa_type=BigInteger)
    denominator: int | None = Field(default=None, sa_type=BigInteger)
    dataflow: str
    record_id: str
    revision: int = Field(sa_type=BigInteger)


def use_long_code_list() -> None:
    """Let the title levels be as many as make a legal release of 2,000 observations: gender by title of the members."""
    catalogue = load_catalogue()
    titles = catalogue.dimensions["T"]
    codes = tuple(Code(f"{n:04d}", titles.name) for n in range(OBSERVATIONS // len(_CODES)))
    dimensions = {**catalogue.dimensions, "T": dataclasses.replace(titles, codes=codes)}
    reader = ReleaseReader(dataclasses.replace(catalogue, dimensions=dimensions))
    shared.release_reader = lambda: reader  # type: ignore[assignment]


def make_release(period: str, count: int) -> bytes:
    """Return the content of a release of `count` observations."""
    observations = [
        {
            "indicator": "MEM_CNT",
            "dims": {"G": _CODES[n % 4], "T": f"{n // 4:04d}"},
            "status": "A",
            "value": 5 + n,
        }
        for n in range(count)
    ]
    content = {
        "dataflow": "MEM.all",
        "period": period,
        "catalogue": {"id": "gonghui-catalogue", "version": "1.0.0"},
        "known_at": {"number": 7, "at": "2026-10-10T01:02:03Z"},
        "reason": "",
        "approval": "two-person",
        "minimum_cell": {"S1": 5, "S2": 10},
        "observations": observations,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def figure_rows(record: Any, content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that a release becomes."""
    return [
        {
            "federation": record.federation,
            "origin": record.origin,
            "indicator": item["indicator"],
            "period": content["period"],
            "dims": ";".join(f"{letter}={code}" for letter, code in sorted(item["dims"].items())),
            "status": item["status"],
            "value": str(item.get("value", "")),
            "dataflow": content["dataflow"],
            "record_id": record.id,
            "revision": record.revision,
        }
        for item in content["observations"]
    ]


def make_node(folder: Path, federation: str = "") -> Node:
    """Return a node in `folder`; a hub where no federation is given."""
    folder.mkdir(exist_ok=True)
    database = Database(f"sqlite:///{folder}/gonghui.db")
    database.create_tables()
    node = Node(folder, Settings(), database, new_identifier("n"), read_signer(new_private_pem()), os.urandom(32))
    if not federation:
        with database.write() as session:
            session.add(
                Federation(id=new_identifier("f"), name="bench", hub_id=node.node_id, joined_at=datetime.now(UTC))
            )
    return node


def introduce(hub: Node, college: Node, federation: str) -> None:
    """Let the two know each other."""
    with college.database.write() as session:
        session.add(Federation(id=federation, name="bench", hub_id=hub.node_id, joined_at=datetime.now(UTC)))
    key = college.signer.public_key
    with hub.database.write() as session:
        session.add(
            Peer(
                federation=federation,
                id=college.node_id,
                name="c",
                public_key=public_pem(key),
                keyid=key.keyid,
            )
        )


def federation_of(node: Node) -> str:
    """Return the federation's id."""
    with node.database.read() as session:
        return session.exec(select(Federation.id)).one()


def append(node: Node, federation: str, subject: str, content: bytes) -> bytes:
    """Append one release and return its envelope."""
    with node.database.write() as session:
        return append_record(
            session,
            node,
            federation=federation,
            stream="all",
            kind="release",
            subject=subject,
            revision=1,
            supersedes="",
            schema="release.v1",
            content=content,
        ).envelope


def bench_accept(folder: Path) -> dict[str, Any]:
    """Accept releases of 2,000 observations; the sum of the bare parts runs on the same bytes in another database."""
    use_long_code_list()
    hub, college = make_node(folder / "hub"), make_node(folder / "college", "x")
    federation = federation_of(hub)
    introduce(hub, college, federation)
    bare = Database(f"sqlite:///{folder}/bare.db")
    bare.create_tables()
    envelopes = [
        append(college, federation, f"MEM.all/{2000 + n}U", make_release(f"{2000 + n}U", OBSERVATIONS))
        for n in range(ROUNDS)
    ]
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(college.signer.public_key.keyval["public"]))
    validator = jsonschema_rs.validator_for(schemas.load_schema("release.v1"))
    ours: list[float] = []
    parts: dict[str, list[float]] = {"verify": [], "parse": [], "validate": [], "insert": []}
    for position, raw in enumerate(envelopes, 1):
        start = time.perf_counter()
        with hub.database.write() as session:
            outcome = inbox.receive(session, hub, raw, {"release": shared.take_release}, via=inbox.PUSH)
        ours.append(time.perf_counter() - start)
        if outcome.verdict != "accepted":
            raise SystemExit(f"not accepted: {outcome.code}")
        _bare_parts(bare, hub, key, validator, raw, position, parts)
    bare.close()
    best = {part: min(times) for part, times in parts.items()}
    return {
        "observations": OBSERVATIONS,
        "envelope_bytes": len(envelopes[0]),
        "accept_ms": round(min(ours) * 1000, 2),
        "parts_ms": {part: round(seconds * 1000, 2) for part, seconds in best.items()},
        "ratio": round(min(ours) / sum(best.values()), 2),
        "limit": LIMITS["accept_release"],
    }


def _bare_parts(
    bare: Database, hub: Node, key: Any, validator: Any, raw: bytes, position: int, parts: dict[str, list[float]]
) -> None:
    start = time.perf_counter()
    document = json.loads(raw)
    payload = base64.b64decode(document["payload"])
    kind = document["payloadType"].encode()
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    key.verify(base64.b64decode(document["signatures"][0]["sig"]), pae)
    parts["verify"].append(time.perf_counter() - start)
    start = time.perf_counter()
    content = json.loads(payload)["content"]
    parts["parse"].append(time.perf_counter() - start)
    start = time.perf_counter()
    if not validator.is_valid(content):
        raise SystemExit("bare validation failed")
    parts["validate"].append(time.perf_counter() - start)
    with hub.database.read() as session:
        stored = session.exec(select(StoredRecord).where(StoredRecord.envelope == raw)).one()
    row = {**stored.model_dump(), "position": position}
    start = time.perf_counter()
    with bare.engine.begin() as connection:
        connection.execute(insert(StoredRecord), [row])
        connection.execute(insert(BareFigure), figure_rows(stored, content))
    parts["insert"].append(time.perf_counter() - start)


def bench_pull(folder: Path) -> dict[str, Any]:
    """Pull a page of 290 kB over a real socket from a process of its own, signed and bare in turns."""
    hub = make_node(folder / "pull-hub")
    federation = federation_of(hub)
    college = make_node(folder / "pull-college", "x")
    introduce(hub, college, federation)
    size = 0
    count = 0
    while size < PAGE_BYTES:
        size += len(append(hub, federation, f"MEM.all/{count}", make_release("2026U", 55)))
        count += 1
    (folder / "key").write_bytes(bytes.fromhex(college.signer.public_key.keyval["public"]))
    hub.database.close()
    kinds = ("signed", "unsigned", "bare")
    servers = {kind: _start(kind, folder, hub) for kind in kinds}
    try:
        bodies = {
            "signed": [_pull_body(college, hub, federation) for _ in range(PULLS)],
            "unsigned": [_unsigned_body(college, federation) for _ in range(PULLS)],
            "bare": [_bare_body(college) for _ in range(PULLS)],
        }
        rates, page = _measure({kind: port for kind, (_, port) in servers.items()}, bodies)
    finally:
        for process, _ in servers.values():
            process.terminate()
            process.wait()
    if split_page(page["signed"])[1:] != split_page(page["bare"]) or page["unsigned"] != page["bare"]:
        raise SystemExit("the pages differ")
    return {
        "page_bytes": len(page["bare"]),
        "records": count,
        **{f"{kind}_per_second": round(rate, 1) for kind, rate in rates.items()},
        "ratio": round(rates["signed"] / rates["bare"], 2),
        "limit": LIMITS["signed_pull"],
        "to_unsigned_ratio": round(rates["signed"] / rates["unsigned"], 2),
        "to_unsigned_limit": LIMITS["unsigned_pull"],
    }


def _pull_body(college: Node, hub: Node, federation: str) -> bytes:
    request = build_request(
        college.signer,
        op="pull",
        origin=college.node_id,
        audience=hub.node_id,
        federation=federation,
        body={"cursor": 0},
        at=datetime.now(UTC),
        nonce=secrets.token_urlsafe(16),
    )
    return join_page([request])


def _bare_body(college: Node) -> bytes:
    message = secrets.token_bytes(200)
    return bytes.fromhex(college.signer.sign(message).signature) + message


def _unsigned_body(college: Node, federation: str) -> bytes:
    return json.dumps(
        {"origin": college.node_id, "federation": federation, "nonce": secrets.token_urlsafe(16)}
    ).encode()


def _measure(ports: dict[str, int], bodies: dict[str, list[bytes]]) -> tuple[dict[str, float], dict[str, bytes]]:
    """Return requests a second by the lower quartile, which a busy machine touches least, and the last page."""
    times: dict[str, list[float]] = {kind: [] for kind in ports}
    page = {}
    with ExitStack() as stack:
        clients = {
            kind: stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
            for kind, port in ports.items()
        }
        for turn in range(PULLS):
            for kind, client in clients.items():
                start = time.perf_counter()
                response = client.post("/exchange/v1/pull", content=bodies[kind][turn])
                times[kind].append(time.perf_counter() - start)
                response.raise_for_status()
                page[kind] = response.content
    return {kind: 1 / statistics.quantiles(found, n=4)[0] for kind, found in times.items()}, page


def _start(kind: str, folder: Path, hub: Node) -> tuple[subprocess.Popen[bytes], int]:
    state = {"kind": kind, "folder": str(folder), "node_id": hub.node_id, "url": hub.database.url}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.exchange_bench", "--serve", json.dumps(state)], stdout=subprocess.PIPE
    )
    if process.stdout is None:
        raise SystemExit("no server")
    return process, int(process.stdout.readline())


def serve(state: dict[str, str]) -> None:
    """Serve one of the applications until terminated; print the port first."""
    app = {"signed": _signed_app, "unsigned": _unsigned_app, "bare": _bare_app}[state["kind"]](state)
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", access_log=False)
    config.load()
    socket = config.bind_socket()
    sys.stdout.write(f"{socket.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[socket])


def _open(state: dict[str, str]) -> Node:
    signer = read_signer(new_private_pem())
    return Node(Path(state["folder"]), Settings(), Database(state["url"]), state["node_id"], signer, b"x" * 32)


def _signed_app(state: dict[str, str]) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.state.node = _open(state)
    app.state.handlers = {}
    return app


def _unsigned_app(state: dict[str, str]) -> FastAPI:
    """Return our pull as it would be if nobody signed: who asks is believed, the rest is the same."""
    app = FastAPI()
    node = _open(state)
    key = read_signer(new_private_pem()).public_key

    @app.post("/exchange/v1/pull")
    def pull(body: Annotated[bytes, Depends(read_body)]) -> Response:
        asked = json.loads(body)
        member = Member(asked["origin"], asked["federation"], key)
        with node.database.read() as session:
            home = get_federation(session, node)
            page = read_page(session, node, member, home.hub_id, 0)
        request = SignedRequest("0001", member, "pull", asked["nonce"], node.clock(), {"cursor": 0})
        use_nonce(node, request, node.settings.exchange.request_window_seconds)
        return Response(join_page(data for _, data in page.enclosed), media_type="application/json")

    return app


def _bare_app(state: dict[str, str]) -> FastAPI:
    app = FastAPI()
    key = Ed25519PublicKey.from_public_bytes((Path(state["folder"]) / "key").read_bytes())
    path = state["url"].removeprefix("sqlite:///")
    connection = sqlite3.connect(path, check_same_thread=False)

    async def read(request: Request) -> bytes:
        return await request.body()

    @app.post("/exchange/v1/pull")
    def pull(body: Annotated[bytes, Depends(read)]) -> Response:  # `def`, as every endpoint that reads a database
        key.verify(body[:64], body[64:])
        rows = connection.execute("SELECT envelope FROM stored_record WHERE position > 0 ORDER BY position LIMIT 50")
        return Response(b"[" + b",\n".join(row[0] for row in rows) + b"]", media_type="application/json")

    return app


def run() -> dict[str, Any]:
    """Return both figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {"accept_release": bench_accept(folder), "signed_pull": bench_pull(folder)}


def main() -> None:
    """Print the figures; end with 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(json.loads(options.serve))
        return
    result = run()
    print(json.dumps(result, indent=2) if options.json else result)
    pull = result["signed_pull"]
    met = result["accept_release"]["ratio"] <= LIMITS["accept_release"] and pull["ratio"] >= LIMITS["signed_pull"]
    sys.exit(0 if met and pull["to_unsigned_ratio"] >= LIMITS["unsigned_pull"] else 1)


if __name__ == "__main__":
    main()
