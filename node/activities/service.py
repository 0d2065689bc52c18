"""Event notices: publish, update, cancel, and take over what others say.

A notice is a chain of signed revisions of one subject in the stream for everybody. Cancelled is final: a later
revision that says otherwise is refused, by its own node and by every other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from federation.acceptance import ALL
from federation.errors import Conflict, InputRefused, NotPermitted
from federation.keys import new_identifier
from node.access.permissions import Actor, check_permission
from node.activities.draft import (
    CANCELLED,
    DISPUTED,
    EXPIRED,
    PUBLISHED,
    Draft,
    check_draft,
    local_time,
    read_content,
    write_content,
    written_time,
)
from node.activities.models import Notice
from node.audit import write_audit
from node.context import Node
from node.stream.listed import find_grants
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.parents import list_meant
from node.stream.sealed import own_member
from node.stream.service import append_record, get_federation, list_federations

KIND = "notice"
# (state now, what is asked) -> state then; what is missing is refused
TRANSITIONS = {
    (PUBLISHED, "update"): PUBLISHED,
    (PUBLISHED, "cancel"): CANCELLED,
}


@dataclass(frozen=True)
class Shown:
    """A notice as somebody sees it at one moment. `state` is published, cancelled or expired; `own`: of this node."""

    notice: Notice
    state: str
    office: str
    own: bool

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts; times as they were written, in the notice's zone."""
        notice = self.notice
        fields = ("id", "origin", "revision", "title", "kind", "place", "zone", "who", "seats", "contact", "details")
        return {
            **{name: getattr(notice, name) for name in fields},
            "office": self.office,
            "state": self.state,
            "record": notice.record_id,
            "starts": written_time(notice.starts_at, notice.zone),
            "ends": written_time(notice.ends_at, notice.zone),
            "note": notice.note,
        }


def state_of(notice: Notice, at: datetime) -> str:
    """Return the state at a moment: what is over has expired, unless it was cancelled."""
    return EXPIRED if notice.state == PUBLISHED and notice.ends_at <= at else notice.state


def publish(node: Node, actor: Actor, draft: Draft) -> Notice:
    """Sign a new notice for everybody; raise InputRefused with all problems of the draft."""
    check_permission(actor, "notice.write")
    check_draft(draft)
    with node.database.write() as session:
        meant = list_meant(session, node) or [get_federation(session, node)]
        asking = [one for one in meant if _may_say(session, node, one)] or meant[:1]
        places = dict.fromkeys(one.id for one in asking)
        return _append(session, node, actor, new_identifier("e"), places, draft, PUBLISHED)


def update(node: Node, actor: Actor, notice_id: str, draft: Draft, *, revision: int | None = None) -> Notice:
    """Sign the next revision; raise Conflict where it is cancelled, over, or no longer at `revision`."""
    check_permission(actor, "notice.write")
    check_draft(draft)
    with node.database.write() as session:
        places = _get_changeable(session, node, notice_id, "update", revision)
        return _append(session, node, actor, _subject(notice_id), places, draft, PUBLISHED)


def cancel(node: Node, actor: Actor, notice_id: str, note: str = "") -> Notice:
    """Sign the cancellation, which is final; raise Conflict where it is cancelled already, or over."""
    check_permission(actor, "notice.write")
    with node.database.write() as session:
        places = _get_changeable(session, node, notice_id, "cancel", None)
        draft = draft_of(next(iter(places.values())), note=note)
        check_draft(draft)
        return _append(session, node, actor, _subject(notice_id), places, draft, CANCELLED)


def draft_of(notice: Notice, **changes: Any) -> Draft:
    """Return the fields of a notice as an officer would write them, with changes."""
    fields = {name: getattr(notice, name) for name in ("title", "place", "kind", "zone", "who", "seats", "contact")}
    times = {name: written_time(getattr(notice, f"{name}_at"), notice.zone) for name in ("starts", "ends")}
    return Draft(**{**fields, **times, "details": notice.details, "note": "", **changes})


def list_notices(session: Session, node: Node, actor: Actor, *, past: bool = True) -> list[Shown]:
    """Return what is known, soonest first; `past=False` leaves out what is over. Raises NotPermitted."""
    check_permission(actor, "notice.read")
    statement = select(Notice).where(Notice.state != DISPUTED)
    if not past:
        statement = statement.where(col(Notice.ends_at) > node.clock())
    offices = {(one, peer): name for one, peer, name in session.exec(select(Peer.federation, Peer.id, Peer.name)).all()}
    return [
        _show(node, notice, offices.get((notice.federation, notice.origin), ""))
        for notice in session.exec(statement.order_by(col(Notice.starts_at), col(Notice.id))).all()
        if notice.origin != node.node_id or "@" not in notice.id  # our own is said once, wherever it went
    ]


