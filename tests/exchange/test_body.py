"""How many large bodies are taken at a time."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import Request

from federation.errors import NetworkError
from node.exchange.body import _FAST, _GRACE_SECONDS, AT_ONCE, LARGE_BYTES, _Body, read_body


def sent(size: int, *, announced: bool = True) -> AsyncIterator[bytes]:
    """Return a body that is read as the server's are."""
    chunks = [b"x" * (size // 2), b"x" * (size - size // 2)]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    headers = [(b"content-length", str(size).encode())] if announced else []
    return read_body(Request({"type": "http", "method": "POST", "headers": headers}, receive))


async def end(body: AsyncIterator[bytes]) -> None:
    with pytest.raises(StopAsyncIteration):
        await anext(body)


@pytest.mark.parametrize("announced", [True, False])
def test_one_large_body_more_is_told_to_come_again_and_a_small_one_is_not(*, announced: bool) -> None:
    async def run() -> None:
        large = LARGE_BYTES + 1
        held = [sent(large, announced=announced) for _ in range(AT_ONCE)]
        assert {len(await anext(body)) for body in held} == {large}
        with pytest.raises(NetworkError, match="server-busy") as refused:
            await anext(sent(large, announced=announced))
        assert refused.value.params["retry_after_seconds"] == 1
        small = sent(LARGE_BYTES)
        assert len(await anext(small)) == LARGE_BYTES
        await end(held.pop())
        after = sent(large, announced=announced)
        assert len(await anext(after)) == large
        for body in (*held, small, after):
            await end(body)

    asyncio.run(run())


def test_what_trickles_in_holds_no_place() -> None:
    body = _Body(announced=LARGE_BYTES + 1, received=LARGE_BYTES, began=100.0)
    assert body.holds_a_place(100.0 + _GRACE_SECONDS / 2)
    assert body.holds_a_place(100.0 + LARGE_BYTES / _FAST * 0.9)
    assert not body.holds_a_place(100.0 + LARGE_BYTES / _FAST * 1.1)
    body.whole = True
    assert body.holds_a_place(1e6), "it is worked on"
    assert not _Body(announced=LARGE_BYTES, whole=True).holds_a_place(0.0)
