"""Real files of every kind, built here, read to the same roster."""

import io
from collections.abc import Callable
from datetime import date

import openpyxl
import pytest
import xlsxwriter
import xlwt

from federation.errors import InputRefused
from node.intake.headers import find_header, recognise
from node.intake.reading import Sheet, read_sheets
from node.intake.rows import Answers, Roster, read_roster

LIMIT = 50_000_000
ROWS = [
    ["某某学院教职工花名册", "", "", "", ""],
    ["单位：人事处", "", "", "", "2026年9月"],
    ["工号", "姓 名", "性\n别", "出生年月", "职称"],
    ["0012", "张　三", "男", "1985.07", "教授（三级）"],
    ["0013", "买买提．艾力", "女", "1990年3月", "副教授七级"],
    ["0014", "李\u200b四\u00a0", "女性", "198811", "—"],
    ["合计", "", "", "", "3"],
    ["填表人：王某", "", "审核人：", "", ""],
]


def as_csv(rows: list[list[str]], encoding: str, delimiter: str = ",") -> bytes:
    lines = [delimiter.join(f'"{cell}"' if "\n" in cell else cell for cell in row) for row in rows]
    return ("\r\n".join(lines) + "\r\n").encode(encoding)


def as_xls(rows: list[list[str]]) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("名册")
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            sheet.write(r, c, cell)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def as_xlsx(rows: list[list[str]]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        hidden = book.add_worksheet("旧数据")
        hidden.write_row(0, 0, ["工号", "姓名"])
        hidden.write_row(1, 0, ["9999", "别人"])
        sheet = book.add_worksheet("名册")
        sheet.activate()
        hidden.hide()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return file.getvalue()


def as_html(rows: list[list[str]]) -> bytes:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<html><head><meta charset=gb2312></head><body><table>{body}</table></body></html>".encode("gb18030")


KINDS: dict[str, Callable[[], bytes]] = {
    "csv-utf8": lambda: as_csv(ROWS, "utf-8"),
    "csv-bom": lambda: as_csv(ROWS, "utf-8-sig"),
    "csv-gb18030": lambda: as_csv(ROWS, "gb18030"),
    "tsv-utf16": lambda: as_csv(ROWS, "utf-16", "\t"),
    "txt-tab": lambda: as_csv(ROWS, "gb18030", "\t"),
    "xls": lambda: as_xls(ROWS),
    "xlsx": lambda: as_xlsx(ROWS),
    "xls-html": lambda: as_html(ROWS),
}


def read(data: bytes, **answers: object) -> Roster:
    given = Answers(**answers)  # type: ignore[arg-type]
    return read_roster(read_sheets(data, max_bytes=LIMIT), "a.csv", as_of=date(2026, 9, 30), answers=given)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_roster(kind: str) -> None:
    roster = read(KINDS[kind]())
    assert roster.errors == []
    assert roster.data["staff_no"] == ["0012", "0013", "0014"]
    assert roster.data["name"] == ["张三", "买买提·艾力", "李四"]
    assert roster.data["gender"] == ["1", "2", "2"]
    assert roster.data["birth_date"] == [date(1985, 7, 1), date(1990, 3, 1), date(1988, 11, 1)]
    assert roster.data["title"] == ["011", "012", "_U"]
    assert roster.data["title_level"] == ["SENIOR", "ASSOC", "_U"]
    assert roster.places[0][1] == 4
    assert any("2" in note.en and "footer" in note.en for note in roster.notes)


def test_rare_characters_of_names_survive_gb18030() -> None:
    assert read("工号,姓名\n1,王䶮\n2,李𬍛\n3,赵㛃\n4,𠮷田\n".encode("gb18030")).data["name"] == [
        "王䶮",
        "李𬍛",
        "赵㛃",
        "𠮷田",
    ]


def test_a_two_row_header_with_merged_cells_is_joined() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["花名册"])
    sheet.append(["工号", "基本信息", "", "职称", ""])
    sheet.append(["", "姓名", "性别", "名称", "级别"])
    sheet.append(["A1", "张三", "男", "教授", "正高"])
    for area in ("A1:E1", "A2:A3", "B2:C2", "D2:E2"):
        sheet.merge_cells(area)
    file = io.BytesIO()
    book.save(file)
    roster = read(file.getvalue())
    assert {column.header: column.field for column in roster.columns} == {
        "工号": "staff_no",
        "姓名": "name",
        "性别": "gender",
        "职称名称": "title",
        "职称级别": "title_level",
    }
    assert len(roster) == 1


