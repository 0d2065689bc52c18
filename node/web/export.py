"""Exactly the view on screen as a file: CSV for everybody, XLSX for Excel, JSON for scripts.

Text that a spreadsheet would run as a formula is written as text. CSV is UTF-8 with a byte order mark, which Excel
needs to show Chinese.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import xlsxwriter

Value = str | int | float | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Sheet:
    """A table to write: notes above it (what it is, when, whose), one header, rows. `facts` is what JSON says."""

    name: str
    notes: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[Value]]
    facts: Any


@dataclass(frozen=True)
class File:
    """A file to send."""

    content: bytes
    media_type: str
    suffix: str


def write_csv(sheet: Sheet) -> File:
    """Return the table as CSV; the notes follow it, so that the first line is the header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_harmless(cell) for cell in sheet.header])
    writer.writerows([[_harmless(cell) for cell in row] for row in sheet.rows])
    writer.writerow([])
    writer.writerows([[_harmless(note)] for note in sheet.notes])
    return File(("\ufeff" + text.getvalue()).encode(), "text/csv; charset=utf-8", "csv")


def write_xlsx(sheet: Sheet) -> File:
    """Return the table as an Excel file: numbers as numbers, text never as a formula or a link."""
    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as book:
        page = book.add_worksheet("数据")
        bold = book.add_format({"bold": True, "bottom": 1})
        page.write_row(0, 0, sheet.header, bold)
        for number, row in enumerate(sheet.rows, 1):
            page.write_row(number, 0, ["" if cell is None else cell for cell in row])
        for number, note in enumerate(sheet.notes, len(sheet.rows) + 2):
            page.write_string(number, 0, note)
        page.freeze_panes(1, 0)
        page.autofit()
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return File(buffer.getvalue(), media_type, "xlsx")


def write_json(sheet: Sheet) -> File:
    """Return what the view is made of."""
    return File(json.dumps(sheet.facts, ensure_ascii=False, indent=1).encode(), "application/json", "json")


WRITERS: dict[str, Callable[[Sheet], File]] = {"csv": write_csv, "xlsx": write_xlsx, "json": write_json}


def _harmless(cell: Value) -> Value:
    """Return text so that no spreadsheet takes it for a formula; a number stays one."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return "'" + cell
    return cell
