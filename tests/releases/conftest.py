"""A college that has imported a roster and joined a federation, and three people who work there."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pytest

from federation.keys import new_identifier
from node.access.models import Account
from node.access.permissions import ANALYST, APPROVER, OFFICER, Actor
from node.context import Node
from node.db import Database
from node.handlers import HANDLERS
from node.indicators import release as service
from node.indicators.models import Release
from node.indicators.preview import Preview, preview
from node.members import roster
from node.stream.models import Federation, StoredRecord

HEADER = "工号,姓名,性别,出生日期,专业技术职务,学历,教职工类别,用人方式,人员状态,是否会员,入会时间,合同到期日"
ANN = Actor("a-ann", "ann", OFFICER)
BEN = Actor("a-ben", "ben", APPROVER)
EVE = Actor("a-eve", "eve", ANALYST)


def roster_text(persons: int, seed: int = 1, *, left_out: int = 0) -> str:
    """Return a roster of `persons`, of which the first `left_out` are gone."""
    dice = random.Random(seed)  # noqa: S311  a test's dice
    lines = [HEADER]
    for number in range(persons):
        row = [
            f"{number:04d}",
            f"某{number}",
            dice.choices(["男", "女", ""], [10, 9, 1])[0],
            f"{dice.randint(1962, 2000)}-0{dice.randint(1, 9)}-11",
            dice.choices(["教授", "副教授", "讲师", "助教", "无", ""], [2, 5, 9, 4, 2, 1])[0],
            dice.choices(["博士", "硕士", "本科", "专科"], [3, 8, 8, 1])[0],
            dice.choices(["专任教师", "行政", "教辅", "工勤"], [12, 4, 2, 1])[0],
            dice.choices(["在编", "人事代理", "合同", "劳务派遣"], [12, 4, 3, 1])[0],
            dice.choices(["在职", "退休"], [30, 1])[0],
            dice.choices(["是", "否"], [9, 1])[0],
        ]
        since = f"{dice.randint(1999, 2025)}-03-01" if row[-1] == "是" else ""
        signed = "" if row[7] == "在编" else dice.choices(["2030-08-31", "2020-01-01", ""], [6, 1, 1])[0]
        if number >= left_out:
            lines.append(",".join([*row, since, signed]))
    return "\n".join(lines)


@dataclass
class Office:
    """One college's union office."""

    node: Node
    federation: str

    def load(self, text: str, as_of: date = date(2024, 9, 30), *, complete: bool = True, leavers: bool = True) -> None:
        """Import a roster; whoever is absent has left, unless `leavers` is False."""
        import_id = roster.stage(
            self.node, ANN, file_name="r.csv", data=text.encode(), as_of=as_of, complete=complete, source="r"
        )
        shown = roster.preview(self.node, ANN, import_id)
        left = {leaver.person_id: "QUIT" for leaver in shown.leavers} if leavers else {}
        roster.confirm(self.node, ANN, shown, leavers=left)

    def prepare(self, period: str = "2025U", **options: object) -> Release:
        return service.prepare(self.node, ANN, period, **options)  # type: ignore[arg-type]

    def look(self, release: Release, actor: Actor = BEN) -> Preview:
        with self.node.database.read() as session:
            return preview(session, self.node, actor, release.id)

    def approve(self, release: Release, actor: Actor = BEN) -> list[StoredRecord]:
        digests = [flow.digest for flow in self.look(release).flows]
        return service.approve(self.node, actor, release.id, digests, take=HANDLERS["release"])


def open_office(node: Node) -> Office:
    """Let the node join a federation and open its accounts."""
    federation = new_identifier("f")
    with node.database.write() as session:
        session.add(Federation(id=federation, name="省", hub_id=new_identifier("n"), joined_at=node.clock()))
        for actor in (ANN, BEN, EVE):
            session.add(Account(id=actor.account_id, name=actor.name, role=actor.role, created_at=node.clock()))
    return Office(node, federation)


@pytest.fixture
def office(make_node: Callable[..., Node], database: Database) -> Office:
    """Give an office with a roster of 400, on each kind of database."""
    opened = open_office(make_node(database=database))
    opened.load(roster_text(400))
    return opened


@pytest.fixture
def small_office(make_node: Callable[..., Node]) -> Office:
    """Give an office with a roster of 60."""
    opened = open_office(make_node())
    opened.load(roster_text(60, seed=4))
    return opened
