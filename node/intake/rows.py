"""A file to a roster: columns of codes, days and keys by row, with every error of every row at once.

Knows nothing of who is known already; that is `node.members`. A refused row is named with its place and mend, and is
never half taken.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import zip_longest
from typing import Any

from federation.errors import InputRefused, Text
from node.intake.cleaning import fold, is_blank, plain
from node.intake.errors import Problem, RowError, mask
from node.intake.headers import KEYS, MEMBERSHIP, Column, check_required, find_header, map_columns
from node.intake.identity import birth_date_in, gender_in
from node.intake.reading import Cell, Sheet
from node.intake.values import UNKNOWN, convert, split_titles

_TAKEN = frozenset(("alias", "saved", "answer"))
_STAFF_FIELDS = frozenset(("staff_no", "status", "staff_category", "employ_form", "department", "unit_type"))
_FOOTER = re.compile(
    r"(合计|总计|小计|共计|总人数|共\d+人|填表人|填报人|审核人|制表人|复核人|经办人|负责人|单位负责人|填表日期|填报日期|制表日期"
    r"|制表时间|备注|说明|注)(?=$|[:;\d(])"
)
_REMARK = re.compile(r"[:\u3400-\u9fff]")  # one cell of prose in a whole row: a remark, no person
_FOOTER_STARTS = frozenset("合总小共填审制复经负单备说注")
_MIDDLE = Problem(
    "total-row-in-middle",
    "人员中间夹着合计或签名行，没有当作人员导入。请在文件中删去这一行。",
    "A total or signature row stands among the persons; it is not imported. Delete the row in the file.",
)
_NO_KEY = Problem(
    "key-missing",
    "这一行没有工号、身份证号或会员号，同名的人无法区分。请补上。",
    "The row has neither staff, ID nor member number; persons of one name cannot be told apart. Add one.",
)
ZEROS_LOST = Problem(
    "staff-no-zeros-lost",
    "工号的前导零丢失（如 0012 变成 12）。请把该列设为“文本”重新导出，或确认按原工号对应。",
    "The staff number has lost its leading zeros (0012 became 12). Format the column as text, or confirm the match.",
)
_ID_BIRTH = Problem(
    "birth-date-differs",
    "出生日期与身份证号不一致，请核对。",
    "Birth date and ID number differ; check them.",
    warning=True,
)
_ID_GENDER = Problem(
    "gender-differs",
    "性别与身份证号不一致，请核对。",
    "Gender and ID number differ; check them.",
    warning=True,
)


@dataclass(frozen=True)
class Answers:
    """What an officer said about a file. `columns`: folded header to field or `drop`; `values`: field to value to code.

    `match_zeros`: staff numbers that lost their leading zeros are the known ones. `unknown_columns`: ask, refuse, drop.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unknown_columns: str = "ask"
    match_zeros: bool = False


@dataclass(frozen=True)
class Unmapped:
    """A value without a code, and in how many rows it stands."""

    field: str
    value: str
    rows: int


