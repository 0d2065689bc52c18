r"""Releases: all dataflows of one period prepared, looked at, and approved together by somebody else.

    prepare -> draft --approve--> approved --a correction is approved--> superseded
                 \--withdraw--> withdrawn

An approved release may be approved again, for a federation that has not got it (`node.indicators.addressees`).

What is approved are digests of content bytes; the signed records embed exactly these bytes. A published revision never
changes: a correction is the next revision and says why. A release belongs to (period, known_at) for ever.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from federation.catalogue import load_catalogue
from federation.documents import read_object, sha256_hex
from federation.errors import Conflict, GonghuiError, InputRefused, NotPermitted, Text
from federation.keys import new_identifier
from federation.periods import YEAR, Period, read_period
from federation.protection import schema_of
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.db import last_number, lock_number
from node.indicators.addressees import list_due
from node.indicators.budget import check_budget
from node.indicators.compute import compute_figures, load_figures
from node.indicators.drafting import Draft, Order, draft_contents
from node.indicators.frozen import check_not_frozen
from node.indicators.ledger import enter_record
from node.indicators.models import Release, ReleaseItem, ReleaseRecord
from node.indicators.past import digest_of, list_published, load_past
from node.indicators.service import is_over
from node.indicators.texts import STATE
from node.stream.models import Federation, StoredRecord
from node.stream.service import append_record

KIND = "release"
DRAFT, APPROVED, WITHDRAWN, SUPERSEDED = "draft", "approved", "withdrawn", "superseded"
# (state now, what is asked) -> state then; what is missing is refused
TRANSITIONS = {
    (DRAFT, "approve"): APPROVED,
    (DRAFT, "withdraw"): WITHDRAWN,
    (APPROVED, "approve"): APPROVED,  # for a further federation
    (APPROVED, "supersede"): SUPERSEDED,
}
ONE_PERSON = "one-person"
MAX_REASON = 500

Take = Callable[[Session, StoredRecord, dict[str, Any]], None]


def prepare(
    node: Node, actor: Actor, label: str, *, reason: str = "", provisional: bool = False, coarser: bool = False
) -> Release:
    """Compute, protect and keep the draft of a period; raise InputRefused or Conflict with the mend.

    `reason` says why a period that was published already is corrected. `provisional` allows a period that has not
    ended. `coarser` withholds the tables that would show a few persons by their difference to what is public, instead
    of refusing. An older draft of the period that nobody decided about is withdrawn.
    """
    check_permission(actor, "release.prepare")
    period = _releasable(node, label, provisional=provisional)
    reason = reason.strip()
    with node.database.write() as session:
        lock_number(session, "data")  # prepare and approve one after the other: a decision is never overtaken
        check_not_frozen(session, node, period.label)
        published = find_published(session, period.label)
        _check_reason(published, reason)
        revision = published.revision + 1 if published else 1
        check_budget(session, load_catalogue(), period, revision)
        known_at, at = last_number(session, "data"), node.clock()
        figures = load_figures(session, compute_figures(session, period, known_at, at))
        expected = [item.dataflow for item in _items(session, published)] if published else []
        past = load_past(session, node, load_catalogue(), at)
        order = Order(known_at, reason, expected, coarser, revision)
        drafts = draft_contents(session, node, load_catalogue(), period, figures, past.publications, order)
        if published is not None:
            _check_news(session, published, drafts)
        for older in _find(session, period.label, DRAFT):
            _move(session, older, "withdraw")
        release = Release(
            id=new_identifier("r"),
            period=period.label,
            revision=revision,
            known_at=known_at,
            past=past.digest,
            reason=reason,
            lost=max(draft.lost for draft in drafts.values()),
            approval=node.settings.privacy.approval,
            prepared_by=actor.account_id,
            prepared_at=at,
        )
        session.add(release)
        session.flush()
        for dataflow, draft in drafts.items():
            digest = sha256_hex(draft.content)
            session.add(
                ReleaseItem(
                    release_id=release.id,
                    dataflow=dataflow,
                    content=draft.content,
                    digest=digest,
                    explanation=draft.explanation,
                )
            )
        _note(session, actor, "release.prepare", release, at)
        return release


def approve(node: Node, actor: Actor, release_id: str, digests: Iterable[str], *, take: Take) -> list[StoredRecord]:
    """Sign all dataflows of a draft whose content bytes have exactly these digests; return the records.

    Raise NotPermitted for the preparer (unless the office has one person and the release says so), Conflict where
    the draft is decided or other bytes were looked at. `take` is the handler by which this node, too, takes a release
    into its shared figures, in the same transaction.
    """
    check_permission(actor, "release.approve")
    with node.database.write() as session:
        lock_number(session, "data")
        release = get_release(session, actor, release_id)
        _check_state(release, "approve")
        is_first = release.state == DRAFT
        if is_first:
            check_not_frozen(session, node, release.period)
            _check_newest(session, release)
            _check_past(session, node, release)
        _check_second_person(node, actor, release)
        items = _items(session, release)
        if sorted(set(digests)) != sorted(item.digest for item in items):
            raise Conflict(
                "digests-differ",
                "所批准的内容与草稿不一致，可能已重新编制。请重新预览，再批准全部内容。",
                "What is approved is not what the draft holds; look at it again and approve all of it.",
            )
        records = [record for item in items for record in _publish(session, node, release, item, take)]
        if not records:
            raise _decided(release)
        at = node.clock()
        if is_first:
            for older in _find(session, release.period, APPROVED):
                _move(session, older, "supersede")
            _move(session, release, "approve")
            release.approved_by, release.approved_at = actor.account_id, at
        _note(session, actor, "release.approve", release, at)
        return records


def withdraw(node: Node, actor: Actor, release_id: str) -> Release:
    """Give a draft up; raise Conflict where it is decided."""
    check_permission(actor, "release.prepare")
    with node.database.write() as session:
        lock_number(session, "data")
        release = get_release(session, actor, release_id)
        _check_state(release, "withdraw")
        _move(session, release, "withdraw")
        _note(session, actor, "release.withdraw", release, node.clock())
        return release


def list_releases(session: Session, actor: Actor) -> list[Release]:
    """Return all releases, newest first."""
    check_permission(actor, "release.read")
    return list(session.exec(select(Release).order_by(col(Release.prepared_at).desc())).all())


def get_release(session: Session, actor: Actor, release_id: str) -> Release:
    """Return a release; raise InputRefused where there is none."""
    check_permission(actor, "release.read")
    release = session.get(Release, release_id)
    if release is None:
        raise InputRefused(
            "release-unknown", "没有这个发布，请看 gonghui release list。", "No such release; see `release list`."
        )
    return release


def list_items(session: Session, actor: Actor, release: Release) -> list[ReleaseItem]:
    """Return the dataflows of a release, in order of their names."""
    check_permission(actor, "release.read")
    return _items(session, release)


def facts(release: Release) -> dict[str, Any]:
    """Return a release in a line, for a script."""
    names = ("id", "period", "revision", "state", "known_at", "reason", "approval")
    return {**{name: getattr(release, name) for name in names}, "prepared_at": release.prepared_at.isoformat()}


def find_published(session: Session, label: str) -> Release | None:
    """Return the approved release of a period, None before the first."""
    return next(iter(_find(session, label, APPROVED)), None)


def _releasable(node: Node, label: str, *, provisional: bool) -> Period:
    period = read_period(label)
    if period.frequency == YEAR:
        raise InputRefused(
            "period-local",
            "自然年数字只供本单位使用；对外发布请用工会年度，例如 2026U。",
            "Calendar years stay in this node; release a union year such as 2026U.",
        )
    if period.start > node.clock().date():
        raise InputRefused("period-in-future", f"{label} 还没有开始。", f"{label} has not begun.")
    if not is_over(node, period) and not provisional:
        raise InputRefused(
            "period-open",
            f"{label} 到 {period.end} 才结束。要先报暂定数字，请加 --provisional，结束后再更正。",
            f"{label} ends on {period.end}. For provisional figures add --provisional and correct them after its end.",
        )
    return period


def _check_reason(published: Release | None, reason: str) -> None:
    if len(reason) > MAX_REASON:
        raise InputRefused("reason-too-long", f"原因最多 {MAX_REASON} 字。", f"At most {MAX_REASON} characters.")
    if published is not None and not reason:
        raise InputRefused(
            "reason-missing",
            f"{published.period} 已发布过，更正须写明原因（--reason）。",
            f"{published.period} was published already; a correction needs a reason (--reason).",
        )


def _check_news(session: Session, published: Release, drafts: Mapping[str, Draft]) -> None:
    """Raise Conflict where a correction would say nothing new."""
    before = {item.dataflow: _statement(item.content) for item in _items(session, published)}
    if before == {dataflow: _statement(draft.content) for dataflow, draft in drafts.items()}:
        raise Conflict(
            "release-unchanged",
            "与已发布的内容完全相同，不需要更正。",
            "It says what is published already; there is nothing to correct.",
        )


def _statement(content: bytes) -> tuple[Any, ...]:
    told = read_object(content)
    return told["observations"], told["minimum_cell"], told.get("provisional", False)


def _check_state(release: Release, asked: str) -> None:
    if (release.state, asked) not in TRANSITIONS:
        raise _decided(release)


def _decided(release: Release) -> Conflict:
    text = STATE[release.state]
    return Conflict(
        f"release-{release.state}",
        f"这个发布的状态是“{text.zh}”，不能再改动。",
        f"This release is {text.en}; it does not change any more.",
    )


def _check_newest(session: Session, release: Release) -> None:
    """Raise Conflict where another release of the period was approved since this one was prepared."""
    published = find_published(session, release.period)
    if release.revision != (published.revision + 1 if published else 1):
        raise Conflict(
            "release-outdated",
            "编制之后同一期间已有别的发布获批，请重新编制并写明更正原因。",
            "Another release of this period was approved meanwhile; prepare this one again, with its reason.",
        )


def _check_past(session: Session, node: Node, release: Release) -> None:
    """Raise Conflict where anything was published since: the draft was not protected together with it."""
    if release.past != digest_of(list_published(session, node)):
        raise Conflict(
            "release-past",
            "编制之后又发布了别的数据，本草稿没有与它们一起作保密审查。请重新编制。",
            "Something else was published since this was prepared, and it was not protected together with that; "
            "prepare it again.",
        )


def _check_second_person(node: Node, actor: Actor, release: Release) -> None:
    if release.approval != node.settings.privacy.approval:
        raise Conflict(
            "approval-changed",
            "编制之后审批方式的配置改了，请重新编制。",
            "The approval setting has changed since this was prepared; prepare it again.",
        )
    if release.approval != ONE_PERSON and actor.account_id == release.prepared_by:
        raise NotPermitted(
            "approver-is-preparer",
            "编制人不能批准自己编制的发布，请由另一位审批人批准。",
            "The preparer cannot approve; somebody else has to.",
        )


def _publish(session: Session, node: Node, release: Release, item: ReleaseItem, take: Take) -> list[StoredRecord]:
    """Sign one dataflow in each federation that is to get it: the same bytes, a record for each.

    Where one of several cannot get it, nobody does, and the error says which and how the others get it.
    """
    records, due = [], list_due(session, node, item)
    for one in due:
        try:
            records.append(_publish_in(session, node, one, release, item, take))
        except GonghuiError as error:
            if len(due) > 1:
                said, name = error.text, f"{one.name} ({one.id})"
                error.text = Text(
                    f"{said.zh}（{name}；先发给其他联合体：gonghui --federation 名称 release approve …）",
                    f"{said.en} ({name}; to the others first: `gonghui --federation NAME release approve ...`)",
                )
            raise
    return records


def _publish_in(
    session: Session, node: Node, federation: Federation, release: Release, item: ReleaseItem, take: Take
) -> StoredRecord:
    """Sign one dataflow as the next revision of its subject, and take it into our own shared figures."""
    subject = f"{item.dataflow}/{release.period}"
    stream = item.dataflow.partition(".")[2]
    before = find_record(session, node.within(federation.id), subject)
    content = read_object(item.content)
    record = append_record(
        session,
        node,
        federation=federation,
        stream=stream,
        kind=KIND,
        subject=subject,
        revision=before.revision + 1 if before else 1,
        supersedes=before.id if before else "",
        schema=schema_of(content),
        content=item.content,
    )
    take(session, record, content)
    enter_record(session, record)
    session.add(
        ReleaseRecord(release_id=release.id, dataflow=item.dataflow, federation=federation.id, record_id=record.id)
    )
    item.record_id = item.record_id or record.id
    session.add(item)
    return record


def find_record(session: Session, node: Node, subject: str) -> StoredRecord | None:
    """Return this node's newest record of a subject such as `MEM.all/2026U`, in the federation where it speaks."""
    statement = select(StoredRecord).where(
        StoredRecord.origin == node.node_id, StoredRecord.kind == KIND, StoredRecord.subject == subject
    )
    if node.federation:
        statement = statement.where(StoredRecord.federation == node.federation)
    return session.exec(statement.order_by(col(StoredRecord.revision).desc()).limit(1)).first()


def _find(session: Session, label: str, state: str) -> list[Release]:
    return list(session.exec(select(Release).where(Release.period == label, Release.state == state)).all())


def _items(session: Session, release: Release) -> list[ReleaseItem]:
    statement = select(ReleaseItem).where(ReleaseItem.release_id == release.id)
    return list(session.exec(statement.order_by(col(ReleaseItem.dataflow))).all())


def _move(session: Session, release: Release, asked: str) -> None:
    release.state = TRANSITIONS[release.state, asked]
    session.add(release)


def _note(session: Session, actor: Actor, action: str, release: Release, at: datetime) -> None:
    write_audit(
        session,
        account_id=actor.account_id,
        action=action,
        subject=release.id,
        at=at,
        period=release.period,
        revision=release.revision,
        known_at=release.known_at,
    )
