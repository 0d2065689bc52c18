"""A roster from upload to undo: stage, answer, preview, confirm, undo. The one service behind page and command.

A confirmation is one transaction {rows, change number, audit, mapping} and only applies what was previewed: if any
other change came between, it is a conflict and nothing is written. The staged file holds persons; it lies readable to
the owner alone and is deleted when the import ends.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from federation.errors import Conflict, InputRefused, Text
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.db import next_number
from node.intake.errors import RowError
from node.intake.headers import Column
from node.intake.models import DataChange, ImportFile, SourceMapping
from node.intake.reading import check_size, read_sheets
from node.intake.rows import Answers, Roster, Unmapped, read_roster
from node.intake.staging import forget_bytes, keep_bytes, load_bytes
from node.members.apply import apply_plan, unlearn_change
from node.members.known import load_known
from node.members.plan import Leaver, Plan, make_plan

STAGED, CONFIRMED, UNCHANGED, UNDONE, DISCARDED = "staged", "confirmed", "unchanged", "undone", "discarded"
_STALE = timedelta(days=7)  # files nobody confirmed; they hold persons and must not lie about
_DATES_IN_NAME = re.compile(r"[\d年月日._\-() ]+")


@dataclass(frozen=True)
class Preview:
    """What a confirmation would do. `counts`: rows, new, changed, unchanged, absent, refused, membership_ended."""

    import_id: str
    file_name: str
    source: str
    as_of: date
    kind: str
    complete: bool
    counts: Mapping[str, int]
    columns: tuple[Column, ...]
    unknown: tuple[Column, ...]  # columns somebody must still decide about
    dropped: tuple[str, ...]  # headers that are not kept
    unmapped: tuple[Unmapped, ...]
    errors: tuple[RowError, ...]
    notes: tuple[Text, ...]
    leavers: tuple[Leaver, ...]
    plan: Plan = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return the preview for a script: counts and masked values, no person."""
        return {
            "import": self.import_id,
            "file": self.file_name,
            "source": self.source,
            "as_of": self.as_of.isoformat(),
            "kind": self.kind,
            "complete": self.complete,
            "counts": dict(self.counts),
            "known_at": self.plan.base,
            "columns": [{"header": c.header, "field": c.field, "how": c.how} for c in self.columns],
            "unknown_columns": [c.header for c in self.unknown],
            "dropped_columns": list(self.dropped),
            "unmapped": [{"field": u.field, "value": u.value, "rows": u.rows} for u in self.unmapped],
            "errors": [error.as_json() for error in self.errors],
            "notes": [{"zh": note.zh, "en": note.en} for note in self.notes],
        }


@dataclass(frozen=True)
class Confirmed:
    """What a confirmation did. `number` is None where nothing had to be written."""

    import_id: str
    number: int | None
    counts: Mapping[str, int]
    left: int = 0


def source_of(file_name: str) -> str:
    """Return the name under which the mapping of such files is kept: the file's name without dates and numbers."""
    return _DATES_IN_NAME.sub(" ", Path(file_name).stem).strip() or "roster"


def stage(
    node: Node,
    actor: Actor,
    *,
    file_name: str,
    data: bytes,
    as_of: date,
    complete: bool,
    source: str = "",
    answers: Answers | None = None,
) -> str:
    """Keep a file for preview; return the import's id. Raise InputRefused, NotPermitted or StorageError."""
    check_permission(actor, "data.import")
    check_size(len(data), node.settings.intake.max_bytes)
    if as_of > node.clock().date() + timedelta(days=1):
        raise InputRefused(
            "as-of-in-future",
            "名册日期在将来。请填写名册数据实际的截止日期。",
            "The date of the roster lies in the future. Give the day the roster really describes.",
            as_of=as_of.isoformat(),
        )
    import_id = f"i-{secrets.token_hex(8)}"
    name = Path(file_name).name
    given = answers or Answers(unknown_columns=node.settings.intake.unknown_columns)
    keep_bytes(node, import_id, data)
    try:
        with node.database.write() as session:
            session.add(
                ImportFile(
                    id=import_id,
                    source=source or source_of(name),
                    file_name=name,
                    sha256=hashlib.sha256(data).hexdigest(),
                    as_of=as_of,
                    complete=complete,
                    options=_dump(given),
                    account_id=actor.account_id,
                    created_at=node.clock(),
                )
            )
            stale = _discard_stale(node, session)
    except BaseException:
        forget_bytes(node, import_id)
        raise
    for forgotten in stale:
        forget_bytes(node, forgotten)
    return import_id


