"""What people write in cells, to codes and days; each distinct value of a column is worked out once.

The words are data (`schemas/value-aliases.v1.json`). A value without a code is reported, never guessed; gender written
as bare 0 and 1 is refused until an officer says which is which, because real systems use both orders.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from federation.errors import InputRefused
from node.intake.cleaning import clean_name, fold, is_blank, plain
from node.intake.dates import FUTURE, read_date
from node.intake.errors import Problem
from node.intake.identity import read_id_number
from node.intake.reading import Cell

UNKNOWN = "_U"
CODED = ("gender", "title", "title_level", "education", "staff_category", "employ_form", "unit_type", "status")
_DATES = {"birth_date": True, "member_since": True, "contract_end": False}  # may it not lie in the future?
_RANK = re.compile(r"\([^)]*\)|[一二三四五六七八九十\d]+级$|^[一二三四五六七八九十\d]+级(?=教授|副教授)")
_LEVEL_OF_DIGIT = {"1": "SENIOR", "2": "ASSOC", "3": "MID", "4": "JUN", "5": "JUN"}  # GB/T 8561, third digit

_STATUS_UNMAPPED = Problem(
    "status-unmapped",
    "不认识的人员状态，无法判断是否在职。请指明它对应的代码。",
    "An unknown status: it cannot be told whether this person is on the job. Say which code it means.",
)
_UNMAPPED = Problem(
    "value-unmapped",
    "不认识的取值，按“未知”计。请指明它对应的代码。",
    "An unknown value, counted as unknown. Say which code it means.",
    warning=True,
)


@dataclass
class Converted:
    """A column worked out: `values` by row; problems and unmapped values by distinct cell."""

    values: list[Any]
    problems: dict[Cell, Problem] = field(default_factory=dict)
    unmapped: set[Cell] = field(default_factory=set)


@cache
def _words(name: str) -> dict[str, str]:
    codes = _table()[name]["codes"]
    return {fold(code): code for code in codes} | {fold(word): code for code, words in codes.items() for word in words}


@cache
def _table() -> dict[str, Any]:
    text = files("schemas").joinpath("value-aliases.v1.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)["fields"]
    return data


def codes_of(name: str) -> tuple[str, ...]:
    """Return the codes an officer may answer with for a field."""
    return (*_table()[name]["codes"], UNKNOWN) if name in _table() else ()


def convert(name: str, cells: Sequence[Cell], answers: Mapping[str, str], as_of: date) -> Converted:
    """Work out one column. `answers` maps folded values to codes, as an officer gave them."""
    if name == "gender":
        _check_gender(cells, answers)
    reader = _reader(name, answers, as_of)
    result = Converted([])
    found: dict[Cell, Any] = {}
    for cell in set(cells):
        value = reader(cell)
        if isinstance(value, Problem):
            result.problems[cell] = value
            if value in {_UNMAPPED, _STATUS_UNMAPPED}:
                result.unmapped.add(cell)
            value = UNKNOWN if name in CODED else None
        found[cell] = value
    result.values = list(map(found.__getitem__, cells))
    return result


def _reader(name: str, answers: Mapping[str, str], as_of: date) -> Callable[[Cell], Any]:
    if name in _DATES:
        latest = as_of if _DATES[name] else date.max
        return lambda cell: _read_day(cell, latest)
    if name == "is_member":
        return lambda cell: _read_yes(cell, answers)
    if name in CODED:
        return lambda cell: _read_code(name, cell, answers)
    return _PLAIN_READERS.get(name, _read_text)


def _read_text(cell: Cell) -> str:
    return "" if is_blank(cell) else plain(cell)


def _read_number(cell: Cell) -> str:
    return _read_text(cell).lstrip("'")


def _read_id(cell: Cell) -> str | Problem | None:
    return None if is_blank(cell) else read_id_number(cell)


_PLAIN_READERS: dict[str, Callable[[Cell], Any]] = {
    "id_number": _read_id,
    "name": clean_name,
    "staff_no": _read_number,
    "member_no": _read_number,
}


def _read_day(cell: Cell, latest: date) -> date | Problem | None:
    if is_blank(cell):
        return None
    day = read_date(cell)
    return FUTURE if isinstance(day, date) and day > latest else day


def _read_yes(cell: Cell, answers: Mapping[str, str]) -> bool | Problem | None:
    if is_blank(cell):
        return None
    key = fold(plain(cell))
    code = answers.get(key) or _words("is_member").get(key)
    return _UNMAPPED if code is None else code == "1"


def _read_code(name: str, cell: Cell, answers: Mapping[str, str]) -> str | Problem:
    if is_blank(cell):
        return UNKNOWN
    key = fold(plain(cell))
    if key in answers:
        return answers[key]
    words = _words(name)
    code = words.get(key)
    if code is None and name == "title":
        code = words.get(key.zfill(3)) or words.get(_RANK.sub("", key)) or _title_level(key)
    if code is None and name == "gender" and key == "0":
        code = UNKNOWN  # 未知的性别, in a column that is known to be GB/T 2261.1
    if code is not None:
        return code
    return _STATUS_UNMAPPED if name == "status" else _UNMAPPED


def _title_level(key: str) -> str | None:
    """Return `level:<code>` for a title that is told by its level only (副高, 无)."""
    level = _words("title_level").get(key)
    return f"level:{level}" if level else None


def split_titles(titles: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (title codes, title levels) of converted titles; the level is the third digit of GB/T 8561."""
    pairs = {title: _split(title) for title in set(titles)}
    return [pairs[title][0] for title in titles], [pairs[title][1] for title in titles]


def _split(title: str) -> tuple[str, str]:
    if title.startswith("level:"):
        return UNKNOWN, title.removeprefix("level:")
    return title, _LEVEL_OF_DIGIT.get(title[2:3], UNKNOWN) if title != UNKNOWN else UNKNOWN


def _check_gender(cells: Sequence[Cell], answers: Mapping[str, str]) -> None:
    """Raise InputRefused for bare 0 and 1: only a 2 or 9 beside them shows the national code."""
    digits = {key for cell in set(cells) if (key := fold(plain(cell))).isdigit()} - set(answers)
    if digits and digits <= {"0", "1"}:
        raise InputRefused(
            "gender-bare-digits",
            "性别列只有 0/1：有的系统 0 是女，有的 1 是女。请指明，例如 --value gender:0=2 --value gender:1=1。",
            "Gender is bare 0/1, and systems differ in which is which. Say so, as in --value gender:0=2 "
            "--value gender:1=1.",
            field="gender",
            values=sorted(digits),
        )
