"""Reading a request's body within bounds: bytes as sent, and bytes after decompression."""

import zlib

from fastapi import Request

from federation.errors import InputRefused
from federation.request import MAX_PAGE_BYTES


async def read_body(request: Request) -> bytes:
    """Return the body, decompressed where it says gzip; raise InputRefused beyond 2 MiB, before or after."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise InputRefused(
            "encoding-unsupported", "不支持的内容编码。", "Only gzip or no content encoding is accepted."
        )
    if int(request.headers.get("content-length", "0")) > MAX_PAGE_BYTES:  # a number: the server has seen to that
        raise _too_large()
    unzip = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        try:
            body += unzip.decompress(chunk, MAX_PAGE_BYTES + 1 - len(body)) if unzip else chunk
        except zlib.error as error:
            raise InputRefused("encoding-broken", "gzip 数据损坏。", "The gzip data is broken.") from error
        if received > MAX_PAGE_BYTES or len(body) > MAX_PAGE_BYTES:
            raise _too_large()
    if unzip and not unzip.eof:
        raise InputRefused("encoding-broken", "gzip 数据不完整。", "The gzip data is incomplete.")
    return bytes(body)


def _too_large() -> InputRefused:
    return InputRefused("body-too-large", "请求过大。", f"The body is larger than {MAX_PAGE_BYTES} bytes.")
