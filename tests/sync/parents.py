"""Further federations beside a small world: each with its own hub, all reached over one net."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from fastapi import FastAPI

from federation.keys import new_identifier
from node.context import Node
from node.exchange import inbox
from node.exchange.api import router
from node.exchange.membership import publish_members_if_hub
from node.exchange.membership_api import router as membership
from node.stream.models import Federation
from node.stream.service import list_federations
from tests.exchange.conftest import START, Seen, Turn, World
from tests.sync.conftest import Net

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
