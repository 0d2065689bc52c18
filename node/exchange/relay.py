"""The mailbox over HTTP: the one asynchronous endpoint, because a poll waits and threads are few.

    put   {"do": "put", "to": n-…}             the lines of one parcel beside it; answered with what lies there of ours
    take  {"do": "take", "acknowledged": [ids], "wait_seconds": s}     one parcel, line by line, or none after a while

A waiting poll holds no thread and no connection to the database: it sleeps until somebody puts something for it, and
looks again now and then for what another process took in. Threads for the mailbox are counted apart from those of the
other endpoints, so that a hundred polls hold up no pull. One poll a member: a newer one ends the older.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from federation.envelope import join_page, read_envelope, split_page
from federation.errors import Conflict, TrustError
from federation.parcel import check_parcel, peek_audience, read_parcel
from federation.request import Request
from federation.validation import check_schema
from node.context import Node
from node.exchange import mailbox
from node.exchange.serving import EMPTY_PAGE, Page
from node.stream.service import find_member, get_federation

THREADS = 4
MAX_RELAYED_BYTES = 1_200_000  # the largest record in its parcel, and far below the cap of an answer
LOOK_AGAIN_SECONDS = 5.0

T = TypeVar("T")


class Bell:
    """Wakes whoever waits for a parcel in this process; loops of several threads may wait.

    A recipient is a member of one federation (`whose`): under the same id another's list may name somebody else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self._threads: dict[int, CapacityLimiter] = {}

    def ring(self, recipient: str) -> None:
        """Wake the recipient's poll."""
        with self._lock:
            found = self._waiting.get(recipient)
        if found is not None:
            loop, event = found
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # that loop has ended
                return

    def enter(self, recipient: str) -> asyncio.Event:
        """Begin to wait; an older poll of the same member is woken and finds itself replaced."""
        self.ring(recipient)
        event = asyncio.Event()
        with self._lock:
            self._waiting[recipient] = (asyncio.get_running_loop(), event)
        return event

    def holds(self, recipient: str, event: asyncio.Event) -> bool:
        """Tell whether this poll is still the recipient's newest."""
        with self._lock:
            return self._waiting.get(recipient, (None, None))[1] is event

    def leave(self, recipient: str, event: asyncio.Event) -> None:
        """End waiting."""
        with self._lock:
            if self._waiting.get(recipient, (None, None))[1] is event:
                del self._waiting[recipient]

    def waiting(self) -> int:
        """Return how many polls wait now."""
        with self._lock:
            return len(self._waiting)

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Run blocking work in one of the mailbox's own threads."""
        loop = id(asyncio.get_running_loop())
        limiter = self._threads.setdefault(loop, CapacityLimiter(THREADS))
        return await to_thread.run_sync(partial(work, *args), limiter=limiter)


BELL = Bell()


def whose(federation_id: str, member_id: str) -> str:
    """Return under which name a member waits."""
    return f"{federation_id} {member_id}"


async def serve_relay(node: Node, opened: Request, enclosed: list[bytes]) -> tuple[Page, dict[str, Any]]:
    """Answer an opened request to the mailbox; raise TrustError, Conflict, InputRefused or MailboxFull."""
    check_schema("relay.v1", opened.body)
    await BELL.in_thread(_check_hub, node)
    if opened.body["do"] == "put":
        to = await BELL.in_thread(_put, node, opened, enclosed)
        BELL.ring(whose(opened.member.federation, to))
        return EMPTY_PAGE, await BELL.in_thread(_sent, node, opened)
    await BELL.in_thread(_acknowledge, node, opened)
    page, told = await _wait(node, opened, opened.body.get("wait_seconds", 0))
    return page, told | await BELL.in_thread(_sent, node, opened)


async def _wait(node: Node, opened: Request, seconds: int) -> tuple[Page, dict[str, Any]]:
    member = whose(opened.member.federation, opened.member.id)
    event = BELL.enter(member)
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        while True:
            event.clear()
            found = await BELL.in_thread(_next, node, opened)
            left = deadline - asyncio.get_running_loop().time()
            if found is not None or left <= 0 or not BELL.holds(member, event):
                return found or (EMPTY_PAGE, {"parcel": ""})
            try:
                await asyncio.wait_for(event.wait(), min(left, LOOK_AGAIN_SECONDS))
            except TimeoutError:
                continue
    finally:
        BELL.leave(member, event)


def _check_hub(node: Node) -> None:
    with node.database.read() as session:
        if get_federation(session, node).hub_id != node.node_id:
            raise Conflict("not-hub", "只有汇总节点可以这样做。", "Only the hub can do this.")


def _put(node: Node, opened: Request, enclosed: list[bytes]) -> str:
    if not enclosed:
        raise TrustError("parcel-shape", "没有附上包裹。", "No parcel is enclosed.")
    data = join_page(enclosed)
    raw = read_parcel(data)
    said = peek_audience(raw)
    to = str(opened.body.get("to", ""))
    if said["origin"] != opened.member.id or said["audience"] != {"federation": opened.member.federation, "node": to}:
        raise TrustError("parcel-mismatch", "包裹与请求不符。", "The parcel is not what the request says.")
    if raw.files or len(data) > MAX_RELAYED_BYTES:  # what the mailbox could not hand on must not lie in it
        raise TrustError("parcel-too-large", "包裹不宜转交。", "This parcel does not fit an answer of the mailbox.")
    with node.database.write() as session:
        federation = get_federation(session, node)
        check_parcel(raw, lambda keyid: find_member(session, node, federation, keyid), federation.id)
        mailbox.put(session, node, opened.member.id, to, raw.manifest.id, data)
    return to


def _acknowledge(node: Node, opened: Request) -> None:
    taken = opened.body.get("acknowledged", [])
    if taken:
        with node.database.write() as session:
            mailbox.acknowledge(session, opened.member.federation, opened.member.id, taken)


def _next(node: Node, opened: Request) -> tuple[Page, dict[str, Any]] | None:
    with node.database.read() as session:
        federation = get_federation(session, node)
        found = mailbox.take_next(session, federation.id, opened.member.id, set())
    if found is None:
        return None
    lines = [(read_envelope(line).id, line) for line in split_page(found.data)]
    return Page(lines, 0, more=True), {"parcel": found.id, "from": found.sender}


def _sent(node: Node, opened: Request) -> dict[str, Any]:
    """Tell the member what became of its parcels that are not taken yet."""
    with node.database.write(durable=False) as session:
        states = mailbox.list_sent(session, opened.member.federation, opened.member.id)
        mailbox.forget_expired(session, opened.member.federation, opened.member.id)
    return {"sent": states}
