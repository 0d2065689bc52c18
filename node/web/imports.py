"""The import wizard: file, questions, preview, confirmation; the list of imports with undo; mappings kept.

Where a file is refused for something that an answer can mend (two columns for one field, no key column, bare 0/1 in
gender), the page asks it. Nothing is written before the confirmation, and that writes exactly what was shown.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from federation.catalogue import load_catalogue
from federation.errors import GonghuiError, InputRefused, Text
from node.access.permissions import check_permission
from node.http.problems import status_of
from node.intake.errors import RowError
from node.intake.headers import field_names, header_key, label_of
from node.intake.models import ImportFile
from node.intake.reading import check_size
from node.intake.values import codes_of
from node.members import roster
from node.members.answers import LEAVE_REASONS, check_answers, check_leave_reason
from node.web.pages import Form, FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(prefix="/imports", route_class=PageRoute)
SHOWN_PROBLEMS = 500
SHOWN_ROWS = 12
SHOWN_LEAVERS = 2000
STATES: Mapping[str, tuple[str, Text]] = {
    roster.STAGED: ("warn", Text("待确认", "to confirm")),
    roster.CONFIRMED: ("good", Text("已写入", "written")),
    roster.UNCHANGED: ("", Text("无变化", "no change")),
    roster.UNDONE: ("", Text("已撤销", "undone")),
    roster.DISCARDED: ("", Text("已放弃", "given up")),
}
COUNTS: Mapping[str, Text] = {
    "rows": Text("名册行数", "Rows"),
    "new": Text("新增", "New"),
    "changed": Text("变化", "Changed"),
    "unchanged": Text("不变", "Unchanged"),
    "absent": Text("缺席", "Absent"),
    "membership_ended": Text("退会", "Left the union"),
    "refused": Text("拒绝", "Refused"),
}
HOW: Mapping[str, Text] = {
    "alias": Text("自动识别", "recognised"),
    "saved": Text("按上次", "as last time"),
    "answer": Text("按您的选择", "as you said"),
    "ignored": Text("不需要", "not needed"),
    "dropped": Text("忽略", "dropped"),
    "suggested": Text("待确认", "to confirm"),
    "weaker": Text("与另一列重复", "another column says it"),
    "unknown": Text("不认识", "unknown"),
}


@router.get("")
def list_imports(request: Request, visitor: VisitorOf) -> Response:
    """List imports and the mappings kept."""
    items = roster.list_imports(visitor.node, visitor.account)
    mappings = roster.list_mappings(visitor.node, visitor.account)
    in_force = [item.change_number for item in items if item.state == roster.CONFIRMED and item.change_number]
    return page(
        request, "imports.html", items=items, mappings=mappings, states=STATES, newest=max(in_force, default=None)
    )


@router.get("/new")
def new_import(request: Request, visitor: VisitorOf) -> Response:
    """Ask for a file."""
    check_permission(visitor.account, "data.import")
    return _ask_file(request, visitor)


def _ask_file(request: Request, visitor: Visitor, error: GonghuiError | None = None, **typed: str) -> Response:
    today = visitor.node.clock().astimezone(ZoneInfo(visitor.node.settings.node.timezone)).date()
    values = {"as_of": today.isoformat(), "complete": "full", "source": "", **typed}
    status = status_of(error) if error else 200
    limit = visitor.node.settings.intake.max_bytes // 1_000_000
    return page(request, "import-new.html", status, error=error, values=values, today=today, limit=limit)


@router.post("")
def stage(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Keep the file for its preview."""
    check_permission(visitor.account, "data.import")
    typed = {"as_of": form.text("as_of"), "complete": form.text("complete"), "source": form.text("source")}
    try:
        file = form.file("file")
        check_size(file.size or 0, visitor.node.settings.intake.max_bytes)
        import_id = roster.stage(
            visitor.node,
            visitor.account,
            file_name=file.filename or "roster",
            data=file.file.read(),
            as_of=_read_day(typed["as_of"]),
            complete=_read_complete(typed["complete"]),
            source=typed["source"][:80],
        )
    except InputRefused as error:
        return _ask_file(request, visitor, error, **typed)
    return see_other(f"/imports/{import_id}")


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputRefused("date-misspelt", "日期请写成 2026-09-30。", "Write a date as 2026-09-30.") from error


def _read_complete(text: str) -> bool:
    if text not in {"full", "partial"}:
        raise InputRefused(
            "complete-missing", "请选择完整名册或部分名册。", "Say whether the roster is full or partial."
        )
    return text == "full"


@router.get("/{import_id}")
def show(request: Request, visitor: VisitorOf, import_id: str) -> Response:
    """Show an import: its questions or preview while it waits, what came of it afterwards."""
    item = roster.get_import(visitor.node, visitor.account, import_id)
    if item.state != roster.STAGED:
        return _ended(request, item)
    try:
        shown = roster.preview(visitor.node, visitor.account, import_id)
    except InputRefused as error:
        return page(
            request,
            "import-refused.html",
            status_of(error),
            item=item,
            error=error,
            columns=[str(header) for header in error.params.get("columns", ())],
            values=[str(value) for value in error.params.get("values", ())],
            fields=_fields(visitor.language),
        )
    return _preview(request, visitor, item, shown)


def _ended(request: Request, item: ImportFile) -> Response:
    summary = json.loads(item.summary)
    return page(
        request, "import-done.html", item=item, state=STATES[item.state], summary=summary, counts=_counts(summary)
    )


