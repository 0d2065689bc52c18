"""Reporting periods: month `2026-09`, quarter `2026-Q3`, calendar year `2026`, union year `2026U`.

The union year (工会统计年度) runs from 1 October of the year before to 30 September; SDMX would write it as a
reporting year with REPORTING_YEAR_START_DAY = --10-01.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from federation.errors import InputRefused

MONTH, QUARTER, YEAR, UNION_YEAR = "M", "Q", "Y", "A"
_DAY = timedelta(days=1)


def _month_start(year: int, month: int) -> date:
    """Return the first day of a month; `month` may run past 12."""
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


_SHAPES: dict[str, tuple[re.Pattern[str], Callable[[int, int], tuple[date, date]]]] = {
    MONTH: (
        re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])"),
        lambda year, month: (_month_start(year, month), _month_start(year, month + 1) - _DAY),
    ),
    QUARTER: (
        re.compile(r"([0-9]{4})-Q([1-4])"),
        lambda year, q: (_month_start(year, 3 * q - 2), _month_start(year, 3 * q + 1) - _DAY),
    ),
    YEAR: (re.compile(r"([0-9]{4})()"), lambda year, _: (date(year, 1, 1), date(year, 12, 31))),
    UNION_YEAR: (re.compile(r"([0-9]{4})U()"), lambda year, _: (date(year - 1, 10, 1), date(year, 9, 30))),
}


@dataclass(frozen=True, order=True)
class Period:
    """One reporting period; `start` and `end` are both inside it."""

    start: date
    end: date
    frequency: str
    label: str

    def __str__(self) -> str:
        """Return the label, as it stands on the wire."""
        return self.label

    def previous(self) -> "Period":
        """Return the period of the same frequency that ends the day before this one starts."""
        return period_of(self.start - _DAY, self.frequency)


def read_period(label: str) -> Period:
    """Read a label such as `2026-09`, `2026-Q3`, `2026` or `2026U`; raise InputRefused otherwise."""
    for frequency, (shape, bounds) in _SHAPES.items():
        if (match := shape.fullmatch(label)) and 1900 <= int(match[1]) <= 2999:
            start, end = bounds(int(match[1]), int(match[2] or 0))
            return Period(start, end, frequency, label)
    raise InputRefused(
        "period-unknown",
        "期间写法不对：请写成 2026-09（月）、2026-Q3（季）、2026（自然年）或 2026U（工会年度）。",
        "Not a period: write 2026-09 (month), 2026-Q3 (quarter), 2026 (year) or 2026U (union year).",
        value=label[:20],
    )


def period_of(day: date, frequency: str) -> Period:
    """Return the period of `frequency` (M, Q, Y or A) that contains `day`."""
    match frequency:
        case "M":
            return read_period(f"{day.year:04d}-{day.month:02d}")
        case "Q":
            return read_period(f"{day.year:04d}-Q{(day.month + 2) // 3}")
        case "Y":
            return read_period(f"{day.year:04d}")
        case _:
            return read_period(f"{day.year + (day.month >= 10):04d}U")