def _discard_stale(node: Node, session: Session) -> list[str]:
    """Give up what was staged long ago (by a process that was killed, perhaps); return the ids."""
    old = session.exec(
        select(ImportFile).where(ImportFile.state == STAGED, ImportFile.created_at < node.clock() - _STALE)
    ).all()
    for item in old:
        item.state = DISCARDED
        session.add(item)
    return [item.id for item in old]


def answer(node: Node, actor: Actor, import_id: str, answers: Answers) -> None:
    """Keep an officer's answers about a staged file."""
    check_permission(actor, "data.import")
    with node.database.write() as session:
        item = _get_staged(session, import_id)
        item.options = _dump(answers)
        session.add(item)


def answers_of(item: ImportFile) -> Answers:
    """Return the answers given so far."""
    return Answers(**json.loads(item.options))


def get_import(node: Node, actor: Actor, import_id: str) -> ImportFile:
    """Return one import; raise InputRefused where there is none."""
    check_permission(actor, "data.import")
    with node.database.read() as session:
        return _get(session, import_id)


def preview(node: Node, actor: Actor, import_id: str) -> Preview:
    """Read the staged file and compare it with what is known; nothing is written."""
    check_permission(actor, "data.import")
    with node.database.read() as session:
        item = _get_staged(session, import_id)
        mapping = session.get(SourceMapping, item.source)
        given = answers_of(item)
        roster = read_roster(
            read_sheets(load_bytes(node, item), max_bytes=node.settings.intake.max_bytes),
            item.file_name,
            as_of=item.as_of,
            answers=given,
            saved=json.loads(mapping.mapping) if mapping else None,
        )
        known = load_known(session)
    plan = make_plan(
        roster,
        known,
        as_of=item.as_of,
        complete=item.complete,
        link_key=node.derived_key("link"),
        match_zeros=given.match_zeros,
    )
    return _preview_of(item, roster, plan, given)


def _preview_of(item: ImportFile, roster: Roster, plan: Plan, given: Answers) -> Preview:
    notes = list(roster.notes)
    if roster.kind == "staff" and "status" not in roster.fields:
        notes.append(
            Text(
                "没有人员状态列：名册中的人都按在职计。",
                "There is no status column: everybody is counted as on the job.",
            )
        )
    open_columns = [c for c in roster.columns if c.how in {"unknown", "suggested", "weaker"}]
    keep_asking = given.unknown_columns == "ask"
    dropped = [c for c in roster.columns if c.how in {"ignored", "dropped"}] + ([] if keep_asking else open_columns)
    counts = {
        "rows": len(roster) + roster.lost,
        "new": len(plan.persons),
        "changed": len(plan.changed),
        "unchanged": plan.unchanged,
        "absent": len(plan.leavers),
        "refused": len(roster.refused) + roster.lost,
        "membership_ended": plan.membership_ended,
    }
    return Preview(
        item.id,
        item.file_name,
        item.source,
        item.as_of,
        roster.kind,
        item.complete,
        counts,
        tuple(roster.columns),
        tuple(open_columns) if keep_asking else (),
        tuple(dict.fromkeys(c.header for c in dropped)),
        tuple(roster.unmapped),
        tuple(roster.errors),
        tuple(notes),
        tuple(plan.leavers),
        plan,
    )


