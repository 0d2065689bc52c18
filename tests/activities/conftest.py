"""A hub and colleges, with the product's own handlers, on each kind of database."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlmodel import Session

from federation.keys import new_identifier
from node.access.models import Account
from node.access.permissions import Actor
from node.context import Node
from node.db import Database
from node.handlers import HANDLERS
from node.stream.models import Federation
from tests.exchange.conftest import START, Seen, Turn, World


@pytest.fixture
def world(make_node: Callable[..., Node], database: Database) -> World:
    clock = Turn()
    hub = replace(make_node("汇总节点", database=database), clock=clock)
    federation = new_identifier("f")
    with hub.database.write() as session:
        session.add(Federation(id=federation, name="联合体", hub_id=hub.node_id, joined_at=START))
    return World(federation, clock, hub, FastAPI(), Seen(), dict(HANDLERS), make_node)


def actor(node: Node, role: str) -> Actor:
    """Return an account of that role, made where it is missing."""
    name = f"a-{role}"
    with node.database.write() as session:
        _keep(session, Account(id=name, name=role, role=role, created_at=START))
    return Actor(name, role, role)


def _keep(session: Session, account: Account) -> None:
    if session.get(Account, account.id) is None:
        session.add(account)