def get_notice(session: Session, node: Node, actor: Actor, notice_id: str, origin: str = "") -> Shown:
    """Return one notice, our own unless `origin` is given; raise NotPermitted, or InputRefused where there is none."""
    check_permission(actor, "notice.read")
    notice = session.get(Notice, (origin or node.node_id, notice_id))
    if notice is None or notice.state == DISPUTED:
        raise InputRefused("notice-unknown", "没有这个活动通知。", "There is no such notice.")
    peer = session.get(Peer, (notice.federation, notice.origin))
    return _show(node, notice, peer.name if peer else "")


def _show(node: Node, notice: Notice, office: str) -> Shown:
    own = notice.origin == node.node_id
    return Shown(notice, state_of(notice, node.clock()), node.settings.node.name if own else office, own)


def take_notice(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
    """Make an accepted record the current state of its notice; raise InputRefused for what must not follow."""
    state, draft = read_content(content)
    identity, held = _find(session, record.federation, record.origin, record.subject)
    if held is not None and held.revision >= record.revision and held.state != DISPUTED:
        return  # an older revision, tried again later: the newer one stands
    if held is not None and held.state == CANCELLED and state != CANCELLED:
        raise InputRefused("notice-cancelled", "该通知已取消，不能恢复。", "The notice was cancelled; that is final.")
    values = {name: getattr(draft, name) for name in Draft.__dataclass_fields__ if name not in {"starts", "ends"}}
    session.merge(
        Notice(
            origin=record.origin,
            id=identity,
            federation=record.federation,
            record_id=record.id,
            revision=record.revision,
            state=state,
            starts_at=local_time(draft.starts, draft.zone),
            ends_at=local_time(draft.ends, draft.zone),
            issued_at=record.issued_at,
            **values,
        )
    )
    session.flush()


def withdraw_notice(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG001
    """Hide a notice whose origin signed two different things for one place."""
    _, held = _find(session, record.federation, record.origin, record.subject)
    if held is not None and held.record_id == record.id:
        held.state = DISPUTED
        session.add(held)
        session.flush()


def _subject(notice_id: str) -> str:
    return notice_id.partition("@")[0]


def _find(session: Session, federation_id: str, origin: str, subject: str) -> tuple[str, Notice | None]:
    """Return under which id a notice is kept, and the notice held there: what one parent says touches no other's."""
    held = session.get(Notice, (origin, subject))
    if held is None or held.federation == federation_id:
        return subject, held
    identity = f"{subject}@{federation_id}"
    return identity, session.get(Notice, (origin, identity))


def _may_say(session: Session, node: Node, federation: Federation) -> bool:
    grants = find_grants(session, federation.id)
    return grants is None or grants.may_say(own_member(session, node, federation), KIND)


def _get_changeable(
    session: Session, node: Node, notice_id: str, asked: str, revision: int | None
) -> dict[str, Notice]:
    """Return a notice of ours in each federation where it stands; raise NotPermitted, InputRefused, Conflict."""
    found = {one.id: _find(session, one.id, node.node_id, _subject(notice_id))[1] for one in list_federations(session)}
    places = {federation: notice for federation, notice in found.items() if notice is not None}
    if not places:
        if session.exec(select(Notice).where(Notice.id == notice_id)).first() is not None:
            raise NotPermitted(
                "notice-not-ours", "只能改动本单位的活动通知。", "Only a notice of this node can be changed."
            )
        raise InputRefused("notice-unknown", "没有这个活动通知。", "There is no such notice.")
    held = next(iter(places.values()))
    state = state_of(held, node.clock())
    if (state, asked) not in TRANSITIONS:
        zh, en = ("已取消", "cancelled") if state == CANCELLED else ("已结束", "over")
        raise Conflict(f"notice-{state}", f"该活动{zh}，不能再改动。", f"The event is {en} and cannot be changed.")
    if revision is not None and revision != held.revision:
        raise Conflict("notice-changed", "他人刚改过这个通知，请刷新后重试。", "Somebody has changed it; reload first.")
    return places


def _append(
    session: Session,
    node: Node,
    actor: Actor,
    notice_id: str,
    places: Mapping[str, Notice | None],
    draft: Draft,
    state: str,
) -> Notice:
    """Sign the same bytes in each of these federations, after what stands there, and return the notice."""
    content = write_content(draft, state)
    fields = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
    for federation_id, held in places.items():
        record = append_record(
            session,
            node,
            federation=federation_id,
            stream=ALL,
            kind=KIND,
            subject=notice_id,
            revision=held.revision + 1 if held else 1,
            supersedes=held.record_id if held else "",
            schema="notice.v1",
            content=content,
        )
        take_notice(session, record, {"state": state, **fields})
    action = "notice.cancel" if state == CANCELLED else "notice.update" if held else "notice.publish"
    write_audit(
        session,
        account_id=actor.account_id,
        action=action,
        subject=notice_id,
        at=node.clock(),
        revision=record.revision,
    )
    return session.get_one(Notice, (node.node_id, notice_id))
