"""The papers are filled from the real node, name no person, and leave to people what only people know."""

from collections.abc import Callable

import pytest
from sqlmodel import SQLModel, select

from federation.errors import NotPermitted
from node import papers
from node.access.permissions import VIEWER, Actor
from node.audit.models import AuditEntry
from node.context import Node
from node.members.held import BOOKKEEPING, HELD, count_held, count_persons
from node.members.models import PersonFact
from tests.releases.conftest import BEN, Office


def test_no_field_about_a_person_is_held_of_which_nobody_is_told() -> None:
    for model, fields in HELD.items():
        assert set(fields) == set(model.model_fields) - BOOKKEEPING, model.__name__
    people = {table for table, parts in SQLModel.metadata.tables.items() if "person_id" in parts.columns}
    assert people == {model.__tablename__ for model in HELD}


@pytest.mark.parametrize("kind", [papers.RECORD, papers.ASSESSMENT])
def test_a_paper_says_what_this_node_is_and_names_nobody(kind: str, small_office: Office) -> None:
    node = small_office.node
    small_office.approve(small_office.prepare())
    paper = papers.write_paper(node, BEN, kind)
    with node.database.read() as session:
        persons, held = count_persons(session), {one.held.name.zh: one.persons for one in count_held(session)}
        names = {row.name for row in session.exec(select(PersonFact)).all()}
        assert session.exec(select(AuditEntry.subject).where(AuditEntry.action == "paper.write")).one() == kind
    assert persons == len(names) > 50
    assert f"目前保存 {persons} 人的信息" in paper.text
    assert 0 < held["合同到期日"] < persons, "a blank is not held"
    assert f"| 性别 | 统计指标的分组 | {held['性别']} |" in paper.text
    assert "| 联合体全体成员 |" in paper.text
    assert "【请填写：" in paper.text
    assert (kind == papers.ASSESSMENT) == ("少于 5 人" in paper.text)
    assert not [name for name in names if name in paper.text]


def test_a_viewer_writes_none(make_node: Callable[..., Node]) -> None:
    with pytest.raises(NotPermitted):
        papers.write_paper(make_node(), Actor("a-v", "v", VIEWER), papers.RECORD)
