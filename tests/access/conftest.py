"""One node on each kind of database, its clock in the test's hand, with an administrator."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from node.access import accounts, passwords
from node.access.models import Account
from node.access.permissions import ADMIN, Actor
from node.access.setup import SETUP_PATH
from node.context import Node
from node.db import Database

PASSWORD = "correct-horse-battery"


@dataclass
class Turn:
    """A clock that stands until it is turned."""

    at: datetime = field(default_factory=lambda: datetime(2026, 10, 10, 8, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def on(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def node(make_node: Callable[..., Node], database: Database, turn: Turn, monkeypatch: pytest.MonkeyPatch) -> Node:
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # the strength of the real one has its own test
    monkeypatch.setattr(passwords, "_HASHER", quick)
    passwords._nobodys_hash.cache_clear()
    return replace(make_node(database=database), clock=turn)


@pytest.fixture
def admin(node: Node) -> Actor:
    with node.database.write() as session:
        session.add(Account(id="a-admin", name="admin", role=ADMIN, created_at=node.clock()))
    return Actor("a-admin", "admin", ADMIN)


def add_person(node: Node, admin: Actor, name: str, role: str) -> str:
    """Add an account with PASSWORD; return its id."""
    account, link = accounts.add_account(node, admin, name, role)
    passwords.redeem_setup_link(node, link.removeprefix(SETUP_PATH), PASSWORD)
    return account.id
