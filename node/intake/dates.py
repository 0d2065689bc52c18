"""Dates as HR exports write them, and those that cannot be told: refused, never guessed.

1985.07, 198507, 1985-7-1, 1985年7月, 19850701, 31229 (the serial number of a spreadsheet). A month without a day is its
first day. 1985.1 may be January or October (a number cell drops the zero): the officer must say.
"""

import re
from datetime import date, datetime, timedelta

from node.intake.cleaning import plain
from node.intake.errors import Problem

_FULL = re.compile(r"(\d{4})[-./年](\d{1,2})[-./月](\d{1,2})日?(?:[ T]\d.*)?")
_MONTH = re.compile(r"(\d{4})([-./年])(\d{1,2})月?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})?")
_SERIAL_ZERO = date(1899, 12, 30)
_SERIALS = range(3654, 73051)  # 1910 to 2099
EARLIEST = date(1900, 1, 1)

_UNREADABLE = Problem(
    "date-unreadable",
    "看不懂的日期。请写成 1985-07-01 或 1985.07。",
    "Not a date. Write 1985-07-01 or 1985.07.",
)
_NOT_A_DAY = Problem(
    "date-impossible",
    "没有这一天（例如 2 月 30 日）。请核对后改正。",
    "There is no such day (such as 30 February). Check and correct it.",
)
_AMBIGUOUS = Problem(
    "date-ambiguous",
    "1985.1 这样的写法可能是 1 月也可能是 10 月。请写成 1985.01 或 1985.10（单元格设为文本）。",
    "Written like 1985.1 it may be January or October. Write 1985.01 or 1985.10 (format the cell as text).",
)
FUTURE = Problem(
    "date-in-future",
    "日期晚于名册日期。请核对后改正。",
    "The date lies after the date of the roster. Check and correct it.",
)


def read_date(value: object) -> date | Problem:
    """Return the day a cell means, or what is wrong with it. The cell is not blank."""
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    text = plain(value).replace(" 00:00:00", "")
    if match := _FULL.fullmatch(text):
        return _day(match[1], match[2], match[3])
    if match := _MONTH.fullmatch(text):
        ambiguous = match[2] == "." and len(match[3]) == 1
        return _AMBIGUOUS if ambiguous else _day(match[1], match[3], "1")
    if match := _COMPACT.fullmatch(text):
        return _day(match[1], match[2], match[3] or "1")
    if text.isascii() and text.isdigit() and int(text) in _SERIALS:
        return _SERIAL_ZERO + timedelta(days=int(text))
    return _UNREADABLE


def _day(year: str, month: str, day: str) -> date | Problem:
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return _NOT_A_DAY
    return found if found >= EARLIEST else _UNREADABLE
