"""Event notices on screen: list, one event, form with preview, cancellation, and the calendar address."""

from dataclasses import asdict, replace

from fastapi import APIRouter, Request, Response

from federation.errors import GonghuiError, InputRefused
from node.access.permissions import check_permission
from node.activities import service
from node.activities.calendar import has_feed, issue_feed, revoke_feed
from node.activities.draft import EXPIRED, KINDS, PUBLISHED, Draft, find_problems, kind_of
from node.http.problems import status_of
from node.web.addresses import own_url
from node.web.pages import Form, FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(prefix="/notices", route_class=PageRoute)
ZONES = ("Asia/Shanghai", "Asia/Urumqi", "Asia/Hong_Kong", "Asia/Macau", "Asia/Taipei")


@router.get("")
def list_notices(request: Request, visitor: VisitorOf) -> Response:
    """List what is coming; what is over on wish."""
    past = request.query_params.get("past") == "yes"
    with visitor.node.database.read() as session:
        found = service.list_notices(session, visitor.node, visitor.account, past=past)
        feed = has_feed(session, visitor.account)
    if past:
        found = [
            shown for shown in reversed(found) if shown.state == EXPIRED or shown.notice.ends_at < visitor.node.clock()
        ]
    return page(request, "notices.html", notices=found, kinds=KINDS, past=past, feed=feed)


@router.get("/new")
def new_notice(request: Request, visitor: VisitorOf) -> Response:
    """Show an empty form."""
    check_permission(visitor.account, "notice.write")
    draft = Draft("", "", "", "", zone=visitor.node.settings.node.timezone)
    return _ask(request, draft)


@router.post("/new")
def publish(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Show how it will look, or publish what was shown."""
    check_permission(visitor.account, "notice.write")
    draft = _read(form)
    if form.text("step") != "publish" or find_problems(draft):
        return _look(request, visitor, draft)
    service.publish(visitor.node.within(""), visitor.account, draft)
    return see_other("/notices", "notice-published")


@router.post("/feed")
def feed(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Make a new calendar address, shown this once, or let it die."""
    if form.text("step") == "revoke":
        revoke_feed(visitor.node, visitor.account)
        return see_other("/notices", "feed-revoked")
    url = own_url(request, visitor.node) + issue_feed(visitor.node, visitor.account)
    return page(request, "notice-feed.html", url=url)


@router.get("/{notice_id}/edit")
def edit(request: Request, visitor: VisitorOf, notice_id: str) -> Response:
    """Show the form of an event of ours."""
    check_permission(visitor.account, "notice.write")
    held = _get(visitor, notice_id)
    return _ask(request, service.draft_of(held.notice), notice=held)


@router.post("/{notice_id}/edit")
def update(request: Request, visitor: VisitorOf, notice_id: str, form: FormOf) -> Response:
    """Show how it will look, or publish the change that was shown."""
    check_permission(visitor.account, "notice.write")
    held, draft = _get(visitor, notice_id), _read(form)
    revision = form.text("revision")
    if form.text("step") != "publish" or find_problems(draft) or not revision.isdecimal():
        return _look(request, visitor, draft, notice=held)
    service.update(visitor.node.within(""), visitor.account, notice_id, draft, revision=int(revision[:9]))
    return see_other(f"/notices/{visitor.node.node_id}/{notice_id}", "notice-updated")


@router.post("/{notice_id}/cancel")
def cancel(visitor: VisitorOf, notice_id: str, form: FormOf) -> Response:
    """Cancel an event of ours, for good."""
    service.cancel(visitor.node.within(""), visitor.account, notice_id, form.text("note"))
    return see_other(f"/notices/{visitor.node.node_id}/{notice_id}", "notice-cancelled")


@router.get("/{origin}/{notice_id}")
def show(request: Request, visitor: VisitorOf, origin: str, notice_id: str) -> Response:
    """Show one event, ours or another node's."""
    shown = _get(visitor, notice_id, origin)
    return page(request, "notice.html", shown=shown, kinds=KINDS, changeable=_changeable(visitor, shown))


def _changeable(visitor: Visitor, shown: service.Shown) -> bool:
    return shown.own and shown.state == PUBLISHED and visitor.may("notice.write")


def _get(visitor: Visitor, notice_id: str, origin: str = "") -> service.Shown:
    with visitor.node.database.read() as session:
        return service.get_notice(session, visitor.node, visitor.account, notice_id, origin)


def _read(form: Form) -> Draft:
    typed = {name: form.text(name) for name in Draft.__dataclass_fields__ if name != "seats"}
    seats = form.text("seats") or "0"
    number = int(seats) if seats.isdecimal() and len(seats) < 9 else -1
    typed["starts"], typed["ends"] = typed["starts"][:16], typed["ends"][:16]  # some browsers add seconds
    return Draft(**typed, seats=number)


def _ask(
    request: Request,
    draft: Draft,
    *,
    notice: service.Shown | None = None,
    error: GonghuiError | None = None,
    status: int = 200,
) -> Response:
    problems = find_problems(draft) if error else {}
    zones = tuple(dict.fromkeys((draft.zone or ZONES[0], *ZONES)))
    return page(
        request,
        "notice-form.html",
        status,
        draft=draft,
        values=asdict(draft),
        notice=notice,
        problems=problems,
        error=error,
        kinds=KINDS,
        zones=zones,
    )


def _look(request: Request, visitor: Visitor, draft: Draft, *, notice: service.Shown | None = None) -> Response:
    """Show the preview of a sound draft; else the form again, with every problem at its field."""
    draft = replace(draft, kind=kind_of(draft.kind))
    if find_problems(draft):
        error = InputRefused("notice-incomplete", "请改正标出的内容。", "Mend what is marked.")
        return _ask(request, draft, notice=notice, error=error, status=status_of(error))
    return page(
        request, "notice-preview.html", draft=draft, values=asdict(draft), notice=notice, kinds=KINDS,
        office=visitor.node.settings.node.name,
    )  # fmt: skip