def test_one_sheet_a_department_with_columns_in_another_order() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        book.add_worksheet("说明").write(0, 0, "请勿修改")
        for name, rows in (("一系", [["工号", "姓名"], ["1", "张三"]]), ("二系", [["姓名", "工号"], ["李四", "2"]])):
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    roster = read(file.getvalue())
    assert roster.data["staff_no"] == ["1", "2"]
    assert roster.places == [("一系", 2), ("二系", 2)]
    assert any("说明" in note.zh for note in roster.notes)


def test_dates_of_a_workbook_counted_from_1904_are_right() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"date_1904": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["工号", "出生日期"])
        sheet.write(1, 0, "1")
        sheet.write_datetime(1, 1, date(1985, 7, 1), book.add_format({"num_format": "yyyy-mm-dd"}))
    assert read(file.getvalue()).data["birth_date"] == [date(1985, 7, 1)]


SETS = {
    "会员号 姓名 职工类型 月工资 半年会费": "member_no name staff_category drop drop",
    "卡号 姓名 身份证号 手机号 性别 入会时间": "member_no name id_number drop gender member_since",
    "教职工姓名 教职工编号 员工状态 "
    "部门 岗位 岗位类型 身份证号 手机号码 性别 年龄 最高学历 学位 教师职称级别": "name staff_no "
    "status department drop staff_category id_number drop gender drop education drop title_level",
    "教职工号 姓名 性别 工作单位 岗位 编制单位 编制类型 编制状态 证件号码": "staff_no name gender department drop drop "
    "staff_category employ_form id_number",
    "JZGH DWH XM XBM CSRQ BZLBM JZGLBM DQZTM": "staff_no department name gender birth_date staff_category "
    "staff_category status",
    "ZGH XBDM SZDWDM YRFSDM DQZTDM ZGXLDM ZYJSZWDM": "staff_no gender department employ_form status education title",
}


@pytest.mark.parametrize("headers", SETS)
def test_header_sets_seen_in_real_systems_are_recognised(headers: str) -> None:
    names = headers.split()
    assert [recognise(name)[0] for name in names] == SETS[headers].split()
    header = find_header(Sheet("", [["标题"], names, ["1"] * len(names)]))
    assert header is not None
    assert header.body == 2
    roster = read((",".join(names) + "\n" + ",".join(f"{i}A" for i in range(len(names)))).encode())
    assert len(roster) == 1


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"  \r\n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(InputRefused) as caught:
        read(data)
    assert caught.value.code == "file-empty"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("工号,姓名\n".encode(), "rows-missing"),
        ("甲,乙\n1,2\n".encode(), "header-not-found"),
        ("姓名,性别\n张三,男\n".encode(), "key-column-missing"),
        (b"\xff\xff\x81\x81,\x80\xff\n", "encoding-unknown"),
        ("工号,姓名\n1,张三\n".encode("utf-16-le"), "encoding-unknown"),
        ("工号,教职工编号,姓名\n1,2,张三\n".encode(), "columns-claim-one-field"),
        ("工号,性别\n1,0\n2,1\n".encode(), "gender-bare-digits"),
        ("工号,性别\n1,1\n2,1\n".encode(), "gender-bare-digits"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "workbook-unreadable"),
        (b"PK\x03\x04 not a zip", "workbook-unreadable"),
    ],
)
def test_a_file_that_cannot_be_a_roster_is_refused_whole(data: bytes, code: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read(data)
    assert caught.value.code == code
    assert caught.value.text.zh
    assert caught.value.text.en


def test_200_megabytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(InputRefused) as caught:
        read_sheets(bytes(200_000_000), max_bytes=LIMIT)
    assert caught.value.code == "file-too-large"


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(30_000_000))
    with pytest.raises(InputRefused) as caught:
        read_sheets(file.getvalue(), max_bytes=1_000_000)
    assert caught.value.code == "file-too-large"


def test_gender_digits_with_a_mapping_or_a_2_beside_them_are_taken() -> None:
    data = "工号,性别\n1,0\n2,1\n".encode()
    assert read(data, values={"gender": {"0": "2", "1": "1"}}).data["gender"] == ["2", "1"]
    assert read("工号,性别\n1,1\n2,2\n3,9\n4,0\n5,\n".encode()).data["gender"] == ["1", "2", "9", "_U", "_U"]


def test_unknown_columns_are_refused_when_told_so() -> None:
    with pytest.raises(InputRefused) as caught:
        read("工号,荣誉\n1,劳模\n".encode(), unknown_columns="refuse")
    assert caught.value.params["columns"] == ["荣誉"]
