"""A roster from stage to undo, on SQLite and PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlmodel import select

from federation.errors import Conflict, InputRefused, NotPermitted
from node.access.permissions import ADMIN, OFFICER, Actor
from node.audit.models import AuditEntry
from node.context import Node
from node.db import Database
from node.intake.models import DataChange, SourceMapping
from node.intake.rows import Answers
from node.members import roster
from node.members.known import load_known
from node.members.models import MemberSpell, PersonFact, PersonLink, StaffSpell

ANN = Actor("a1", "Ann", OFFICER)
HEADER = "工号,姓名,性别,出生日期,职称,入会时间\n"
FIRST = (
    HEADER + "001,张三,男,1980-01-02,教授(三级),2010-05-01\n"
    "002,李四,女,1985.07,讲师,\n003,王五,女,1990-03-04,助教,2015-09-01\n"
)


@pytest.fixture
def node(make_node: Callable[..., Node], database: Database) -> Node:
    return make_node(database=database)


def take(
    node: Node, text: str, as_of: str = "2025-09-30", *, complete: bool = True, **rest: object
) -> roster.Confirmed:
    shown = look(node, text, as_of, complete=complete)
    return roster.confirm(node, ANN, shown, **rest)  # type: ignore[arg-type]


def look(node: Node, text: str, as_of: str = "2025-09-30", *, complete: bool = True) -> roster.Preview:
    import_id = roster.stage(
        node,
        ANN,
        file_name="名册_2025.csv",
        data=text.encode("gb18030"),
        as_of=date.fromisoformat(as_of),
        complete=complete,
    )
    return roster.preview(node, ANN, import_id)


def picture(node: Node, known_at: int) -> set[tuple[object, ...]]:
    """Return everything that was believed at `known_at`, without the numbers that name rows."""
    found: set[tuple[object, ...]] = set()
    with node.database.read() as session:
        for model in (PersonLink, PersonFact, StaffSpell, MemberSpell):
            for row in session.exec(select(model)).all():
                if row.learnt <= known_at and (row.unlearnt is None or row.unlearnt > known_at):
                    values = row.model_dump(exclude={"id", "learnt", "unlearnt"})
                    found.add((model.__name__, *values.values()))
    return found


def test_a_first_roster_makes_persons_spells_members_change_and_audit(node: Node) -> None:
    done = take(node, FIRST)
    assert (done.number, done.counts["new"], done.counts["refused"]) == (1, 3, 0)
    with node.database.read() as session:
        assert {(s.title, s.title_level, s.status) for s in session.exec(select(StaffSpell))} == {
            ("011", "SENIOR", "11"),
            ("013", "MID", "11"),
            ("014", "JUN", "11"),
        }
        assert {s.valid_from for s in session.exec(select(MemberSpell))} == {date(2010, 5, 1), date(2015, 9, 1)}
        change = session.exec(select(DataChange)).one()
        assert {"gender", "membership", "staff", "title"} <= set(change.fields.split(","))
        assert [entry.action for entry in session.exec(select(AuditEntry))] == ["data.import"]
    assert not list((node.folder / "staging").iterdir())


def test_the_same_file_twice_changes_nothing(node: Node) -> None:
    take(node, FIRST)
    before = picture(node, 9)
    again = take(node, FIRST)
    assert again.number is None
    assert again.counts["unchanged"] == 3
    assert picture(node, 9) == before


def test_a_differing_value_opens_a_new_spell_and_a_birth_date_corrects_the_old(node: Node) -> None:
    take(node, FIRST)
    take(node, FIRST.replace("讲师", "副教授").replace("1985.07", "1985.08"), "2026-03-01")
    with node.database.read() as session:
        known = load_known(session)
    person = known.links["staff_no"]
    spells = next(spells for spells in known.staff.values() if len(spells) == 2)
    assert [(s.start, s.end, s.values[1]) for s in spells] == [
        (date(2025, 9, 30), date(2026, 3, 1), "013"),
        (date(2026, 3, 1), None, "012"),
    ]
    assert len(person) == 3
    assert {values[3] for _, values in known.facts.values()} == {date(1980, 1, 2), date(1985, 8, 1), date(1990, 3, 4)}


def test_absent_persons_are_proposed_and_leave_only_when_confirmed(node: Node) -> None:
    take(node, FIRST)
    without = "\n".join(FIRST.splitlines()[:-1])
    kept = take(node, without, "2026-01-31")
    assert kept.counts["absent"] == 1
    shown = look(node, without, "2026-02-28")
    assert [leaver.name for leaver in shown.leavers] == ["王五"]
    roster.confirm(node, ANN, shown, leavers={shown.leavers[0].person_id: "RETIRE"})
    with node.database.read() as session:
        known = load_known(session)
    ended = [spell for spells in known.members.values() for spell in spells if spell.end]
    assert [(spell.end, spell.values) for spell in ended] == [(date(2026, 2, 28), ("RETIRE",))]
    assert look(node, without, "2026-03-31").counts["absent"] == 0


def test_an_import_is_undone_whole_and_the_past_stays_reproducible(node: Node) -> None:
    first = take(node, FIRST)
    second = take(node, FIRST.replace("教授(三级)", "副教授").replace("003,王五", "004,赵六"), "2026-03-01")
    pictures = {number: picture(node, number) for number in (0, 1, 2)}
    with pytest.raises(Conflict) as caught:
        roster.undo(node, ANN, first.import_id)
    assert caught.value.code == "later-change-stands"
    assert roster.undo(node, ANN, second.import_id) == 3
    assert picture(node, 3) == pictures[1]
    assert roster.undo(node, ANN, first.import_id) == 4
    assert picture(node, 4) == set()
    assert {number: picture(node, number) for number in (0, 1, 2)} == pictures
    assert picture(node, 3) == pictures[1]
    assert take(node, FIRST).counts["new"] == 3


def test_two_officers_importing_at_once_meet_a_conflict(node: Node) -> None:
    mine, yours = look(node, FIRST), look(node, FIRST)
    roster.confirm(node, ANN, mine)
    before = picture(node, 9)
    with pytest.raises(Conflict) as caught:
        roster.confirm(node, ANN, yours)
    assert caught.value.code == "data-changed-meanwhile"
    assert picture(node, 9) == before


def test_of_many_confirmations_in_one_moment_exactly_one_is_written(node: Node) -> None:
    shown = [look(node, FIRST) for _ in range(4)]

    def attempt(preview: roster.Preview) -> str:
        try:
            return f"written as {roster.confirm(node, ANN, preview).number}"
        except Conflict as conflict:
            return conflict.code

    with ThreadPoolExecutor(4) as pool:
        results = sorted(pool.map(attempt, shown))
    assert results == ["data-changed-meanwhile"] * 3 + ["written as 1"]
    with node.database.read() as session:
        assert len(session.exec(select(PersonFact)).all()) == 3


def test_unknown_columns_are_asked_for_and_the_mapping_is_kept(node: Node) -> None:
    text = "工号,姓名,荣誉\n1,张三,劳模\n"
    shown = look(node, text)
    with pytest.raises(InputRefused) as caught:
        roster.confirm(node, ANN, shown)
    assert caught.value.code == "columns-unknown"
    roster.answer(node, ANN, shown.import_id, Answers(columns={"荣誉": "drop"}))
    roster.confirm(node, ANN, roster.preview(node, ANN, shown.import_id))
    with node.database.read() as session:
        assert session.exec(select(SourceMapping)).one().source == "名册"
    assert look(node, text, "2026-01-01").unknown == ()


def test_id_numbers_are_kept_as_keyed_digests_only(node: Node) -> None:
    number = "11010519491231002X"
    take(node, f"姓名,身份证号,工号\n张三,{number},7\n")
    with node.database.read() as session:
        links = session.exec(select(PersonLink)).all()
        fact = session.exec(select(PersonFact)).one()
    assert {link.kind for link in links} == {"id_number", "staff_no"}
    assert (fact.birth_date, fact.gender) == (date(1949, 12, 31), "2")
    assert all(number[:17] not in str(link.model_dump()) for link in links)


def test_the_node_administrator_may_not_import(node: Node) -> None:
    with pytest.raises(NotPermitted):
        roster.stage(
            node,
            Actor("x", "root", ADMIN),
            file_name="a.csv",
            data=b"x",
            as_of=date(2025, 1, 1),
            complete=True,
        )


def test_lost_leading_zeros_need_a_confirmation(node: Node) -> None:
    take(node, FIRST)
    bare = FIRST.replace("001,", "1,").replace("002,", "2,").replace("003,", "3,")
    shown = look(node, bare, "2026-01-01")
    assert {error.code for error in shown.errors} == {"staff-no-zeros-lost"}
    assert shown.counts["refused"] == 3
    roster.answer(node, ANN, shown.import_id, Answers(match_zeros=True))
    again = roster.preview(node, ANN, shown.import_id)
    assert (again.counts["unchanged"], again.counts["refused"], again.counts["absent"]) == (3, 0, 0)


def test_a_file_staged_long_ago_is_forgotten_with_the_next(node: Node) -> None:
    first = look(node, FIRST)
    later = replace(node, clock=lambda: node.clock() + timedelta(days=8))
    second = look(later, FIRST)
    assert [path.name for path in (node.folder / "staging").iterdir()] == [second.import_id]
    assert roster.get_import(node, ANN, first.import_id).state == "discarded"
    roster.discard(node, ANN, second.import_id)
    with pytest.raises(Conflict):
        roster.confirm(node, ANN, second)
