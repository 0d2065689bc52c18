"""What a roster is to the demo: a file, the day that it describes, and the college that keeps it."""

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from node.demo.words import DemoFailed

SUFFIXES = {".csv", ".xls", ".xlsx"}
PARTLY = "（部分生成）"  # the college's rosters are real, what they lack is generated
WHOLLY = "（全部生成）"  # nothing of it is real


@dataclass(frozen=True)
class Roster:
    """One complete roster as a file."""

    file: Path
    as_of: date


@dataclass(frozen=True)
class CollegePlan:
    """A college of the demo: what it is called, and its rosters in the order of their days."""

    name: str
    rosters: tuple[Roster, ...]
    code: str = ""  # field 901
    quiet: bool = False  # it serves nothing: its people type commands
    correction: Roster | None = None  # the last roster with mistakes mended, for somebody to release

    def until(self, day: date) -> "CollegePlan":
        """Return the plan with the rosters that are not later than `day`."""
        kept = tuple(roster for roster in self.rosters if roster.as_of <= day)
        return replace(self, rosters=kept, correction=self.correction if kept == self.rosters else None)


@dataclass
class Table:
    """A roster before it is a file: `titles` stand above the header, `footers` below the persons."""

    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    footers: list[list[str]] = field(default_factory=list)


_NAME = 200  # characters of a college's name


def union_year(day: date) -> str:
    """Return the union year that contains `day`: 2026U is 1 October 2025 to 30 September 2026."""
    return f"{day.year + (day.month >= 10)}U"


def is_open(period: str, today: date) -> bool:
    """Tell whether a union year has not ended yet."""
    return date(int(period[:4]), 9, 30) >= today


def last_union_year_end(today: date) -> date:
    """Return the latest 30 September that is not in the future."""
    end = date(today.year, 9, 30)
    return end if end <= today else date(today.year - 1, 9, 30)


def find_rosters(folder: Path, as_of: date) -> list[CollegePlan]:
    """Return one college for each roster file of `folder`, by name; raise DemoFailed where there is none."""
    try:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith((".", "~$"))
        )
    except OSError as error:
        raise DemoFailed(
            "rosters-unreadable",
            f"读不到名册目录 {folder}：{error.strerror}。",
            f"Cannot read the folder of rosters {folder}: {error.strerror}.",
            exit_code=2,
        ) from error
    if not files:
        raise DemoFailed(
            "rosters-missing",
            f"目录 {folder} 里没有 csv、xls 或 xlsx 名册。",
            f"There is no csv, xls or xlsx roster in {folder}.",
            exit_code=2,
        )
    stems = [path.stem for path in files]
    return [
        CollegePlan((path.stem if stems.count(path.stem) == 1 else path.name)[:_NAME], (Roster(path, as_of),))
        for path in files
    ]
