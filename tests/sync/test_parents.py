"""Two parents at once: a college in the federations of its industry line and of its territory."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from fastapi import FastAPI

from federation.errors import Conflict, InputRefused
from federation.keys import new_identifier
from node.context import Node
from node.db import Database
from node.exchange.api import router
from node.exchange.membership import publish_members_if_hub
from node.exchange.membership_api import router as membership
from node.stream.models import Federation
from node.stream.service import find_federation, get_named
from tests.exchange.conftest import START, World

from .conftest import Net

TERRITORY_URL = "http://territory"


@dataclass
class Parents:
    """One college, two hubs that know nothing of each other."""

    industry: Net
    territory: Net
    college: Node
    app: FastAPI  # of the college


def found_second(net: Net, host: str = "territory") -> Net:
    """Give another federation with its own hub, reached over the same net."""
    world = net.world
    hub = replace(world.make("市总工会"), clock=world.clock)
    app = FastAPI()
    app.include_router(router)
    app.include_router(membership)
    app.state.node, app.state.handlers = hub, world.handlers
    federation = new_identifier("f")
    with hub.database.write() as session:
        session.add(Federation(id=federation, name="市总工会", hub_id=hub.node_id, joined_at=START))
    second = Net(replace(world, federation=federation, hub=hub, app=app))
    net.apps[host] = app
    second.apps, second.faults = net.apps, net.faults
    return second


def join(net: Net, college: Node, url: str) -> None:
    """Let a college join a further federation, as an enrolment would."""
    with college.database.write() as session:
        session.add(Federation(id=net.world.federation, name="市总工会", hub_id=net.world.hub.node_id, joined_at=START))
    net.world.introduce(college, net.world.hub)
    net.world.introduce(net.world.hub, college)
    net.address(college, net.world.hub, url)
    publish_members_if_hub(net.world.hub)


@pytest.fixture
def parents(world: World, net: Net, make_node: Callable[..., Node], database: Database) -> Parents:
    """Give the college each kind of database; the hubs lie on either."""
    college = net.college()
    territory = found_second(net)
    join(territory, college, TERRITORY_URL)
    net.listen(college, "college")
    return Parents(net, territory, college, net.apps["college"])


def test_where_there_are_several_somebody_must_say_which(parents: Parents) -> None:
    college, industry = parents.college, parents.industry.world.federation
    with college.database.read() as session:
        with pytest.raises(Conflict) as refused:
            find_federation(session, college)
        assert refused.value.code == "federation-ambiguous"
        assert industry in refused.value.text.en, "the choices are named"
        found = find_federation(session, college.within(industry))
        assert found is not None
        assert found.id == industry
        assert find_federation(session, college.within("f-another")) is None
        assert get_named(session, "市总工会").id == parents.territory.world.federation
        with pytest.raises(InputRefused):
            get_named(session, "省总工会")
