"""Further federations beside a small world: each with its own hub, all reached over one net."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
from fastapi import FastAPI
from sqlmodel import SQLModel, col, select

from federation.envelope import RECEIPT_TYPE, join_page, sign
from federation.keys import new_identifier
from node.context import Node
from node.db import Database
from node.exchange import inbox
from node.exchange.api import router
from node.exchange.membership import publish_members_if_hub
from node.exchange.membership_api import router as membership
from node.stream.models import Federation, StoredRecord
from node.stream.service import list_federations
from tests.exchange.conftest import START, Seen, Turn, World
from tests.sync.conftest import Net
from tests.transport import AppTransport

TERRITORY_URL = "http://territory"


@dataclass
class Parents:
    """One college, two hubs that know nothing of each other."""

    industry: Net
    territory: Net
    college: Node
    app: FastAPI  # of the college


def found(make: Callable[..., Node], name: str, clock: Turn, seen: Seen) -> World:
    """Give a federation with its own hub."""
    hub = replace(make(name), clock=clock)
    federation = new_identifier("f")
    with hub.database.write() as session:
        session.add(Federation(id=federation, name=name, hub_id=hub.node_id, joined_at=START))
    app = FastAPI()
    app.include_router(router)
    app.include_router(membership)
    handlers: dict[str, inbox.Handler] = {"sample": seen.take, "sample:withdraw": seen.withdraw}
    app.state.node, app.state.handlers = hub, handlers
    return World(federation, clock, hub, app, seen, handlers, make)


def found_second(net: Net, host: str = "territory") -> Net:
    """Give another federation with its own hub, reached over the same net."""
    world = found(net.world.make, "市总工会", net.world.clock, net.world.seen)
    net.apps[host] = world.app
    second = Net(world)
    second.apps, second.faults = net.apps, net.faults
    return second


def join(net: Net, college: Node, url: str) -> None:
    """Let a college join a further federation, as an enrolment would."""
    with college.database.write() as session:
        at = START + timedelta(minutes=len(list_federations(session)))
        session.add(Federation(id=net.world.federation, name="市总工会", hub_id=net.world.hub.node_id, joined_at=at))
    net.world.introduce(college, net.world.hub)
    net.world.introduce(net.world.hub, college)
    net.address(college, net.world.hub, url)
    publish_members_if_hub(net.world.hub)


def found_parents(make_node: Callable[..., Node], database: Database) -> Parents:
    """Give the college each kind of database, where all of it meets."""
    industry = Net(found(make_node, "教育工会", Turn(), Seen()))
    college = industry.college(database=database)
    territory = found_second(industry)
    join(territory, college, TERRITORY_URL)
    industry.listen(college, "college")
    return Parents(industry, territory, college, industry.apps["college"])


def held_of(node: Node, of: Node, federation: str) -> list[tuple[int, str]]:
    """Return (sequence, state) of what a node holds of an origin in one federation."""
    with node.database.read() as session:
        rows = session.exec(
            select(StoredRecord.sequence, StoredRecord.state)
            .where(StoredRecord.origin == of.node_id, StoredRecord.federation == federation)
            .order_by(col(StoredRecord.sequence))
        ).all()
    return list(rows)


def code_of(net: Net, op: str, request: bytes, *enclosed: bytes) -> str:
    """Post to the hub of a net; return the code of its refusal."""
    return str(net.world.post(op, join_page([request, *enclosed])).json().get("code", ""))


def get(app: FastAPI, path: str) -> httpx.Response:
    with httpx.Client(transport=AppTransport(app), base_url="http://college") as client:
        return client.get(path)


def post(app: FastAPI, op: str, body: bytes) -> httpx.Response:
    with httpx.Client(transport=AppTransport(app), base_url="http://college") as client:
        return client.post(f"/exchange/v1/{op}", content=body)


def first_record(node: Node, federation: str) -> StoredRecord:
    with node.database.read() as session:
        found = select(StoredRecord).where(StoredRecord.federation == federation).order_by(col(StoredRecord.position))
        return session.exec(found.limit(1)).one()


def first_id(node: Node, federation: str) -> str:
    return first_record(node, federation).id


def receipt_in(federation: str, signer: Node, record: StoredRecord) -> bytes:
    """Return a refusal by `signer` of another federation's record, as if it stood in its own."""
    payload = {
        "version": 1,
        "federation": federation,
        "issuer": signer.node_id,
        "record": {
            "id": record.id,
            "origin": record.origin,
            "stream": record.stream,
            "sequence": record.sequence,
        },
        "verdict": "quarantined",
        "code": "schema-invalid",
        "issued_at": "2026-10-10T08:00:00Z",
    }
    return sign(json.dumps(payload).encode(), RECEIPT_TYPE, signer.signer)


def snapshot(node: Node, federation: str) -> list[tuple[object, ...]]:
    """Return everything that a node holds in one federation, table by table, as it stands."""
    rows: list[tuple[object, ...]] = []
    with node.database.read() as session:
        for table in SQLModel.metadata.sorted_tables:
            if "federation" in table.columns:
                found = session.execute(table.select().where(table.c.federation == federation)).all()
                rows += [(table.name, *row) for row in sorted(found, key=repr)]
    return rows
