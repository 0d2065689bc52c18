"""Which row is the header, and which field each column means.

A header is recognised by the alias table of `schemas/` with a confidence, by the mapping saved for the source, or by
an officer's answer; what is none of these is unknown and never guessed. One field takes one column.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from federation.errors import InputRefused
from node.intake.cleaning import fold, plain
from node.intake.reading import Cell, Sheet

SURE = 0.8  # from here on an alias is taken without asking
DROP = "drop"
KEYS = ("staff_no", "id_number", "member_no")
MEMBERSHIP = ("member_no", "member_since", "is_member")
_ROWS_SEARCHED = 40
_BRACKETS = re.compile(r"[(\[【].*?[)\]】]")


@dataclass(frozen=True)
class Column:
    """One column of the file. `how`: alias, saved, answer, ignored, suggested, weaker, unknown, dropped."""

    index: int
    header: str
    field: str
    confidence: float
    how: str


@dataclass(frozen=True)
class Header:
    """The header found in a sheet: names by column, and the index of the first row below it."""

    names: tuple[str, ...]
    body: int


@cache
def load_aliases() -> dict[str, Any]:
    """Return the alias table as data."""
    text = files("schemas").joinpath("roster-aliases.v1.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def _known() -> dict[str, tuple[str, float]]:
    table = load_aliases()
    known = {
        fold(alias): (field, confidence)
        for field, entry in table["fields"].items()
        for alias, confidence in (entry["aliases"] | {field.replace("_", ""): 1.0, field: 1.0}).items()
    }
    return known | {fold(alias): (DROP, confidence) for alias, confidence in table["ignored"].items()}


def field_names() -> tuple[str, ...]:
    """Return every canonical field a column may be mapped to."""
    return tuple(load_aliases()["fields"])


def label_of(field: str, language: str = "zh") -> str:
    """Return what a field is called for people."""
    entry = load_aliases()["fields"].get(field)
    return str(entry["en" if language.startswith("en") else "zh"]) if entry else field


def header_key(header: object) -> str:
    """Return the spelling by which headers are compared and mappings are saved."""
    return fold(header).strip("*:'\"")


def recognise(header: object) -> tuple[str, float]:
    """Return (field, confidence); ("drop", c) for what is known and not kept, ("", 0.0) for the unknown."""
    key = header_key(header)
    known = _known()
    return known.get(key) or known.get(_BRACKETS.sub("", key).strip("*:")) or ("", 0.0)


def find_header(sheet: Sheet) -> Header | None:
    """Return the header row of a sheet below any title lines, two rows joined where it has two; None without one."""
    best: tuple[float, int] = (0.0, -1)
    for index, row in enumerate(sheet.rows[:_ROWS_SEARCHED]):
        best = max(best, (_score(row), -index - 1))
    if best[0] < SURE or not _is_header(sheet.rows[-best[1] - 1]):
        return None
    index = -best[1] - 1
    if index + 1 < len(sheet.rows) and (joined := _join(sheet.rows[index], sheet.rows[index + 1])):
        return Header(joined, index + 2)
    if index and (joined := _join(sheet.rows[index - 1], sheet.rows[index])):
        return Header(joined, index + 1)
    return Header(tuple(plain(cell) for cell in sheet.rows[index]), index + 1)


def _score(row: Sequence[Cell]) -> float:
    return sum(recognise(cell)[1] for cell in row if cell != "" and isinstance(cell, str))


def _is_header(row: Sequence[Cell]) -> bool:
    """Tell a header from a title line that happens to be a known word."""
    filled = [cell for cell in row if cell != ""]
    if any(field in KEYS and confidence >= 0.9 for field, confidence in map(recognise, filled)):
        return True
    return len(filled) == 1 or sum(1 for cell in filled if recognise(cell)[1]) >= min(2, len(filled))


def _join(upper: Sequence[Cell], lower: Sequence[Cell]) -> tuple[str, ...]:
    """Return the names of a two-row header, or () where `upper` and `lower` are not one.

    In a two-row header each column has its name above (and nothing below it) or below a group's name.
    """
    width = max(len(upper), len(lower))
    above = [plain(cell) for cell in upper] + [""] * (width - len(upper))
    below = [plain(cell) for cell in lower] + [""] * (width - len(lower))
    if sum(1 for high in above if high) < 2:
        return ()  # a title line
    names, group, gained = [], "", 0
    for index, (high, low) in enumerate(zip(above, below, strict=True)):
        if high and not low and index + 1 < width and not above[index + 1] and below[index + 1]:
            return ()  # a data row below a header with a blank column
        group = high or (group if low else "")
        if not low:
            names.append(high)
            continue
        if high and recognise(high)[1] >= SURE and not recognise(low)[1] and not recognise(high + low)[1]:
            return ()
        candidates = (low, group + low, high)
        name = max(candidates, key=lambda candidate: recognise(candidate)[1])
        gained += bool(recognise(low)[1] or recognise(group + low)[1])
        names.append(name if recognise(name)[1] else group + low)
    lone_above = sum(1 for high, low in zip(above, below, strict=True) if high and not low and recognise(high)[1])
    grouped = any(not high and low for high, low in zip(above, below, strict=True))
    return tuple(names) if gained and (lone_above or grouped) and any(above) and grouped else ()


def map_columns(names: Sequence[str], answers: Mapping[str, str], saved: Mapping[str, str]) -> list[Column]:
    """Return what each column means; raise InputRefused where two columns claim one field with equal right."""
    columns = []
    for index, name in enumerate(names):
        key = header_key(name)
        if not key:
            continue
        for source, how in ((answers, "answer"), (saved, "saved")):
            if key in source:
                columns.append(Column(index, name, source[key], 1.0, "dropped" if source[key] == DROP else how))
                break
        else:
            field, confidence = recognise(name)
            how = "unknown" if not field else "ignored" if field == DROP else "alias"
            columns.append(Column(index, name, field, confidence, how if confidence >= SURE else _doubt(field)))
    return _settle_claims(columns)


def _doubt(field: str) -> str:
    return "suggested" if field and field != DROP else "unknown"


def _settle_claims(columns: list[Column]) -> list[Column]:
    """Leave one column a field: the surer one; equal claims are refused."""
    settled = list(columns)
    for field in {column.field for column in columns if column.field not in {"", DROP}}:
        claims = [column for column in columns if column.field == field and column.how in {"alias", "saved", "answer"}]
        claims.sort(key=lambda column: (column.how == "alias", -column.confidence))
        if len(claims) < 2:
            continue
        first, *others = claims
        for other in others:
            equal = (first.how == "alias") == (other.how == "alias")
            if equal and first.confidence - other.confidence < 0.1:
                raise InputRefused(
                    "columns-claim-one-field",
                    f"“{first.header}”和“{other.header}”两列都表示{label_of(field)}。请指明用哪一列，另一列设为忽略。",
                    f"Columns “{first.header}” and “{other.header}” both mean {label_of(field, 'en')}. Say which one "
                    "to use and drop the other.",
                    field=field,
                    columns=[first.header, other.header],
                )
            settled[settled.index(other)] = replace(other, how="weaker")
    return settled


def check_required(columns: Sequence[Column]) -> None:
    """Raise InputRefused unless a column tells persons apart."""
    taken = {column.field for column in columns if column.how in {"alias", "saved", "answer"}}
    if not taken.intersection(KEYS):
        raise InputRefused(
            "key-column-missing",
            "没有能区分人员的列：需要工号、身份证号或会员号之一。请补上该列，或指明哪一列是。",
            "No column tells persons apart: staff number, ID number or member number is needed. Add it or say which "
            "column it is.",
            columns=[column.header for column in columns],
        )
