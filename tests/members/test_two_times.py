"""Valid and recorded time over random histories of imports and undos: what was believed at k never changes."""

import random
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlmodel import select

from node.access.permissions import OFFICER, Actor
from node.context import Node
from node.db import Database
from node.members import roster
from node.members.models import MemberSpell, PersonFact, PersonLink, StaffSpell

ANN = Actor("a1", "Ann", OFFICER)
START = date(2024, 1, 1)


def file_of(dice: random.Random) -> str:
    lines = ["工号,姓名,性别,出生日期,职称,人员状态,是否会员,入会时间"]
    for number in dice.sample(range(12), dice.randint(3, 12)):
        member = dice.choice("是否是")
        since = dice.choice(["", "2020-01-01", "2023-05-01"]) if member == "是" else ""
        lines.append(
            f"{number:03d},某{number},{dice.choice('男女')},198{number % 10}-0{dice.randint(1, 3)}-01,"
            f"{dice.choice(['教授', '讲师', '', '无'])},{dice.choice(['在职', '在职', '退休'])},{member},{since}"
        )
    return "\n".join(lines)


def believed(rows: dict[type, list[Any]], known_at: int) -> dict[type, list[Any]]:
    return {
        model: [row for row in found if row.learnt <= known_at and (row.unlearnt is None or row.unlearnt > known_at)]
        for model, found in rows.items()
    }


def load(node: Node) -> dict[type, list[Any]]:
    with node.database.read() as session:
        return {
            model: list(session.exec(select(model)).all())
            for model in (PersonLink, PersonFact, StaffSpell, MemberSpell)
        }


def frozen(rows: dict[type, list[Any]]) -> set[tuple[Any, ...]]:
    return {
        (model.__name__, *row.model_dump(exclude={"id", "learnt", "unlearnt"}).values())
        for model, found in rows.items()
        for row in found
    }


def check_sound(rows: dict[type, list[Any]]) -> None:
    """One fact a person; spells of a person neither empty nor overlapping."""
    people = [fact.person_id for fact in rows[PersonFact]]
    assert len(people) == len(set(people))
    digests = [(link.kind, link.digest) for link in rows[PersonLink]]
    assert len(digests) == len(set(digests))
    for model in (StaffSpell, MemberSpell):
        by_person: dict[str, list[Any]] = {}
        for spell in sorted(rows[model], key=lambda spell: spell.valid_from):
            assert spell.valid_to is None or spell.valid_from < spell.valid_to
            by_person.setdefault(spell.person_id, []).append(spell)
        for spells in by_person.values():
            assert all(one.valid_to is not None and one.valid_to <= two.valid_from for one, two in pairwise(spells))


@pytest.mark.parametrize("seed", range(5))
def test_the_same_known_at_always_shows_the_same(make_node: Callable[..., Node], database: Database, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  a test's dice
    node = make_node(database=database)
    pictures: dict[int, set[tuple[Any, ...]]] = {0: set()}
    standing: list[tuple[str, int]] = []
    for _ in range(14):
        if standing and dice.random() < 0.3:
            import_id, before = standing.pop()
            number = roster.undo(node, ANN, import_id)
            pictures[number] = frozen(believed(load(node), number))
            assert pictures[number] == pictures[before]
            continue
        before = max(pictures)
        import_id = roster.stage(
            node,
            ANN,
            file_name="a.csv",
            data=file_of(dice).encode(),
            as_of=START + timedelta(days=dice.randrange(600)),
            complete=dice.random() < 0.7,
        )
        shown = roster.preview(node, ANN, import_id)
        left = {leaver.person_id: "RETIRE" for leaver in shown.leavers if dice.random() < 0.5}
        done = roster.confirm(node, ANN, shown, leavers=left)
        if done.number is None:
            continue
        standing.append((import_id, before))
        now = believed(load(node), done.number)
        check_sound(now)
        pictures[done.number] = frozen(now)
    rows = load(node)
    assert {number: frozen(believed(rows, number)) for number in pictures} == pictures