def _preview(request: Request, visitor: Visitor, item: ImportFile, shown: roster.Preview) -> Response:
    language = visitor.language
    asked = {entry.field: _codes(entry.field) for entry in shown.unmapped}
    return page(
        request,
        "import-preview.html",
        item=item,
        shown=shown,
        counts=_counts(shown.counts),
        how=HOW,
        fields=_fields(language),
        label=lambda name: label_of(name, language),
        codes=asked,
        problems=_group(shown.errors),
        leavers=shown.leavers[:SHOWN_LEAVERS],
        reasons=_reasons(),
        most=SHOWN_ROWS,
        given=roster.answers_of(item),
    )


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the same way at one or more rows."""

    first: RowError
    rows: tuple[int, ...]


def _group(errors: Sequence[RowError]) -> list[Problem]:
    """Return the problems, refused rows first; the same remark on a value is told once, with all its rows."""
    rows: dict[tuple[object, ...], list[int]] = {}
    firsts: dict[tuple[object, ...], RowError] = {}
    for error in errors:
        key = (error.sheet, error.column, error.code, error.value, error.zh, error.warning)
        firsts.setdefault(key, error)
        rows.setdefault(key, []).append(error.row)
    found = [Problem(first, tuple(rows[key])) for key, first in firsts.items()]
    return sorted(found, key=lambda problem: problem.first.warning)[:SHOWN_PROBLEMS]


def _counts(counts: Mapping[str, int]) -> list[tuple[str, Text, int]]:
    """Return what was counted, in the order in which it is read; what did not happen is left out at the end."""
    shown = [(name, text, counts.get(name, 0)) for name, text in COUNTS.items()]
    return [item for item in shown if item[2] or item[0] not in {"membership_ended", "absent"}]


def _fields(language: str) -> list[tuple[str, str]]:
    return [(name, label_of(name, language)) for name in field_names()]


def _codes(name: str) -> list[tuple[str, Text]]:
    """Return the codes one may answer with for a field, with their names."""
    listed = load_catalogue().codelists.get(f"CL_{name.upper()}")
    names = {code.code: code.name for code in listed.codes} if listed else {}
    names |= {"_U": Text("未知", "unknown")}
    if name == "is_member":
        names |= {"1": Text("是", "yes"), "0": Text("否", "no")}
    return [(code, names.get(code, Text(code, code))) for code in dict.fromkeys(codes_of(name))]


def _reasons() -> list[tuple[str, Text]]:
    names = {code.code: code.name for code in load_catalogue().codelists["CL_LEAVE_REASON"].codes}
    return [(code, names.get(code, Text("未说明", "not told"))) for code in LEAVE_REASONS]


@router.post("/{import_id}/answers")
def answer(visitor: VisitorOf, import_id: str, form: FormOf) -> Response:
    """Keep what was said about columns and values, and look again."""
    given = roster.answers_of(roster.get_import(visitor.node, visitor.account, import_id))
    columns = dict(given.columns)
    for number, header in enumerate(form.all("header")):
        meaning = form.text(f"column-{number}")
        if meaning:
            columns[header_key(header)] = meaning
    values = {name: dict(words) for name, words in given.values.items()}
    for number, place in enumerate(form.all("value")):
        name, _, word = place.partition(":")
        code = form.text(f"code-{number}")
        if code:
            _check_code(name, code)
            values.setdefault(name, {})[word] = code
    zeros = given.match_zeros or form.text("match_zeros") == "yes"
    answers = check_answers(columns, values, given.unknown_columns, match_zeros=zeros)
    roster.answer(visitor.node, visitor.account, import_id, answers)
    return see_other(f"/imports/{import_id}")


def _check_code(name: str, code: str) -> None:
    if code not in codes_of(name):
        raise InputRefused("code-unknown", "该字段没有这个代码。", "The field has no such code.", field=name[:20])


@router.post("/{import_id}/confirm")
def confirm(visitor: VisitorOf, import_id: str, form: FormOf) -> Response:
    """Write what was shown."""
    left, everybody = _who_left(form)
    known_at = form.text("known_at")
    done = roster.confirm_seen(
        visitor.node,
        visitor.account,
        import_id,
        known_at=int(known_at) if known_at.isdecimal() and len(known_at) < 16 else -1,
        leavers=left,
        all_left=everybody,
    )
    return see_other(f"/imports/{import_id}", "imported" if done.number else "import-same")


def _who_left(form: Form) -> tuple[dict[str, str], str | None]:
    """Return who left: nobody unless somebody says so."""
    reason = form.text("reason", "_U")
    check_leave_reason(reason)
    if form.text("leavers") == "all":
        return {}, reason
    return dict.fromkeys(form.all("left"), reason) if form.text("leavers") == "some" else {}, None


@router.post("/{import_id}/discard")
def discard(visitor: VisitorOf, import_id: str) -> Response:
    """Give the file up."""
    roster.discard(visitor.node, visitor.account, import_id)
    return see_other("/imports", "import-discarded")


@router.post("/{import_id}/undo")
def undo(visitor: VisitorOf, import_id: str) -> Response:
    """Take the whole import back."""
    roster.undo(visitor.node, visitor.account, import_id)
    return see_other(f"/imports/{import_id}", "import-undone")


@router.post("/mappings/forget")
def forget_mapping(visitor: VisitorOf, form: FormOf) -> Response:
    """Forget the mapping of a source."""
    roster.forget_mapping(visitor.node, visitor.account, form.text("source"))
    return see_other("/imports", "mapping-forgotten")
