"""A province whose twelve colleges have released their year: a hub, a second body, real databases, real records."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import create_engine, text
from sqlmodel import select

from federation.keys import new_identifier, public_pem
from node.access.models import Account
from node.access.permissions import ADMIN, Actor
from node.access.service import digest_of
from node.context import Node, open_node
from node.exchange import inbox
from node.founding import found_node
from node.handlers import HANDLERS
from node.indicators.models import Figure
from node.stream.models import Federation, Peer, StoredRecord
from node.totals import service
from node.totals.board import load_board
from node.totals.turns import Turn
from tests.access.conftest import PASSWORD
from tests.cli.conftest import gonghui  # noqa: F401  a fixture
from tests.conftest import made_once
from tests.releases.conftest import ANN, BEN, Office, roster_text

ROOT = Actor("a-root", "root", ADMIN)
FAMILY, PERIOD = "staff", "2025U"
COLLEGES = 12
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def make(folder: Path, name: str, database: str = "") -> Node:
    """Found a node as `gonghui init` does, and open accounts in it; `database` is the URL of an empty one."""
    settings = {"node.name": name, **({"database.url": database} if database else {})}
    node = open_node(found_node(folder, settings, admin="admin").config)
    with node.database.write() as session:
        for actor in (ANN, BEN, ROOT):
            token = digest_of(actor.name)
            account = Account(id=actor.account_id, name=actor.name, role=actor.role, created_at=node.clock())
            account.token_digest, account.password_hash = token, QUICK.hash(PASSWORD)
            session.add(account)
    return node


@dataclass
class Province:
    """All nodes, who know each other as a member list would make them."""

    federation: str
    hub: Node
    second: Node
    colleges: list[Node]

    @property
    def nodes(self) -> list[Node]:
        return [self.hub, self.second, *self.colleges]

    def introduce(self) -> None:
        for node in self.nodes:
            with node.database.write() as session:
                session.add(
                    Federation(id=self.federation, name="省", hub_id=self.hub.node_id, joined_at=datetime.now(UTC))
                )
                for other in self.nodes:
                    key = other.signer.public_key
                    session.add(
                        Peer(
                            federation=self.federation,
                            id=other.node_id,
                            name=other.settings.node.name,
                            public_key=public_pem(key),
                            keyid=key.keyid,
                            is_hub=other is self.hub,
                            groups="aggregator" if other is self.second else "",
                            sealing_key=other.sealing_key,
                        )
                    )

    def spread(self, *, without: tuple[Node, ...] = ()) -> None:
        """Bring every origin's records to everybody, through the inbox; who is in `without` neither sends nor gets."""
        online = [node for node in self.nodes if node not in without]
        held = {}
        for node in online:
            with node.database.read() as session:
                held[node.node_id] = {row.id: row for row in session.exec(select(StoredRecord)).all()}
        for sender in online:
            own = [row for row in held[sender.node_id].values() if row.origin == sender.node_id and row.stream == "all"]
            for row in sorted(own, key=lambda item: item.sequence):
                for node in online:
                    if row.id not in held[node.node_id]:
                        with node.database.write() as session:
                            inbox.receive(session, node, row.envelope, HANDLERS, via="pull")

    def run(
        self, *, without: tuple[Node, ...] = (), liars: Mapping[str, type[Turn]] | None = None
    ) -> list[tuple[str, str]]:
        """Let everybody who is there say what is his turn, until nobody has anything to say; `liars` in their way."""
        said: list[tuple[str, str]] = []
        while True:
            self.spread(without=without)
            online = [node for node in self.nodes if node not in without]
            steps = [(node.node_id, step) for node in online for step in self.advance(node, liars or {})]
            if not steps:
                return said
            said += steps

    def advance(self, node: Node, liars: Mapping[str, type[Turn]]) -> list[str]:
        if node.node_id not in liars:
            return service.advance(node)
        with node.database.write() as session:
            board = load_board(session, node, FAMILY)
            turn = liars[node.node_id](session, node, board, PERIOD)
            return turn.aggregate() if node.node_id in board.aggregators else turn.contribute()

    def begin(self) -> int:
        return service.begin(self.hub, ROOT, FAMILY, PERIOD)

    def look(self, node: Node) -> service.Standing:
        with node.database.read() as session:
            return service.standing(session, node, FAMILY, PERIOD)

    def truth(self) -> dict[tuple[str, str], int]:
        """Return the sum of all colleges' own counts, read from their databases."""
        total: dict[tuple[str, str], int] = {}
        for college in self.colleges:
            with college.database.read() as session:
                figures = session.exec(select(Figure).where(Figure.status == "A")).all()
            for figure in figures:
                if figure.value.isdecimal():
                    name = figure.indicator, figure.dims
                    total[name] = total.get(name, 0) + int(figure.value)
        return total


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of twelve colleges that have released, contribute and are vouched for, to be copied."""
    return made_once(tmp_path_factory, "province", _release)


def _release(folder: Path) -> None:
    for node in make_released(folder).nodes:
        node.database.close()


def make_released(folder: Path, databases: Iterable[str] = ()) -> Province:
    """Found twelve colleges, let them release, contribute and be vouched for; the first nodes have these databases."""
    federation, urls = new_identifier("f"), iter(databases)
    hub = make(folder / "hub", "省", next(urls, ""))
    second = make(folder / "second", "教育工会", next(urls, ""))
    colleges = [make(folder / f"c{n}", f"学院{n}", next(urls, "")) for n in range(COLLEGES)]
    province = Province(federation, hub, second, colleges)
    province.introduce()
    for number, college in enumerate(colleges):
        office = Office(college, federation)
        office.load(roster_text(24 + 4 * number, seed=number))
        office.approve(office.prepare(PERIOD))
        service.consent(college, BEN, FAMILY, on=True)
    service.vouch(second, ROOT, FAMILY, [college.node_id for college in colleges])
    province.spread()
    return province


@pytest.fixture
def province_on_server(postgres_url: str, tmp_path: Path) -> Iterator[Province]:
    """Give such a province whose aggregators and first college keep their rows on PostgreSQL."""
    names = [f"t{os.urandom(6).hex()}" for _ in range(3)]
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    found = make_released(tmp_path, [postgres_url.replace("/postgres?", f"/{name}?") for name in names])
    yield found
    for node in found.nodes:
        node.database.close()
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def province(released: Path, tmp_path: Path) -> Iterator[Province]:
    """Give a copy of the province."""
    shutil.copytree(released, tmp_path / "province")
    names = ("hub", "second", *(f"c{number}" for number in range(COLLEGES)))
    hub, second, *colleges = (open_node(tmp_path / "province" / name / "config.toml") for name in names)
    with hub.database.read() as session:
        federation = session.exec(select(Federation.id)).one()
    found = Province(federation, hub, second, colleges)
    yield found
    for node in found.nodes:
        node.database.close()
