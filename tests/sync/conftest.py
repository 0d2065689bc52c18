"""A federation whose nodes reach each other: over an in-process transport, or over real sockets where it matters."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from federation.client import Limits, PeerClient
from node.context import Node
from node.db import Database
from node.exchange.api import router
from node.exchange.links import Connect
from node.exchange.membership import publish_members_if_hub
from node.exchange.membership_api import router as membership
from node.exchange.sync import PeerResult, run_round
from node.stream.models import Peer
from node.stream.peers import take_member_list
from tests.exchange.conftest import World, sample_schema, world  # noqa: F401  fixtures
from tests.transport import AppTransport

HUB_URL = "http://hub"
QUICK = Limits(connect_seconds=0.5, total_seconds=1.5)  # for servers that misbehave
PATIENT = Limits(connect_seconds=5, total_seconds=60)  # for our own application, on however busy a machine


class Net:
    """Addresses of a small world: which application answers at which host; anything else is a real socket."""

    def __init__(self, world: World) -> None:  # noqa: F811
        self.world = world
        self.apps: dict[str, Any] = {"hub": world.app}
        self.faults: dict[str, Callable[[httpx.Request], httpx.Response | None]] = {}
        world.handlers["member-list"] = take_member_list

    def connect(self, _node: Node, url: str) -> PeerClient:
        host = httpx.URL(url).host
        if host not in self.apps:
            return PeerClient(url, limits=QUICK)
        return PeerClient(url, limits=PATIENT, transport=AppTransport(self.apps[host], self.faults.get(host)))

    def college(self, **settings: Any) -> Node:
        """Add a college that has joined: it calls the hub, and the hub knows it."""
        college = self.world.add_college(**settings)
        self.address(college, self.world.hub, HUB_URL)
        publish_members_if_hub(self.world.hub)
        return college

    def address(self, node: Node, peer: Node, url: str) -> None:
        with node.database.write() as session:
            row = session.get_one(Peer, (self.world.federation, peer.node_id))
            row.url = url
            session.add(row)

    def listen(self, node: Node, host: str) -> None:
        """Give a college a listener which the hub calls."""
        app = FastAPI()
        app.include_router(router)
        app.include_router(membership)
        app.state.node, app.state.handlers = node, self.world.handlers
        self.apps[host] = app
        self.address(self.world.hub, node, f"http://{host}")

    def run(self, node: Node, **options: Any) -> list[PeerResult]:
        connect: Connect = self.connect
        return run_round(node, self.world.handlers, **{"by_hand": True, "connect": connect, **options})

    def peer(self, node: Node, of: Node) -> Peer:
        with node.database.read() as session:
            return session.get_one(Peer, (self.world.federation, of.node_id))


@pytest.fixture
def net(world: World) -> Net:  # noqa: F811
    return Net(world)


@pytest.fixture
def parents(make_node: Callable[..., Node], database: Database) -> Any:
    """Give a college with two parents; it lies on each kind of database."""
    from tests.sync.parents import found_parents

    return found_parents(make_node, database)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on a real socket; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
