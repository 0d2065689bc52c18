"""A peer's whole application as another's transport: real requests, real answers, no socket."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx


class _Body(httpx.SyncByteStream):
    """A body that is read as from a wire: raw and in pieces."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.content), 65_536):
            yield self.content[start : start + 65_536]


class AppTransport(httpx.BaseTransport):
    """Run an ASGI application for each request; `fault(request)` may answer or raise in its place."""

    def __init__(self, app: Any, fault: Any = None) -> None:
        self.app = app
        self.fault = fault

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.fault is not None and (answer := self.fault(request)) is not None:
            return answer  # type: ignore[no-any-return]
        run = partial(asyncio.run, self._run(request, request.read()))
        with ThreadPoolExecutor(1) as thread:  # a browser's loop may be running in this one
            return thread.submit(run).result()

    async def _run(self, request: httpx.Request, body: bytes) -> httpx.Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": (request.url.host, request.url.port or 80),
        }
        sent: list[dict[str, Any]] = []
        given = False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if given:
                await asyncio.sleep(3600)
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], stream=_Body(content))
