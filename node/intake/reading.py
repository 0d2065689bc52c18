"""Bytes of a roster to sheets of cells: csv, tsv, txt, xls, xlsx, and `.xls` that is HTML or text inside.

The content decides, never the name of the file. Encodings are tried in one order (BOM, strict UTF-8, strict GB18030):
detection libraries take short Chinese rosters for Korean. Nothing here knows what a column means.
"""

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from federation.errors import InputRefused
from node.intake.html_table import read_html_tables

Cell = Any  # str, int, float, bool, date, datetime, time or timedelta; "" is blank
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_OLE, _ZIP = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x03\x04"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_HTML = re.compile(r"<\s*(html|table|!doctype\s+html|meta|head)\b", re.IGNORECASE)
_UNPACKED_TIMES = 20  # an honest workbook shrinks about tenfold


@dataclass(frozen=True)
class Sheet:
    """One sheet; `rows[0]` is the first row of the spreadsheet. Rows may differ in length."""

    name: str
    rows: Sequence[Sequence[Cell]]
    hidden: bool = False


def read_sheets(data: bytes, *, max_bytes: int) -> list[Sheet]:
    """Return the sheets of a file; raise InputRefused where it is empty, too large or of no known kind."""
    check_size(len(data), max_bytes)
    if not data.strip(b"\xef\xbb\xbf \t\r\n\x00"):
        raise InputRefused(
            "file-empty",
            "文件是空的，请重新导出后再导入。",
            "The file is empty; export it again.",
        )
    if data.startswith((_OLE, _ZIP)):
        return _read_workbook(data, max_bytes)
    text = read_text(data)
    if _HTML.search(text[:2000]):
        return [Sheet(f"表{number}", rows) for number, rows in enumerate(read_html_tables(text), 1)]
    return [Sheet("", _read_delimited(text))]


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raise InputRefused for a file above the limit; callers ask before they read it into memory."""
    if size_bytes > max_bytes:
        raise InputRefused(
            "file-too-large",
            f"文件 {size_bytes // 1_000_000} MB，超过上限 {max_bytes // 1_000_000} MB。"
            "请拆分，或调高 intake.max_bytes。",
            f"The file has {size_bytes // 1_000_000} MB, the limit is {max_bytes // 1_000_000} MB. Split it, or raise "
            "intake.max_bytes.",
            size_bytes=size_bytes,
            max_bytes=max_bytes,
        )


def read_text(data: bytes) -> str:
    """Decode text by BOM, strict UTF-8, then strict GB18030; raise InputRefused where none holds."""
    encodings = [encoding for bom, encoding in _BOMS if data.startswith(bom)] or ["utf-8", "gb18030"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text):
            return text
    raise InputRefused(
        "encoding-unknown",
        "认不出文件的编码。请用 Excel 另存为 xlsx，或另存为“CSV UTF-8”。",
        "The encoding is none of UTF-8 and GB18030. Save the file as xlsx or as “CSV UTF-8”.",
    )


def _read_delimited(text: str) -> list[list[str]]:
    head = text[:20_000]
    delimiter = max("\t,;", key=head.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise InputRefused(
            "text-not-a-table",
            "文本不是表格（引号不成对或单元格过长）。请另存为 xlsx 后再导入。",
            "The text is not a table (an open quote or an endless cell). Save it as xlsx.",
        ) from error


def _read_workbook(data: bytes, max_bytes: int) -> list[Sheet]:
    refused = InputRefused(
        "workbook-unreadable",
        "打不开这个工作簿：可能已损坏或设有密码。请去掉密码，另存为 xlsx。",
        "The workbook cannot be opened: damaged or protected. Remove the password and save it as xlsx.",
    )
    if data.startswith(_ZIP):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                check_size(sum(item.file_size for item in archive.infolist()), max_bytes * _UNPACKED_TIMES)
        except zipfile.BadZipFile as error:
            raise refused from error
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        return [
            Sheet(
                meta.name,
                book.get_sheet_by_name(meta.name).to_python(skip_empty_area=False),
                hidden=meta.visible != SheetVisibleEnum.Visible,
            )
            for meta in book.sheets_metadata
        ]
    except CalamineError as error:
        raise refused from error