@dataclass
class Roster:
    """Rows by column. `data[field][i]` belongs to the row `places[i]` = (sheet, number as the spreadsheet counts)."""

    file_name: str
    kind: str = "staff"  # or `members`: a list of members, which says nothing of employment
    columns: list[Column] = field(default_factory=list)
    fields: frozenset[str] = frozenset()
    data: dict[str, list[Any]] = field(default_factory=dict)
    places: list[tuple[str, int]] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    lost: int = 0  # rows that are no person, such as totals among the persons
    unmapped: list[Unmapped] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of rows about persons."""
        return len(self.places)

    def add_error(self, index: int, name: str, problem: Problem, value: object = "") -> None:
        """Note a problem of row `index`; the row is refused unless it is only a warning."""
        sheet, row = self.places[index]
        self.errors.append(_error(self.file_name, sheet, row, self.header_of(name), problem, value))
        if not problem.warning:
            self.refused.add(index)

    def header_of(self, name: str) -> str:
        """Return the header of the column that supplies a field."""
        return next((column.header for column in self.columns if column.field == name and column.how in _TAKEN), name)


def _error(file: str, sheet: str, row: int, column: str, problem: Problem, value: object) -> RowError:
    masked = mask(value) if value != "" else ""
    return RowError(file, sheet, row, column, problem.code, masked, problem.zh, problem.en, problem.warning)


def read_roster(
    sheets: Iterable[Sheet], file_name: str, *, as_of: date, answers: Answers, saved: Mapping[str, Any] | None = None
) -> Roster:
    """Read all sheets that have a header; raise InputRefused where the file as a whole cannot be a roster."""
    kept = saved or {}
    roster = Roster(file_name)
    cells: dict[str, list[Cell]] = {}
    for sheet in sheets:
        header = None if sheet.hidden else find_header(sheet)
        if header is None:
            _note_skipped(roster, sheet)
            continue
        columns = map_columns(header.names, answers.columns, kept.get("columns", {}))
        check_required(columns)
        _take_sheet(roster, cells, sheet, header.body, columns)
    _check_columns(roster, answers)
    _convert_all(roster, cells, answers, kept.get("values", {}), as_of)
    _check_keys(roster)
    _read_ids(roster)
    _name_twins(roster)
    roster.errors.sort(key=lambda error: (error.sheet, error.row))
    return roster


def _note_skipped(roster: Roster, sheet: Sheet) -> None:
    if not any(not is_blank(cell) for row in sheet.rows[:50] for cell in row):
        return
    zh, en = ("是隐藏的", "is hidden") if sheet.hidden else ("没有可识别的表头", "has no header that is known")
    name = sheet.name or "文件"
    roster.notes.append(Text(f"“{name}”{zh}，没有读取。", f"“{name}” {en}; it was not read."))


def _take_sheet(
    roster: Roster, cells: dict[str, list[Cell]], sheet: Sheet, body: int, columns: Sequence[Column]
) -> None:
    """Add the rows of one sheet, without footers; a field the sheet lacks is blank in its rows."""
    numbers = list(_person_rows(roster, sheet, body))
    rows = sheet.rows[body:] if len(numbers) == len(sheet.rows) - body else [sheet.rows[n - 1] for n in numbers]
    before = len(roster.places)
    roster.places.extend((sheet.name, number) for number in numbers)
    by_column = list(zip_longest(*rows, fillvalue=""))
    for column in columns:
        roster.columns.append(column)
        if column.how in _TAKEN:
            held = cells.setdefault(column.field, [""] * before)
            held.extend(by_column[column.index] if column.index < len(by_column) else [""] * len(rows))
    for held in cells.values():
        held.extend([""] * (len(roster.places) - len(held)))


def _person_rows(roster: Roster, sheet: Sheet, body: int) -> Iterable[int]:
    """Give the numbers (from 1) of rows about persons; totals among them are refused, footers stripped."""
    waiting: list[int] = []
    head = sheet.rows[body - 1]
    lonely = len(head) - 1 if len(head) > 2 else -1  # blanks in a row that has one cell only
    for number, row in enumerate(sheet.rows[body:], body + 1):
        first = row[0] if row else ""
        if first == head[0] and row == head:
            continue  # the header again, as printing repeats it on each page
        if (
            first == ""
            or (isinstance(first, str) and (first[0] in _FOOTER_STARTS or not first.strip()))
            or row.count("") == lonely
            or len(row) == 1
        ):
            text = [fold(cell) for cell in row if cell != "" and not is_blank(cell)]
            if not text:
                continue
            if _FOOTER.match(text[0]) or (len(text) == 1 and lonely > 0 and _REMARK.search(text[0])):
                waiting.append(number)
                continue
        for middle in waiting:
            roster.errors.append(_error(roster.file_name, sheet.name, middle, "", _MIDDLE, ""))
            roster.lost += 1
        waiting = []
        yield number
    if waiting:
        roster.notes.append(
            Text(f"表尾 {len(waiting)} 行（合计、签名等）已略去。", f"{len(waiting)} footer rows were left out.")
        )


def _check_columns(roster: Roster, answers: Answers) -> None:
    """Settle what kind of file it is, and refuse one without rows or with columns nobody knows."""
    if not roster.columns:
        raise InputRefused(
            "header-not-found",
            "没有找到表头。请确认第一张可见表里有“工号、姓名”等列名。",
            "No header row was found. Make sure that a visible sheet has column names such as 工号 and 姓名.",
        )
    if not roster.places:
        raise InputRefused(
            "rows-missing",
            "只有表头，没有人员。请确认导出范围。",
            "There is a header and no person below it. Check what was exported.",
        )
    unknown = sorted({c.header for c in roster.columns if c.how in {"unknown", "suggested", "weaker"}})
    if unknown and answers.unknown_columns == "refuse":
        raise InputRefused(
            "columns-unknown",
            f"不认识的列：{'、'.join(unknown)}。请指明它们的含义，或设为忽略。",
            f"Unknown columns: {', '.join(unknown)}. Say what they mean, or drop them.",
            columns=unknown,
        )
    roster.fields = frozenset(column.field for column in roster.columns if column.how in _TAKEN)
    if roster.fields.intersection(MEMBERSHIP) and not roster.fields & _STAFF_FIELDS:
        roster.kind = "members"


def _convert_all(
    roster: Roster,
    cells: Mapping[str, list[Cell]],
    answers: Answers,
    saved: Mapping[str, Mapping[str, str]],
    as_of: date,
) -> None:
    for name, column in cells.items():
        given = {**saved.get(name, {}), **answers.values.get(name, {})}
        result = convert(name, column, {fold(word): code for word, code in given.items()}, as_of)
        roster.data[name] = result.values
        if result.problems:
            for index, cell in enumerate(column):
                if (problem := result.problems.get(cell)) is not None:
                    roster.add_error(index, name, problem, cell)
        if result.unmapped:
            counted = Counter(cell for cell in column if cell in result.unmapped)
            roster.unmapped.extend(Unmapped(name, plain(cell)[:40], rows) for cell, rows in counted.most_common())
    if "title" in roster.data:
        roster.data["title"], levels = split_titles(roster.data["title"])
        told = roster.data.get("title_level", [UNKNOWN] * len(levels))
        roster.data["title_level"] = [own if own != UNKNOWN else other for own, other in zip(levels, told, strict=True)]
    if "staff_no" in cells and any(isinstance(cell, int | float) for cell in cells["staff_no"]):
        roster.notes.append(
            Text(
                "工号列里有数字格式的单元格，前导零可能已丢失。",
                "Some staff numbers are number cells; leading zeros may be lost.",
            )
        )


def _check_keys(roster: Roster) -> None:
    """Refuse rows without a key, the same person twice, and staff numbers that lost their zeros."""
    present = [roster.data[key] for key in KEYS if key in roster.data]
    for index, keys in enumerate(zip(*present, strict=True)):
        if not any(keys) and index not in roster.refused:
            roster.add_error(index, "staff_no", _NO_KEY)
    for name in KEYS:
        column = roster.data.get(name)
        if column is None or len(set(column)) == len(column):
            continue
        seen: dict[str, int] = {}
        for index, key in enumerate(column):
            if not key or seen.setdefault(key, index) == index:
                continue
            roster.add_error(index, name, twice(roster.places[seen[key]]), key)
    staff_nos = set(roster.data.get("staff_no", ()))
    lost = {number.lstrip("0") for number in staff_nos if number.startswith("0")} & staff_nos - {""}
    for index, number in enumerate(roster.data.get("staff_no", ()) if lost else ()):
        if number in lost:
            roster.add_error(index, "staff_no", ZEROS_LOST, number)


def twice(place: tuple[str, int]) -> Problem:
    """Return the problem of a row whose person stands in an earlier row already."""
    where = f"{place[0]} 第 {place[1]} 行".strip()
    return Problem(
        "person-twice",
        f"同一人出现两次（先见于{where}），这一行没有导入。请在文件中只留一行。",
        f"One person stands twice (first in row {place[1]} {place[0]}); this row is not imported. Keep one row.",
    )


def _read_ids(roster: Roster) -> None:
    """Take birth date and gender from ID numbers where the file does not tell them; warn where they differ."""
    numbers = roster.data.get("id_number")
    if not numbers or not any(numbers):
        return
    births = roster.data.setdefault("birth_date", [None] * len(numbers))
    genders = roster.data.setdefault("gender", [UNKNOWN] * len(numbers))
    roster.fields = roster.fields | {"birth_date", "gender"}
    for index, number in enumerate(numbers):
        if not number or len(number) != 18:
            continue
        born, gender = birth_date_in(number), gender_in(number)
        if births[index] is None:
            births[index] = born
        elif births[index] != born and (births[index].day != 1 or born is None or born.replace(day=1) != births[index]):
            roster.add_error(index, "birth_date", _ID_BIRTH)
        else:
            births[index] = born
        if genders[index] == UNKNOWN:
            genders[index] = gender
        elif genders[index] != gender:
            roster.add_error(index, "gender", _ID_GENDER)


def _name_twins(roster: Roster) -> None:
    names = [name for name in roster.data.get("name", ()) if name]
    twins = len(names) - len(set(names))
    if twins:
        roster.notes.append(
            Text(
                f"有 {twins} 行与别人同名，按编号区分，没有合并。",
                f"{twins} rows share a name with another; they are told apart by number, not merged.",
            )
        )
