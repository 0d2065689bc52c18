"""Refusals over HTTP: RFC 9457 problem documents with a stable `code`, both languages, and nothing personal."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from federation.errors import GonghuiError

_STATUS = {
    "body-too-large": 413,
    "envelope-too-large": 413,
    "encoding-unsupported": 415,
    "envelope-shape": 400,
    "page-shape": 400,
    "request-replayed": 409,
}
_LOG = logging.getLogger(__name__)


def problem(error: GonghuiError) -> JSONResponse:
    """Return the problem document of an error; clock refusals carry `server_time` and `skew_seconds`."""
    status = _STATUS.get(error.code, error.http_status)
    body = {
        **error.params,
        "type": f"urn:gonghui:problem:{error.code}",
        "title": error.text.en,
        "title_zh": error.text.zh,
        "status": status,
        "code": error.code,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


class ProblemRoute(APIRoute):
    """A route whose every failure is a problem document: the HTTP edge of the exchange."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except GonghuiError as error:
                return problem(error)
            except Exception:  # noqa: BLE001  the HTTP edge: a stranger learns nothing of our insides
                _LOG.exception("exchange endpoint failed")
                return problem(GonghuiError("internal", "内部错误。", "Internal error."))

        return handle
