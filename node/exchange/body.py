"""Reading a request's body within bounds: bytes as sent, bytes after decompression, and large ones at a time.

Whoever sends large bodies from many connections makes all of them slow, and nobody is known before a body is read. So
of large ones only a few are taken at a time, and the next is told at once to come again; what trickles in holds no
place, since it costs nothing. Small requests never wait for any of this.
"""

import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import Request

from federation.errors import InputRefused, NetworkError
from federation.request import MAX_PAGE_BYTES

LARGE_BYTES = 262_144
AT_ONCE = 4  # large bodies that are read or worked on
_FAST = 1_000_000  # bytes a second; what comes more slowly trickles
_GRACE_SECONDS = 0.1
_BUSY_SECONDS = 1


@dataclass
class _Body:
    announced: int
    received: int = 0
    whole: bool = False
    began: float = field(default_factory=time.monotonic)

    def holds_a_place(self, now: float) -> bool:
        """Tell whether it is large and being read at full speed, or worked on."""
        lasted = now - self.began
        fast = self.whole or lasted < _GRACE_SECONDS or self.received > _FAST * lasted
        return max(self.announced, self.received) > LARGE_BYTES and fast


_bodies: dict[int, _Body] = {}


async def read_body(request: Request) -> AsyncIterator[bytes]:
    """Give the body, decompressed where it says gzip; it counts as under way until the request is answered.

    Raises InputRefused beyond 2 MiB, before or after, and NetworkError (503) where too many large ones are under way.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise InputRefused(
            "encoding-unsupported", "不支持的内容编码。", "Only gzip or no content encoding is accepted."
        )
    body = _Body(int(request.headers.get("content-length", "0")))  # a number: the server has seen to that
    if body.announced > MAX_PAGE_BYTES:
        raise _too_large()
    _check_room(body)
    _bodies[id(body)] = body
    try:
        yield await _read(request, body, unzip=encoding == "gzip")
    finally:
        del _bodies[id(body)]


async def _read(request: Request, body: _Body, *, unzip: bool) -> bytes:
    unpacker = zlib.decompressobj(wbits=31) if unzip else None
    data = bytearray()
    async for chunk in request.stream():
        body.received += len(chunk)
        if body.announced <= LARGE_BYTES < body.received:  # it came without a length
            body.announced = body.received
            _check_room(body)
        try:
            data += unpacker.decompress(chunk, MAX_PAGE_BYTES + 1 - len(data)) if unpacker else chunk
        except zlib.error as error:
            raise InputRefused("encoding-broken", "gzip 数据损坏。", "The gzip data is broken.") from error
        if body.received > MAX_PAGE_BYTES or len(data) > MAX_PAGE_BYTES:
            raise _too_large()
    if unpacker and not unpacker.eof:
        raise InputRefused("encoding-broken", "gzip 数据不完整。", "The gzip data is incomplete.")
    body.whole = True
    return bytes(data)


def _check_room(body: _Body) -> None:
    now = time.monotonic()
    others = (other for other in _bodies.values() if other is not body)
    if body.holds_a_place(now) and sum(other.holds_a_place(now) for other in others) >= AT_ONCE:
        raise NetworkError(
            "server-busy",
            "同时上传的大请求过多，请稍后再试。",
            "Too many large requests at once; come again in a moment.",
            retry_after_seconds=_BUSY_SECONDS,
        )


def _too_large() -> InputRefused:
    return InputRefused("body-too-large", "请求过大。", f"The body is larger than {MAX_PAGE_BYTES} bytes.")
