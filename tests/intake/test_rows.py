"""Rows that are wrong: all of them named at once, with place, masked value and mend."""

import io
from datetime import date

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric

from node.intake.dates import read_date
from node.intake.errors import Problem, mask
from node.intake.identity import read_id_number
from node.intake.reading import read_sheets
from node.intake.rows import Answers, Roster, read_roster

GOOD_ID = "11010519491231002X"


def read(text: str) -> Roster:
    return of_bytes(text.encode())


def of_bytes(data: bytes) -> Roster:
    sheets = read_sheets(data, max_bytes=10_000_000)
    return read_roster(sheets, "名册.csv", as_of=date(2026, 9, 30), answers=Answers())


def problems(roster: Roster) -> list[tuple[int, str]]:
    return [(error.row, error.code) for error in roster.errors]


def test_all_errors_are_told_at_once_with_place_masked_value_and_mend() -> None:
    roster = read(
        "工号,姓名,性别,出生日期,身份证号,人员状态\n"
        "1,张三,男,1985-02-30,,在职\n"
        "2,李四,男,1985.1,,在职\n"
        "3,王五,女,2031-01-01,,在职\n"
        f"4,赵六,女,,{GOOD_ID[:-1]}1,在职\n"
        "5,钱七,女,,1.10105E+17,在职\n"
        "合计,,,,,5\n"
        "6,孙八,女,1980-01-01,,飞升\n"
        "1,张三,男,1985-03-01,,在职\n"
        ",无号,男,1985-03-01,,在职\n"
        "7,周九,女,1990-01-01,,在职\n"
    )
    assert problems(roster) == [
        (2, "date-impossible"),
        (3, "date-ambiguous"),
        (4, "date-in-future"),
        (5, "id-number-check"),
        (6, "id-number-numeric"),
        (7, "total-row-in-middle"),
        (8, "status-unmapped"),
        (9, "person-twice"),
        (10, "key-missing"),
    ]
    assert len(roster) - len(roster.refused) == 1
    error = roster.errors[3]
    assert (error.file, error.column, error.value) == ("名册.csv", "身份证号", "1***1")
    assert all(error.zh and error.en for error in roster.errors)
    assert "110105" not in str([error.as_json() for error in roster.errors])


def test_an_id_number_stored_as_a_number_is_refused() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("人员")
        sheet.write_row(0, 0, ["工号", "身份证号"])
        sheet.write_row(1, 0, [12, 110105194912310021])
    roster = of_bytes(file.getvalue())
    assert problems(roster) == [(2, "id-number-numeric")]
    assert roster.errors[0].sheet == "人员"
    assert any("leading zeros" in note.en for note in roster.notes)


def test_lost_leading_zeros_inside_one_file_are_named() -> None:
    assert problems(read("工号,姓名\n0012,张三\n12,张三\n13,李四\n")) == [(3, "staff-no-zeros-lost")]


def test_repeated_headers_and_remarks_are_no_persons() -> None:
    roster = read(
        "工号,姓名,性别\nosu1,,\n单于1,单于飞,男\n工号,姓名,性别\n2,合计勇,女\n制表单位：人事处,,\n注：以上人员均在职,,\n"
    )
    assert roster.errors == []
    assert roster.data["staff_no"] == ["osu1", "单于1", "2"]


def test_two_persons_of_one_name_stay_two_persons() -> None:
    roster = read("工号,姓名\n1,张伟\n2,张伟\n")
    assert roster.errors == []
    assert len(roster) == 2
    assert any("share a name" in note.en for note in roster.notes)


def test_values_without_a_code_are_all_reported_and_count_as_unknown() -> None:
    roster = read("工号,职称,学历\n1,首席专家,神学院\n2,首席专家,博士研究生\n3,讲师（高校）,本科\n")
    assert [(item.field, item.value, item.rows) for item in roster.unmapped] == [
        ("title", "首席专家", 2),
        ("education", "神学院", 1),
    ]
    assert roster.refused == set()
    assert roster.data["title"] == ["_U", "_U", "013"]


def test_birth_date_and_gender_come_from_the_id_number_and_differences_are_warned_of() -> None:
    roster = read(f"工号,性别,出生日期,身份证号\n1,,,{GOOD_ID}\n2,男,1950-01-01,440524188001010014\n")
    assert roster.data["birth_date"][0] == date(1949, 12, 31)
    assert roster.data["gender"][0] == "2"
    assert {error.code for error in roster.errors} == {"birth-date-differs"}
    assert roster.refused == set()


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("1985.07", date(1985, 7, 1)),
        ("198507", date(1985, 7, 1)),
        ("1985-7-1", date(1985, 7, 1)),
        ("1985年7月", date(1985, 7, 1)),
        ("1985年7月1日", date(1985, 7, 1)),
        ("1985/07/01", date(1985, 7, 1)),
        ("19850701", date(1985, 7, 1)),
        ("１９８５．０７", date(1985, 7, 1)),
        ("31229", date(1985, 7, 1)),
        (31229, date(1985, 7, 1)),
        (31229.0, date(1985, 7, 1)),
        (1985.07, date(1985, 7, 1)),
        ("1985-10", date(1985, 10, 1)),
        ("1985.10", date(1985, 10, 1)),
        ("1985-07-01 00:00:00", date(1985, 7, 1)),
    ],
)
def test_date_shapes(cell: object, day: date) -> None:
    assert read_date(cell) == day


@pytest.mark.parametrize("cell", ["1985.1", 1985.1, "85.07", "1985", "七月", "1985-13", "1985-02-29", "0001-01-01"])
def test_dates_that_cannot_be_told_are_refused(cell: object) -> None:
    assert isinstance(read_date(cell), Problem)


@given(st.from_regex(r"(11|33|44|81|83)\d{4}19[5-9]\d(0[1-9]|1[0-2])(0[1-9]|1\d|2[0-8])\d{3}[\dX]", fullmatch=True))
def test_the_check_of_id_numbers_agrees_with_stdnum(number: str) -> None:
    if not number.isascii():
        return
    expected = ric.calc_check_digit(number) == number[-1]
    assert (read_id_number(number) == number) is expected


@given(st.text(min_size=0, max_size=30))
def test_a_mask_keeps_at_most_two_characters(value: str) -> None:
    assert len(mask(value)) <= 5
    assert len(mask(value).replace("***", "", 1)) <= 2