def confirm(node: Node, actor: Actor, shown: Preview, *, leavers: Mapping[str, str] | None = None) -> Confirmed:
    """Apply what was shown, in one transaction. `leavers`: person to a code of CL_LEAVE_REASON, for those who left.

    Raise Conflict where another change came between, InputRefused where a column is still undecided.
    """
    check_permission(actor, "data.import")
    if shown.unknown:
        headers = [column.header for column in shown.unknown]
        raise InputRefused(
            "columns-unknown",
            f"还有不认识的列：{'、'.join(headers)}。请指明含义（--column 列名=字段）或忽略（--unknown-columns drop）。",
            f"Columns still unknown: {', '.join(headers)}. Say what they mean (--column HEADER=FIELD) or drop them "
            "(--unknown-columns drop).",
            columns=headers,
        )
    plan = shown.plan
    for person_id, reason in (leavers or {}).items():
        if person_id in plan.leaving:
            plan.leave(person_id, reason)
            del plan.leaving[person_id]
    with node.database.write() as session:
        item = _get_staged(session, shown.import_id)
        number = _next_change(session, plan.base, len(leavers or {}), shown)
        if number is not None:
            apply_plan(session, plan, number)
            session.add(_change_of(node, actor, item, plan, number))
        item.state, item.change_number = (CONFIRMED if number else UNCHANGED), number
        item.summary = json.dumps({**shown.counts, "left": len(leavers or {}), "kind": shown.kind})
        session.add(item)
        _keep_mapping(node, session, item)
        write_audit(
            session,
            account_id=actor.account_id,
            action="data.import",
            subject=item.id,
            at=node.clock(),
            change=number,
            left=len(leavers or {}),
            **shown.counts,
        )
    forget_bytes(node, shown.import_id)
    return Confirmed(shown.import_id, number, shown.counts, len(leavers or {}))


def confirm_seen(
    node: Node,
    actor: Actor,
    import_id: str,
    *,
    known_at: int,
    leavers: Mapping[str, str] | None = None,
    all_left: str | None = None,
) -> Confirmed:
    """Apply a staged file as it was previewed at `known_at`; raise Conflict where another change came since.

    `leavers` as in `confirm`; with `all_left`, a code of CL_LEAVE_REASON, everybody who was proposed has left.
    """
    shown = preview(node, actor, import_id)
    if shown.plan.base != known_at:
        raise _changed_meanwhile(known_at)
    if all_left is not None:
        leavers = {leaver.person_id: all_left for leaver in shown.leavers}
    return confirm(node, actor, shown, leavers=leavers)


def _next_change(session: Session, base: int, left: int, shown: Preview) -> int | None:
    """Take the next number, which must follow the preview's; None where nothing at all would be said anew."""
    if shown.plan.is_empty() and not left and _said_before(session, shown):
        return None
    number = next_number(session, "data")
    if number != base + 1:
        raise _changed_meanwhile(base)
    return number


def _changed_meanwhile(base: int) -> Conflict:
    return Conflict(
        "data-changed-meanwhile",
        "预览之后数据又有变动（另一次导入或撤销）。请重新预览再确认，本次没有写入任何内容。",
        "The data changed after this preview (another import or undo). Preview again; nothing was written.",
        previewed=base,
    )


def _said_before(session: Session, shown: Preview) -> bool:
    """Tell whether an earlier change already says the same of the same day."""
    told = session.exec(
        select(DataChange).where(col(DataChange.undone_by).is_(None), DataChange.as_of == shown.as_of)
    ).all()
    return any(
        set(shown.plan.fields) <= set(change.fields.split(",")) and change.complete >= shown.complete for change in told
    )


def _change_of(node: Node, actor: Actor, item: ImportFile, plan: Plan, number: int) -> DataChange:
    return DataChange(
        number=number,
        kind="import",
        at=node.clock(),
        account_id=actor.account_id,
        as_of=item.as_of,
        complete=item.complete,
        fields=",".join(plan.fields),
        import_id=item.id,
    )


def _keep_mapping(node: Node, session: Session, item: ImportFile) -> None:
    """Save what the officer answered, for the next file of this source."""
    given = answers_of(item)
    if not given.columns and not given.values:
        return
    mapping = session.get(SourceMapping, item.source)
    kept = json.loads(mapping.mapping) if mapping else {"columns": {}, "values": {}}
    kept["columns"].update(given.columns)
    for name, words in given.values.items():
        kept["values"].setdefault(name, {}).update(words)
    text = json.dumps(kept, ensure_ascii=False, sort_keys=True)
    if mapping is None:
        session.add(SourceMapping(source=item.source, mapping=text, updated_at=node.clock()))
    else:
        mapping.mapping, mapping.updated_at = text, node.clock()
        session.add(mapping)


