"""Sticks on screen: a bundle out, a bundle looked at or taken in; and what could not be delivered, with its reason.

A file is looked at first: what it holds, from whom, and the digest that stands on its paper. Taking it in reads it
anew and believes each item by its own signature; nothing that was looked at is kept.
"""

from typing import IO, Any

from fastapi import APIRouter, Request, Response

from federation.errors import GonghuiError, InputRefused
from federation.parcel import EVERYBODY
from federation.spoken import spoken
from node.access.permissions import check_permission
from node.exchange import status
from node.exchange.api import HandlersOf
from node.exchange.bundles import Preview, export_bundle, import_bundle, show_bundle
from node.exchange.explain import explain
from node.exchange.unpacking import Taken
from node.http.problems import status_of
from node.intake.reading import check_size
from node.web.pages import Form, FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)


@router.get("/sticks")
def show(request: Request, visitor: VisitorOf) -> Response:
    """Ask for a reader or a file, and show what could not be delivered."""
    return _page(request, visitor)


@router.post("/sticks/export")
def export(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Answer the bundle for one node, or for everybody."""
    check_permission(visitor.account, "sync.run")
    try:
        bundle = export_bundle(visitor.node, visitor.account, form.text("to") or EVERYBODY)
    except InputRefused as error:
        return _page(request, visitor, error=error)
    to = "all" if bundle.audience == EVERYBODY else bundle.audience[:8]
    headers = {"Content-Disposition": f'attachment; filename="{bundle.origin[:8]}-to-{to}-{bundle.number}.bundle"'}
    return Response(b"".join(bundle.parts()), media_type="application/octet-stream", headers=headers)


@router.post("/sticks/look")
def look(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Show what a bundle holds; nothing is taken in."""
    check_permission(visitor.account, "sync.read")
    try:
        preview = show_bundle(visitor.node, visitor.account, _file(visitor, form))
    except GonghuiError as error:
        return _page(request, visitor, error=error)
    return _page(request, visitor, preview=preview)


@router.post("/sticks/import")
def import_(request: Request, visitor: VisitorOf, handlers: HandlersOf, form: FormOf) -> Response:
    """Take a bundle in, and show what came of it."""
    check_permission(visitor.account, "sync.run")
    try:
        taken = import_bundle(visitor.node, visitor.account, _file(visitor, form), handlers)
    except GonghuiError as error:
        return _page(request, visitor, error=error)
    return _page(request, visitor, taken=taken)


@router.post("/sticks/retry")
def retry(visitor: VisitorOf, form: FormOf) -> Response:
    """Let one undelivered record go again."""
    check_permission(visitor.account, "sync.run")
    number = form.text("item")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise InputRefused("outbox-item-unknown", "没有这样的待发条目。", "Nothing of this kind is in the outbox.")
    status.retry_outbox(visitor.node, visitor.account, [int(number)])
    return see_other("/sticks", "outbox-retried")


def _file(visitor: Visitor, form: Form) -> IO[bytes]:
    file = form.file("file")
    check_size(file.size or 0, visitor.node.settings.intake.max_bytes)
    return file.file


def _page(
    request: Request,
    visitor: Visitor,
    *,
    error: GonghuiError | None = None,
    preview: Preview | None = None,
    taken: Taken | None = None,
) -> Response:
    told: dict[str, Any] = {
        "letters": status.list_outbox(visitor.node, visitor.account),
        "members": [
            item for item in status.list_members(visitor.node, visitor.account) if item["id"] != visitor.node.node_id
        ],
        "error": error,
        "preview": preview,
        "words": spoken(preview.sha256) if preview else "",
        "taken": taken,
    }
    return page(request, "sticks.html", status_of(error) if error else 200, explain=explain, **told)
