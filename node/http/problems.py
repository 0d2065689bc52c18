"""Refusals over HTTP: RFC 9457 problem documents with a stable `code`, both languages, and nothing personal.

What was sent is never echoed: a validation error names the fields and not their values.
"""

import logging
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from federation.errors import GonghuiError, InputRefused, NotPermitted, TrustError
from node.audit.events import NETWORK
from node.audit.tally import count_event
from node.context import Node
from node.http.limits import bounded

_STATUS = {
    "body-too-large": 413,
    "file-too-large": 413,
    "envelope-too-large": 413,
    "encoding-unsupported": 415,
    "envelope-shape": 400,
    "page-shape": 400,
    "request-outdated": 409,
    "request-replayed": 409,
    "request-malformed": 400,
    "server-busy": 503,
    "token-missing": 401,
    "token-unknown": 401,
    "sign-in-failed": 401,
    "sign-in-locked": 429,
    "address-unknown": 404,
    "method-not-allowed": 405,
    "account-unknown": 404,
    "import-unknown": 404,
    "notice-unknown": 404,
    "peer-unknown": 404,
    "record-unknown": 404,
    "release-unknown": 404,
}
_LOG = logging.getLogger(__name__)


def status_of(error: GonghuiError) -> int:
    """Return the HTTP status of an error: that of its code, else that of its class."""
    return _STATUS.get(error.code, error.http_status)


def problem(error: GonghuiError) -> JSONResponse:
    """Return the problem document of an error; clock refusals carry `server_time` and `skew_seconds`."""
    status = status_of(error)
    body = {
        **error.params,
        "type": f"urn:gonghui:problem:{error.code}",
        "title": error.text.en,
        "title_zh": error.text.zh,
        "status": status,
        "code": error.code,
    }
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after_seconds" in error.params:
        headers["Retry-After"] = str(error.params["retry_after_seconds"])
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def told(error: Exception) -> GonghuiError:
    """Return what a person is told of any failure while a request is answered: the HTTP edge."""
    if isinstance(error, GonghuiError):
        return error
    if isinstance(error.__cause__, GonghuiError):  # raised while the framework read the body
        return error.__cause__
    if isinstance(error, RequestValidationError):
        fields = sorted({".".join(str(part) for part in item["loc"][1:]) for item in error.errors()})
        return InputRefused(
            "request-invalid",
            f"请求缺少内容或内容不对：{'、'.join(fields)}。",
            f"The request lacks something or it is wrong: {', '.join(fields)}.",
            fields=fields,
        )
    if isinstance(error, HTTPException):
        return _of_status(error.status_code)
    if isinstance(error, DataError):  # NUL in a text, a number beyond its column: one database takes it, another not
        return InputRefused(
            "value-unstorable",
            "提交的内容含有无法保存的字符（如空字符）或过大的数。",
            "What was sent holds a character (such as NUL) or a number that cannot be stored.",
        )
    _LOG.error("request failed: %s at %s", type(error).__name__, place_of(error))
    return GonghuiError("internal", "内部错误。", "Internal error.")


def place_of(error: BaseException) -> str:
    """Return file and line where an error was raised, without its words: they may hold a person's data."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _of_status(status: int) -> GonghuiError:
    if status == 404:
        return InputRefused("address-unknown", "没有这个地址。", "There is nothing at this address.")
    if status == 405:
        return InputRefused("method-not-allowed", "此地址不接受这种请求。", "This address does not take such requests.")
    return InputRefused("request-malformed", "请求的格式不对。", "The request is malformed.")


def count_refusal(request: Request, error: GonghuiError, account_id: str) -> None:
    """Count a refused access for the audit trail: by route and code, never by what was sent."""
    if not isinstance(error, NotPermitted | TrustError):
        return
    node: Node = request.app.state.node
    route = getattr(request.scope.get("route"), "path", "")
    action = "read.refuse" if route.startswith("/exchange/") else "access.refuse"
    count_event(
        node.database,
        node.clock(),
        account_id=account_id,
        action=action,
        subject=route,
        result=error.code,
        may_write=False,  # this is the event loop
    )


class ProblemRoute(APIRoute):
    """A route whose every failure is a problem document: the HTTP edge of exchange and API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(bounded(request))
            except Exception as error:  # noqa: BLE001  the HTTP edge: a stranger learns nothing of our insides
                failure = told(error)
                count_refusal(request, failure, getattr(request.state, "account_id", NETWORK))
                return problem(failure)

        return handle