def discard(node: Node, actor: Actor, import_id: str) -> None:
    """Give up a staged file."""
    check_permission(actor, "data.import")
    with node.database.write() as session:
        item = _get_staged(session, import_id)
        item.state = DISCARDED
        session.add(item)
    forget_bytes(node, import_id)


def undo(node: Node, actor: Actor, import_id: str) -> int:
    """Take a whole import back by un-learning; return the number of the undoing change.

    Raise Conflict where a later change stands on it: undo that one first.
    """
    check_permission(actor, "data.import")
    with node.database.write() as session:
        number = next_number(session, "data")
        item = _get(session, import_id)
        if item.state != CONFIRMED or item.change_number is None:
            raise Conflict(
                "import-not-confirmed",
                "这次导入没有生效，或已经撤销。",
                "This import is not in force or has been undone.",
            )
        later = session.exec(
            select(func.max(DataChange.number)).where(
                DataChange.number > item.change_number,
                DataChange.kind != "undo",
                col(DataChange.undone_by).is_(None),
            )
        ).one()
        if later is not None:
            raise Conflict(
                "later-change-stands",
                f"之后还有第 {later} 次数据变动，请先撤销它。",
                f"Change {later} came later; undo it first.",
                change=later,
            )
        rows = unlearn_change(session, item.change_number, number)
        change = session.get(DataChange, item.change_number)
        if change is not None:
            change.undone_by = number
            session.add(change)
        session.add(
            DataChange(number=number, kind="undo", at=node.clock(), account_id=actor.account_id, import_id=import_id)
        )
        item.state = UNDONE
        session.add(item)
        write_audit(
            session,
            account_id=actor.account_id,
            action="data.undo",
            subject=import_id,
            at=node.clock(),
            change=number,
            rows=rows,
        )
    return number


def list_imports(node: Node, actor: Actor) -> list[ImportFile]:
    """Return all imports, newest first."""
    check_permission(actor, "data.import")
    with node.database.read() as session:
        return list(session.exec(select(ImportFile).order_by(col(ImportFile.created_at).desc())).all())


def list_mappings(node: Node, actor: Actor) -> list[SourceMapping]:
    """Return the mappings kept, by source."""
    check_permission(actor, "data.import")
    with node.database.read() as session:
        return list(session.exec(select(SourceMapping).order_by(SourceMapping.source)).all())


def forget_mapping(node: Node, actor: Actor, source: str) -> None:
    """Forget the mapping of a source; raise InputRefused where there is none."""
    check_permission(actor, "data.import")
    with node.database.write() as session:
        mapping = session.get(SourceMapping, source)
        if mapping is None:
            raise InputRefused("mapping-missing", "没有这个来源的对应关系。", "There is no mapping of this source.")
        session.delete(mapping)
        which = f"source:{sha256(source.encode()).hexdigest()[:16]}"  # a source is named by whoever keeps it
        write_audit(session, account_id=actor.account_id, action="data.mapping-forget", subject=which, at=node.clock())


def with_columns(answers: Answers, columns: Mapping[str, str]) -> Answers:
    """Return the answers with more about columns."""
    return replace(answers, columns={**answers.columns, **columns})


def _dump(answers: Answers) -> str:
    return json.dumps(
        {
            "columns": dict(answers.columns),
            "values": {name: dict(words) for name, words in answers.values.items()},
            "unknown_columns": answers.unknown_columns,
            "match_zeros": answers.match_zeros,
        },
        ensure_ascii=False,
    )


def _get(session: Session, import_id: str) -> ImportFile:
    item = session.get(ImportFile, import_id)
    if item is None:
        raise InputRefused("import-unknown", "没有这次导入。", "There is no such import.")
    return item


def _get_staged(session: Session, import_id: str) -> ImportFile:
    item = _get(session, import_id)
    if item.state != STAGED:
        raise Conflict("import-not-staged", "这次导入已经结束。", "This import has ended already.", state=item.state)
    return item
