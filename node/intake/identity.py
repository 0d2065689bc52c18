"""Citizen ID numbers (GB 11643, MOD 11-2): checked, used to link rows, then kept only as a keyed digest.

The number itself never leaves this process; birth date and gender may be read from it.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import date
from operator import mul

from node.intake.cleaning import fold
from node.intake.errors import Problem

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_SHAPE = re.compile(r"[1-9]\d{16}[\dX]")
_OTHER_DOCUMENT = re.compile(r"[A-Z]{1,3}\d{6,10}")  # passport, permit
_SCIENTIFIC = re.compile(r"\d(\.\d+)?E\+?\d+")
_DIGITS = dict(zip("0123456789", range(10), strict=True))

_NUMERIC = Problem(
    "id-number-numeric",
    "身份证号存成了数字，末几位已经丢失。请把该列设为“文本”后从原系统重新导出。",
    "The ID number is stored as a number and has lost its last digits. Format the column as text and export it again.",
)
_SHAPE_WRONG = Problem(
    "id-number-shape",
    "证件号码不是 18 位身份证号，也不是护照号。请核对。",
    "Neither an 18-digit ID number nor a passport number. Check it.",
)
_CHECK_WRONG = Problem(
    "id-number-check",
    "身份证号校验位不对，请核对是否抄错。",
    "The check digit of the ID number is wrong; check for a slip.",
)


def read_id_number(value: object) -> str | Problem:
    """Return the number in one spelling, or what is wrong. The cell is not blank."""
    if not isinstance(value, str):
        return _NUMERIC
    text = value if _SHAPE.fullmatch(value) else fold(value).lstrip("'")
    if not _SHAPE.fullmatch(text) or not text.isascii():
        if _OTHER_DOCUMENT.fullmatch(text):
            return text
        return _NUMERIC if _SCIENTIFIC.fullmatch(text) else _SHAPE_WRONG
    if _CHECKS[sum(map(mul, _WEIGHTS, map(_DIGITS.__getitem__, text[:17]))) % 11] != text[17]:
        return _CHECK_WRONG
    return text


def birth_date_in(number: str) -> date | None:
    """Return the birth date that stands in an ID number; None in other documents."""
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None


def gender_in(number: str) -> str:
    """Return the gender code that stands in an ID number; `_U` in other documents."""
    if len(number) != 18:
        return "_U"
    return "1" if int(number[16]) % 2 else "2"


def digests(key: bytes, kind: str, values: Iterable[str | None]) -> list[str | None]:
    """Return the keyed HMAC-SHA256 (hex) of each value, None for none. Without the key nothing can be looked up."""
    prefix = f"{kind}:".encode()
    return [hmac.digest(key, prefix + value.encode(), hashlib.sha256).hex() if value else None for value in values]
