"""What every page shares: the edge, the template engine, and one way to answer.

A page module has a router with `route_class=PageRoute`, endpoints that take `VisitorOf` (and `FormOf`), call the same
services as command and API, and end with `page(...)` or `see_other(...)`. The edge checks the token of every form
before the endpoint runs, sets the headers, and turns every error into a page in the visitor's language.

    router = APIRouter(route_class=PageRoute)

    @router.get("/things")
    def things(request: Request, visitor: VisitorOf) -> Response:
        return page(request, "things.html", things=service.list_things(visitor.node, visitor.account))
"""

import hashlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from federation.errors import GonghuiError, InputRefused, StorageError, Text
from node.audit.events import NETWORK
from node.audit.tally import count_event
from node.http.limits import bounded
from node.http.problems import count_refusal, status_of, told
from node.web.messages import DONE
from node.web.navigation import choices_of, menu_of
from node.web.subjects import subjects_of
from node.web.visitors import SignInNeeded, Visitor, check_form, keep_choices, load_guest, load_visitor

CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
MAX_FIELDS = 50_000  # leavers are ticked one by one, and a college has thousands of staff
_STATIC = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}


class Form:
    """The fields of a form as they were sent."""

    def __init__(self, data: FormData) -> None:
        self.data = data

    def text(self, name: str, default: str = "") -> str:
        """Return a field; `default` where it is not there."""
        value = self.data.get(name)
        return value.strip() if isinstance(value, str) else default

    def raw(self, name: str) -> str:
        """Return a field exactly as typed, as a password needs it."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""

    def all(self, name: str) -> list[str]:
        """Return every value of a field that may be ticked more than once."""
        return [value for value in self.data.getlist(name) if isinstance(value, str)]

    def file(self, name: str) -> UploadFile:
        """Return a file; raise InputRefused where none was chosen."""
        value = self.data.get(name)
        if not isinstance(value, UploadFile) or not value.filename:
            raise InputRefused("file-missing", "请先选择文件。", "Choose a file first.")
        return value


async def _form(request: Request) -> Form:
    form: Form = request.state.form
    return form


FormOf = Annotated[Form, Depends(_form)]


class PageRoute(APIRoute):
    """A route that answers with a page, whatever happens."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            failure: StorageError | None = None
            try:
                visitor = await run_in_threadpool(load_visitor, request)
            except StorageError as error:  # the page that says so needs no database
                visitor, failure = load_guest(request), error
            request.state.visitor = visitor
            try:
                if failure is not None:
                    raise failure  # noqa: TRY301  the edge below turns it into a page
                request = bounded(request, files=visitor.actor is not None)
                if request.method == "POST":
                    request.state.form = Form(await request.form(max_fields=MAX_FIELDS))
                    check_form(visitor, request.state.form.text("csrf"))
                response = await inner(request)
                _count_read(request, visitor)
            except SignInNeeded:
                response = see_other(f"/sign-in?next={quote(_come_back_to(request), safe='')}")
            except Exception as error:  # noqa: BLE001  the HTTP edge: a stranger learns nothing of our insides
                refused = told(error)
                count_refusal(request, refused, visitor.actor.account_id if visitor.actor else NETWORK)
                response = await run_in_threadpool(error_page, request, refused)
            finally:
                await request.close()
            keep_choices(request, response, visitor)
            response.headers.update({**HEADERS, **({} if "cache-control" in response.headers else _NOT_KEPT)})
            return response

        return handle


def _count_read(request: Request, visitor: Visitor) -> None:
    """Count a page that was shown to an account, by its route alone."""
    if request.method == "GET" and visitor.actor is not None:
        count_event(
            visitor.node.database,
            visitor.node.clock(),
            account_id=visitor.actor.account_id,
            action="read.page",
            subject=getattr(request.scope.get("route"), "path", ""),
            may_write=False,  # this is the event loop
        )


_NOT_KEPT = {"Cache-Control": "no-store"}  # pages show persons; nothing of them stays in a browser's cache


def _come_back_to(request: Request) -> str:
    """Return where to go after the sign-in: the page asked for, or the one that a form stood on."""
    if request.method == "GET":
        return request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/"


def see_other(path: str, done: str = "") -> Response:
    """Lead the browser on, with what was done (a key of `messages.DONE`) told on the next page."""
    if done:
        path += ("&" if "?" in path else "?") + f"done={done}"
    return RedirectResponse(path, 303)


def local_path(text: str) -> str:
    """Return `text` where it is a path of this node, else the home page: no address leads elsewhere."""
    local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if local else "/"


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Answer with a template; it sees `values`, the visitor, and what `_shared` gives: `t(zh, en)`, `say(text)`, ..."""
    visitor: Visitor = request.state.visitor
    return HTMLResponse(_engine().get_template(template).render(**_shared(request, visitor), **values), status)


def error_page(request: Request, error: GonghuiError) -> Response:
    """Answer with an error in the visitor's language. Also for addresses that no page route has taken."""
    if not hasattr(request.state, "visitor"):
        try:
            request.state.visitor = load_visitor(request)
        except StorageError:
            request.state.visitor = load_guest(request)
    response = page(request, "error.html", status_of(error), error=error)
    if "retry_after_seconds" in error.params:
        response.headers["Retry-After"] = str(error.params["retry_after_seconds"])
    return response


def _shared(request: Request, visitor: Visitor) -> dict[str, Any]:
    language = visitor.language
    zone = ZoneInfo(visitor.node.settings.node.timezone)

    def translate(zh: str, en: str) -> str:
        return Text(zh, en).in_language(language)

    def when(at: datetime | None, shape: str = "%Y-%m-%d %H:%M") -> str:
        return at.astimezone(zone).strftime(shape) if at else "—"

    return {
        "visitor": visitor,
        "language": language,
        "node_name": visitor.node.settings.node.name,
        "t": translate,
        "say": lambda text: text.in_language(language),
        "when": when,
        "ago": lambda seconds: ago(seconds, language),
        "about": subjects_of(visitor),
        "menu": menu_of(visitor, request.url.path),
        "federations": choices_of(visitor, request.url.path),
        "here": request.url.path,
        "other_language": str(request.url.include_query_params(lang="en" if language == "zh" else "zh").query),
        "done": DONE.get(request.query_params.get("done", "")),
        "static": static_path,
    }


def ago(seconds: float | None, language: str) -> str:
    """Return a length of time as people say it: `3 小时`."""
    if seconds is None:
        return "—"
    for size, zh, en in ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= size:
            return f"{round(seconds / size)} {Text(zh, en).in_language(language)}"
    return Text("不到 1 分钟", "less than 1 min").in_language(language)


@cache
def _engine() -> Environment:
    return Environment(
        loader=PackageLoader("node.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _static(name: str) -> bytes:
    return files("node.web").joinpath("static", name).read_bytes()


@cache
def static_path(name: str) -> str:
    """Return the address of a file of ours; it changes with its content, so that browsers may keep it for good."""
    return f"/static/{name}?v={hashlib.sha256(_static(name)).hexdigest()[:12]}"


router = APIRouter()  # no visitor and no cookie: anybody's cache may keep these


@router.get("/static/{name}")
def static(name: str) -> Response:
    """Answer with style or script."""
    if name not in _STATIC:
        raise HTTPException(404)
    headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_static(name), media_type=_STATIC[name], headers=headers)
