"""What is wrong with a row, told so that an officer can mend it: file, sheet, row, column, masked value, mend.

A personal value never leaves through an error: `mask` keeps at most its first and last character.
"""

from dataclasses import asdict, dataclass
from typing import Any


def mask(value: object) -> str:
    """Return `3***2` for a long value and `***` for a short one, nothing more."""
    text = str(value)
    return f"{text[0]}***{text[-1]}" if len(text) >= 6 else "***"


@dataclass(frozen=True)
class Problem:
    """Why one value is refused (`warning` is false) or only doubtful; both texts say the mend."""

    code: str
    zh: str
    en: str
    warning: bool = False


@dataclass(frozen=True)
class RowError:
    """One problem at one place. `row` counts as the spreadsheet does, from 1; `column` is the header as it stands."""

    file: str
    sheet: str
    row: int
    column: str
    code: str
    value: str  # masked
    zh: str
    en: str
    warning: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the fields for a script."""
        return asdict(self)
