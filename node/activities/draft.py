"""A notice as somebody writes it: fields, their check, and the document they become. No database.

All problems are found at once, each with its field, so that a form can show them beside what was typed.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from federation.documents import dump_document
from federation.errors import InputRefused, Text

PUBLISHED, CANCELLED, EXPIRED, DISPUTED = "published", "cancelled", "expired", "disputed"
KINDS: Mapping[str, Text] = {
    "sports": Text("文体", "Sports and arts"),
    "lecture": Text("讲座", "Lecture"),
    "training": Text("培训", "Training"),
    "contest": Text("竞赛", "Contest"),
    "social": Text("联谊", "Social"),
    "welfare": Text("慰问福利", "Welfare"),
    "meeting": Text("会议", "Meeting"),
    "other": Text("其他", "Other"),
}
LIMITS = {"title": 120, "place": 200, "who": 200, "contact": 200, "details": 2000, "note": 200}
MAX_SEATS = 100_000
_SHAPE = "%Y-%m-%dT%H:%M"
_NAMES = {
    "title": Text("标题", "Title"),
    "place": Text("地点", "Place"),
    "who": Text("参加对象", "Who may come"),
    "contact": Text("联系办公室", "Contact"),
    "details": Text("说明", "Details"),
    "note": Text("备注", "Note"),
}


@dataclass(frozen=True)
class Draft:
    """What an officer filled in. `starts` and `ends` are local times in `zone`, written `2026-12-12T14:00`."""

    title: str
    place: str
    starts: str
    ends: str
    kind: str = "other"
    zone: str = "Asia/Shanghai"
    who: str = ""
    seats: int = 0
    contact: str = ""
    details: str = ""
    note: str = ""


def kind_of(word: str) -> str:
    """Return the code of a kind given as code or by its name in either language; unknown words stay as they are."""
    return next((code for code, text in KINDS.items() if word in {code, *text}), word)


def local_time(text: str, zone: str) -> datetime:
    """Return the moment, in UTC; raise ValueError where the text is no time or the zone is unknown."""
    try:
        known = ZoneInfo(zone)
    except (OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name gives an OSError
        raise ValueError(zone) from error
    return datetime.strptime(text, _SHAPE).replace(tzinfo=known).astimezone(UTC)


def written_time(at: datetime, zone: str) -> str:
    """Return the local time in `zone` as `2026-12-12T14:00`."""
    return at.astimezone(ZoneInfo(zone)).strftime(_SHAPE)


def find_problems(draft: Draft) -> dict[str, Text]:
    """Return field -> what is wrong with it and how to mend it; empty for a sound draft."""
    found: dict[str, Text] = {}
    for field, limit in LIMITS.items():
        value = getattr(draft, field)
        name = _NAMES[field]
        if field in {"title", "place"} and not value.strip():
            found[field] = Text(f"请填写{name.zh}。", f"{name.en} is needed.")
        elif len(value) > limit:
            found[field] = Text(f"{name.zh}最多 {limit} 字。", f"{name.en}: at most {limit} characters.")
        elif not _is_plain(value, lines=field == "details"):
            found[field] = Text(f"{name.zh}里有控制字符。", f"{name.en} holds control characters.")
    if draft.kind not in KINDS:
        names = "、".join(text.zh for text in KINDS.values())
        found["kind"] = Text(f"类别只能是：{names}。", f"Kind is one of: {', '.join(KINDS)}.")
    if not 0 <= draft.seats <= MAX_SEATS:
        found["seats"] = Text(f"名额为 0（不限）到 {MAX_SEATS}。", f"Seats: 0 (not limited) to {MAX_SEATS}.")
    found.update(_time_problems(draft))
    return found


def _time_problems(draft: Draft) -> dict[str, Text]:
    try:
        local_time("2026-01-01T00:00", draft.zone)
    except ValueError:
        return {"zone": Text("时区请写成 Asia/Shanghai 这样的名称。", "Write the zone as in Asia/Shanghai.")}
    times = {}
    for field in ("starts", "ends"):
        try:
            times[field] = local_time(getattr(draft, field), draft.zone)
        except (ValueError, OverflowError):
            return {field: Text("时间请写成 2026-12-12T14:00。", "Write the time as 2026-12-12T14:00.")}
    if times["starts"] >= times["ends"]:
        return {"ends": Text("结束时间须在开始之后。", "It must end after it starts.")}
    return {}


def _is_plain(text: str, *, lines: bool) -> bool:
    """Tell whether the text has no control characters (line breaks may be allowed) and can be written as UTF-8."""
    return not any(
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} and not (lines and character in "\r\n")
        for character in text
    )


def check_draft(draft: Draft) -> None:
    """Raise InputRefused with all problems at once."""
    problems = find_problems(draft)
    if problems:
        raise InputRefused(
            "notice-incomplete",
            "".join(text.zh for text in problems.values()),
            " ".join(text.en for text in problems.values()),
            fields=sorted(problems),
        )


def write_content(draft: Draft, state: str) -> bytes:
    """Return the document of schema notice.v1."""
    fields = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
    return dump_document({"state": state, **fields})


def read_content(content: Mapping[str, Any]) -> tuple[str, Draft]:
    """Return state and fields of an accepted document; raise InputRefused for what its schema cannot say."""
    draft = Draft(**{name: content[name] for name in Draft.__dataclass_fields__})
    check_draft(draft)
    return content["state"], draft
