"""How much of a request's body is taken in: refused by its announced length, else as soon as more has come."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request

from federation.errors import InputRefused

_FORM_BYTES = 1_000_000  # what a form holds beside its file


def bounded(request: Request, *, files: bool = True) -> Request:
    """Return the request with a body of at most `intake.max_bytes` and a form around it; raise InputRefused.

    Without `files` there is room for a form alone: nobody who is not signed in sends more.
    """
    limit = (request.app.state.node.settings.intake.max_bytes if files else 0) + _FORM_BYTES
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(int(announced), limit)
    return Request(request.scope, _count(request.receive, limit))


def _count(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], limit: int
) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    taken = 0

    async def count() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _too_large(taken, limit)
        return message

    return count


def _too_large(size_bytes: int, limit: int) -> InputRefused:
    if limit == _FORM_BYTES:
        return InputRefused("body-too-large", "请求过大。", f"The body is larger than {limit} bytes.")
    return InputRefused(
        "file-too-large",
        f"文件 {size_bytes // 1_000_000} MB，超过上限 {(limit - _FORM_BYTES) // 1_000_000} MB。"
        "请拆分，或由管理员调高 intake.max_bytes。",
        f"The file has {size_bytes // 1_000_000} MB, more than the limit of {(limit - _FORM_BYTES) // 1_000_000} MB. "
        "Split it, or let the administrator raise intake.max_bytes.",
    )
