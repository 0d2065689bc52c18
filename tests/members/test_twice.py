"""One person in two rows of a file, told apart by different keys, is still one person; blank columns tell nothing."""

from collections.abc import Callable
from datetime import date

from node.access.permissions import OFFICER, Actor
from node.context import Node
from node.db import last_number
from node.intake.models import DataChange
from node.members import roster
from node.members.roster import Preview

ANN = Actor("a1", "Ann", OFFICER)


def look(node: Node, text: str, day: date = date(2026, 9, 30)) -> Preview:
    import_id = roster.stage(node, ANN, file_name="r.csv", data=text.encode(), as_of=day, complete=True)
    return roster.preview(node, ANN, import_id)


def test_two_rows_of_one_person_by_different_keys_count_once(make_node: Callable[..., Node]) -> None:
    node = make_node()
    head = "工号,会员号,姓名,性别\n"
    roster.confirm(node, ANN, look(node, head + "0001,M1,某一,男\n0002,M2,某二,女\n", date(2026, 9, 1)))
    shown = look(node, head + "0001,,某一,男\n0002,M2,某二,女\n,M1,某一,男\n")
    assert [error.code for error in shown.errors] == ["person-twice"]
    assert (shown.counts["new"], shown.counts["refused"]) == (0, 1)


def test_a_number_of_zeros_matches_nobody(make_node: Callable[..., Node]) -> None:
    node = make_node()
    head = "工号,会员号,姓名,性别\n"
    roster.confirm(node, ANN, look(node, head + "0000,M1,某一,男\n0002,M2,某二,女\n", date(2026, 9, 1)))
    shown = look(node, head + "0000,M1,某一,男\n0002,M2,某二,女\n,M3,某三,女\n")
    assert (shown.counts["new"], shown.counts["refused"]) == (1, 0)


def test_an_empty_membership_column_tells_nothing_and_a_partly_blank_one_is_named(
    make_node: Callable[..., Node],
) -> None:
    node = make_node()
    shown = look(node, "工号,姓名,是否会员\n0001,某一,\n0002,某二,\n", date(2026, 9, 1))
    roster.confirm(node, ANN, shown)
    with node.database.read() as session:
        fields = session.get_one(DataChange, last_number(session, "data")).fields.split(",")
    assert "membership" not in fields
    partly = look(node, "工号,姓名,是否会员\n0001,某一,是\n0002,某二,\n")
    assert any("1 行没有说明是否会员" in note.zh for note in partly.notes)
