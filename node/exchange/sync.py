"""One round of synchronisation: every peer for itself, under its own lease.

    ping    both keys, both clocks and the way are well; the back-off is cleared. A hub pulls first, and by the answer
            leaves a member of an earlier release alone, which has nothing to tell
    push    what waits in the outbox, at most 50 records and 1 MiB at a time; the signed receipts are kept
    pull    what follows our cursor, page by page: records and cursor in one transaction
    missing what a gap says we lack

A dead or slow peer costs the others nothing; a crash anywhere is mended by running again, because every step is told
apart by ids and sequences, never by having been sent. No transaction is open while the network is waited for.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, bindparam, update
from sqlalchemy import select as core_select
from sqlmodel import Session, col

from federation.acceptance import Verdict
from federation.client import Link
from federation.errors import Conflict, GonghuiError, InputRefused, NetworkError, StorageError, Text, TrustError
from federation.generations import GENERATION
from federation.keys import Member
from federation.request import Answer
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange import recovering
from node.exchange.delivery import any_waits_for, push_outbox
from node.exchange.handing import hand_over_list
from node.exchange.heads import exchange_heads, state_heads, stated_in
from node.exchange.inbox import PULL, Handlers, receive
from node.exchange.links import Connect, link_to, open_client
from node.exchange.membership import publish_members_if_hub
from node.exchange.nonces import refuse_issued_before
from node.exchange.posting import visit_mailbox
from node.exchange.refreshing import note_versions, refresh_list
from node.exchange.revocation import apply_revocations, fetch_proofs
from node.exchange.routes import STICK, list_called
from node.exchange.waiting import find_gaps, may_have_gaps
from node.exchange.witness import exchange_cosignatures
from node.prepared import Prepared
from node.stream.leases import HeldLease, take_lease
from node.stream.memberlist import is_expired, versions_of
from node.stream.models import Federation, Peer
from node.stream.parents import in_each, list_meant
from node.stream.peers import find_peer, get_peer, is_due, member_of, note_contact, note_failure
from node.stream.recovery import COMMAND, begin, end_if_answered, is_recovering, recognise
from node.stream.service import find_federation, get_federation
from node.totals.service import advance

OK, FAILED, WAITING, BUSY = "ok", "failed", "waiting", "busy"
MAX_QUICK, MAX_THREADS = 4, 160  # visits at once: that are quick (more would only wait for each other), and all
PATIENCE_SECONDS = 0.15
MAX_PAGES = 10_000  # of one visit; a peer that always has more is visited again next round
MAX_GAP_REQUESTS = 200
MAX_WAIT_SECONDS = 25  # of one poll: proxies cut what is silent for longer
_GAP_RECORDS = 50
_SETTLED = {str(Verdict.ACCEPTED), str(Verdict.DUPLICATE)}  # leave no gap behind
_OF_PEER = (col(Peer.federation) == bindparam("the_federation")) & (col(Peer.id) == bindparam("peer"))
_PLACE = Prepared(
    core_select(col(Peer.failures), col(Peer.last_error), col(Peer.cursor), col(Federation.hub_id))
    .select_from(Peer)
    .join(Federation, col(Federation.id) == col(Peer.federation))
    .where(_OF_PEER)
)
_READ_UP_TO = Prepared(update(Peer).where(_OF_PEER).values(cursor=bindparam("position")))
_SUCCEEDED = Prepared(
    update(Peer).where(_OF_PEER).values(last_success_at=bindparam("at"), skew_seconds=bindparam("skew"))
)

OnResult = Callable[["PeerResult"], None]


@dataclass(frozen=True)
class PeerResult:
    """What came of visiting one peer. `state`: ok, failed, waiting (back-off), busy (another process is at it)."""

    peer_id: str
    name: str
    state: str
    code: str = ""
    text: Text | None = None
    exit_code: int = 0
    delivered: int = 0  # records of ours that it has receipted
    refused: int = 0  # records of ours that it refused
    received: dict[str, int] = field(default_factory=dict)  # records of others, by verdict
    skew_seconds: int = 0
    seconds: float = 0.0


def result_as_json(result: PeerResult) -> dict[str, Any]:
    """Return what came of visiting one peer, for a script."""
    values = {name: value for name, value in vars(result).items() if name not in {"text", "exit_code"}}
    text = {"message": result.text.en, "message_zh": result.text.zh} if result.text else {}
    return values | text


@dataclass
class _Visit:
    """One peer being visited."""

    node: Node
    handlers: Handlers
    peer: Peer
    lease: HeldLease
    renewed_at: float = field(default_factory=time.monotonic)
    received: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    refused: int = 0
    skew_seconds: int = 0
    met: bool = False  # a verified answer has come
    well: bool = False  # all was done


@dataclass(frozen=True)
class _Start:
    """What a visit must know before it speaks."""

    provider: Member
    versions: dict[str, int]  # of the member list that we hold
    expired: bool
    we_are_hub: bool
    backing_off: bool
    cursor: int  # how far we have read the peer's log
    recovering: bool  # we ask everybody what we signed before we were restored
    outgoing: bool  # something of ours waits for it
    gaps: bool  # something waits here, or is known to be missing


def run_now(
    node: Node,
    actor: Actor,
    handlers: Handlers,
    *,
    only: str = "",
    on_result: OnResult | None = None,
    connect: Connect = open_client,
) -> list[PeerResult]:
    """Run a round by hand: back-off does not hold it up, and it waits its turn. Raise NotPermitted, InputRefused."""
    check_permission(actor, "sync.run")
    with node.database.read() as session:
        meant = list_meant(session, node) or [get_federation(session, node)]
        if only:
            _check_called(session, node, meant, only)
    return run_round(node, handlers, only=only, by_hand=True, on_result=on_result, connect=connect)


def run_round(
    node: Node,
    handlers: Handlers,
    *,
    only: str = "",
    by_hand: bool = False,
    on_result: OnResult | None = None,
    connect: Connect = open_client,
) -> list[PeerResult]:
    """Visit every peer that this node calls, all at once; return one result each, in the order they ended.

    What goes wrong with a peer is its result. Only what is wrong with ourselves is raised. Each federation has its
    round for itself, side by side: a parent that is dead holds up no visit to another.
    """
    results: list[PeerResult] = []
    one_by_one = threading.Lock()

    def ended(result: PeerResult) -> None:
        with one_by_one:
            results.append(result)
            if on_result:
                on_result(result)

    in_each(node, lambda here: _round(here, handlers, connect, ended, only=only, by_hand=by_hand))
    return results


def _check_called(session: Session, node: Node, meant: list[Federation], only: str) -> None:
    """Raise InputRefused where this peer is unknown, or called in none of these federations."""
    known = [one for one in meant if find_peer(session, one.id, only) is not None]
    if not known:
        get_peer(session, meant[0].id, only)
    if not any(only == peer.id for one in known for peer in list_called(session, node, one)):
        raise InputRefused(
            "peer-not-called",
            "本节点不主动联系该对端（无地址、已停用，或由汇总节点转交）。",
            "This node does not call that peer (no address, suspended, or served through the hub).",
        )


def _round(
    node: Node, handlers: Handlers, connect: Connect, ended: OnResult, *, only: str = "", by_hand: bool = False
) -> None:
    """Run the round of the federation in which `node` speaks."""
    if node.settings.exchange.transport != STICK:
        refresh_list(node, handlers, connect=connect, by_hand=by_hand)
    with node.database.write() as session:
        recognise(session, node)
    publish_members_if_hub(node)
    apply_revocations(node, handlers)
    advance(node)
    with node.database.read() as session:
        federation = find_federation(session, node)
        peers = list_called(session, node, federation) if federation else []
    peers = [peer for peer in peers if only in {"", peer.id}]
    if federation is not None and federation.hub_id == node.node_id:
        state_heads(node)  # once for all members, not anew for each one's records

    def visit(peer: Peer) -> PeerResult:
        return _visit(node, handlers, peer, connect, by_hand=by_hand)

    for result in _visit_all(peers, visit):
        ended(result)
    if advance(node):  # by what has come it is our turn in a total: said at once, not a round later
        for _ in _visit_all(peers, visit):
            pass  # whatever fails now is the next round's


def _visit_all(peers: list[Peer], visit: Callable[[Peer], PeerResult]) -> Iterator[PeerResult]:
    """Yield each peer's result as it ends, whoever failed last time visited last.

    A visit that lasts longer than we are patient no longer counts among those that may run at once, so that the dead
    and the slow hold nobody up; all together stay bounded.
    """
    waiting = deque(sorted(peers, key=lambda peer: peer.failures))
    started: dict[Future[PeerResult], float] = {}
    ended: SimpleQueue[Future[PeerResult]] = SimpleQueue()
    with ThreadPoolExecutor(max_workers=MAX_THREADS, thread_name_prefix="sync") as threads:
        while waiting or started:
            now = time.monotonic()
            quick = sum(now - at < PATIENCE_SECONDS for at in started.values())
            while waiting and quick < MAX_QUICK and len(started) < MAX_THREADS:
                future = threads.submit(visit, waiting.popleft())
                started[future] = now
                future.add_done_callback(ended.put)
                quick += 1
            try:
                future = ended.get(timeout=PATIENCE_SECONDS if waiting else None)
            except Empty:
                continue
            del started[future]
            yield future.result()


def recover(node: Node, actor: Actor) -> None:
    """Say that this node was restored from a backup: it signs in no stream whose readers have not answered since.

    Requests of before are refused: the backup does not know which of them were answered. Raise NotPermitted.
    """
    check_permission(actor, "sync.run")
    with node.database.write() as session:
        at = node.clock()
        for federation in list_meant(session, node) or [get_federation(session, node)]:
            begin(session, node, federation.id, COMMAND, anew=True)
            end_if_answered(session, node, federation)  # where nobody reads it
        refuse_issued_before(session.connection(), at, node.settings.exchange.request_window_seconds)
        write_audit(session, account_id=actor.account_id, action="node.recover", subject=node.node_id, at=at)


def poll_mailbox(node: Node, handlers: Handlers, *, connect: Connect = open_client) -> str:
    """Wait at each hub's mailbox for a while and take what comes; return "" or the code of what went wrong."""
    return next(filter(None, in_each(node, lambda here: _poll(here, handlers, connect))), "")


def _poll(node: Node, handlers: Handlers, connect: Connect) -> str:
    with node.database.read() as session:
        federation = find_federation(session, node)
        hub = find_peer(session, federation.id, federation.hub_id) if federation else None
        if hub is None or not hub.url or hub.id == node.node_id or not is_due(session, hub, node.clock()):
            return ""
        provider = member_of(session, hub, node.clock())
    wait = max(0, min(int(node.settings.exchange.read_timeout_seconds) - 5, MAX_WAIT_SECONDS))
    try:
        with connect(node, hub.url) as client:
            visit_mailbox(node, link_to(node, client, provider), handlers, wait_seconds=wait)
    except (NetworkError, TrustError) as error:
        with node.database.write() as session:
            row = session.get_one(Peer, (hub.federation, hub.id))
            wanted = error.params.get("retry_after_seconds", 0)
            note_failure(row, error.code, node.clock(), node.settings.sync, retry_after_seconds=wanted)
            session.add(row)
        return error.code
    return ""


def exit_code_of(results: list[PeerResult]) -> int:
    """Return 5 where trust failed with a peer, 8 where our storage did, 6 where no peer could be reached, else 0."""
    codes = [result.exit_code for result in results]
    for code in (TrustError.exit_code, StorageError.exit_code):
        if code in codes:
            return code
    return max(codes) if codes and all(codes) else 0


def lease_name(peer: Peer) -> str:
    """Return the name of the lease under which a peer is visited."""
    return f"peer:{peer.federation}:{peer.id}"


def _visit(node: Node, handlers: Handlers, peer: Peer, connect: Connect, *, by_hand: bool) -> PeerResult:
    if not by_hand:
        with node.database.read() as session:
            if not is_due(session, peer, node.clock()):
                return PeerResult(peer.id, peer.name, WAITING, peer.last_error)
    lease = _take_turn(node, peer, patient=by_hand)
    if lease is None:
        return PeerResult(peer.id, peer.name, BUSY)
    began = time.monotonic()
    visit = _Visit(node, handlers, peer, lease)
    error: GonghuiError | None = None
    try:
        start = _read_start(visit)
        with connect(node, peer.url) as client:
            _converse(visit, link_to(node, client, start.provider), start)
        visit.well = True
    except GonghuiError as caught:
        error = caught
        _note_failure(visit, caught)
    finally:
        _end(visit, error.code if error else "")
    return PeerResult(
        peer.id,
        peer.name,
        FAILED if error else OK,
        error.code if error else "",
        error.text if error else None,
        error.exit_code if error else 0,
        visit.delivered,
        visit.refused,
        dict(visit.received),
        visit.skew_seconds,
        round(time.monotonic() - began, 3),
    )


def _take_turn(node: Node, peer: Peer, *, patient: bool) -> HeldLease | None:
    """Take the peer's lease; by hand, wait for whoever is at it to end."""
    exchange = node.settings.exchange
    request_seconds = exchange.connect_timeout_seconds + exchange.read_timeout_seconds
    seconds = max(node.settings.sync.lease_seconds, 2 * request_seconds)
    deadline = time.monotonic() + (seconds if patient else 0)
    while True:
        lease = take_lease(node.database, node.clock, lease_name(peer), seconds=seconds)
        if lease is not None or time.monotonic() >= deadline:
            return lease
        time.sleep(0.1)


def _read_start(visit: _Visit) -> _Start:
    """Read all at once, in the one snapshot that was taken under the lease; raise TrustError for an unsound key."""
    peer = visit.peer
    with visit.node.database.read() as session:
        rows = _PLACE.all(session.connection(), {"the_federation": peer.federation, "peer": peer.id})
        if not rows:
            raise Conflict("peer-unknown", "没有这个对端，请看 gonghui peer list。", "No such peer; see `peer list`.")
        failures, last_error, cursor, hub_id = rows[0]
        return _Start(
            member_of(session, peer, visit.node.clock()),
            versions_of(session, peer.federation),
            is_expired(session, peer.federation, visit.node.clock()),
            hub_id == visit.node.node_id,
            bool(failures or last_error),
            cursor,
            is_recovering(session, peer.federation),
            any_waits_for(session, peer.id),
            may_have_gaps(session, peer.federation),
        )


def _end(visit: _Visit, code: str) -> None:
    """Note how it went and give the lease back."""
    noted = {"the_federation": visit.peer.federation, "peer": visit.peer.id, "at": visit.node.clock()}

    def note(connection: Connection) -> None:
        if visit.well:
            _SUCCEEDED.run(connection, {**noted, "skew": visit.skew_seconds})
        visit.lease.release_in(connection, error=code)

    visit.node.database.note(note)


def _converse(visit: _Visit, link: Link, start: _Start) -> None:
    node = visit.node
    by_hub = not (visit.peer.is_hub or start.we_are_hub)  # another college's records come by the hub
    pulls = not (start.expired or by_hub)  # what is new would only wait here; at its sender it waits as well
    pulled = _pull(visit, link, start) if pulls and start.we_are_hub else {}
    stated = stated_in(pulled)
    if stated is not None or start.recovering or not visit.met:
        stated = _greet(visit, link, start)
    if start.outgoing or stated is not None:  # what it lost, and said so, goes out again
        tally = push_outbox(node, link, go_on=lambda: _renew(visit))
        visit.delivered, visit.refused = tally.delivered, tally.refused
    if pulls and not start.we_are_hub:
        _pull(visit, link, start)
    if pulls and (start.gaps or visit.received.keys() - _SETTLED):
        _ask_missing(visit, link)
    _renew(visit)
    if stated is not None:
        if not start.we_are_hub:
            state_heads(node)
        exchange_heads(node, link, visit.handlers, stated=stated)
        exchange_cosignatures(node, link)
        fetch_proofs(node, link, visit.handlers)
    if visit.peer.is_hub:
        visit.received.update(visit_mailbox(node, link, visit.handlers).records)


def _greet(visit: _Visit, link: Link, start: _Start) -> int | None:
    """Hear how things stand there; return how far the peer has stated heads, None where it keeps no log."""
    node, asked_at = visit.node, visit.node.clock()
    answer = link.ask("ping", {"membership": start.versions} if start.versions else {}, at=asked_at)
    _note_contact(visit, start, answer, asked_at)
    note_versions(node, visit.peer, answer.body)
    hand_over_list(node, link, answer.body.get("membership"))
    recovering.take_back(node, link, visit.handlers, answer.body.get("yours"))
    recovering.give_back(node, link, answer.body.get("lost"))
    return stated_in(answer.body)


def _note_contact(visit: _Visit, start: _Start, answer: Answer, asked_at: datetime) -> None:
    """End the back-off with the first verified answer."""
    if visit.met:
        return
    visit.skew_seconds, visit.met = round((answer.issued_at - asked_at).total_seconds()), True
    if start.backing_off:
        with visit.node.database.write(durable=False) as session:
            note_contact(_row(session, visit), visit.skew_seconds)


def _row(session: Session, visit: _Visit) -> Peer:
    row = session.get_one(Peer, (visit.peer.federation, visit.peer.id))
    session.add(row)
    return row


def _renew(visit: _Visit) -> None:
    """Hold the lease on, before a third of its life has gone; raise Conflict where another has it."""
    now = time.monotonic()
    if now - visit.renewed_at < visit.lease.seconds / 3:
        return
    visit.renewed_at = now
    if not visit.lease.renew():
        raise Conflict("lease-lost", "另一进程已接手此对端。", "Another process has taken over this peer.")


def _note_failure(visit: _Visit, error: GonghuiError) -> None:
    """Let the peer wait where the fault may be its own; our full disk or a lost lease is none of its doing."""
    if not isinstance(error, NetworkError | TrustError):
        return
    with visit.node.database.write() as session:
        row = _row(session, visit)
        if visit.met:
            row.skew_seconds = visit.skew_seconds
        note_failure(
            row,
            error.code,
            visit.node.clock(),
            visit.node.settings.sync,
            retry_after_seconds=error.params.get("retry_after_seconds", 0),
        )


def _pull(visit: _Visit, link: Link, start: _Start) -> Mapping[str, Any]:
    """Pull page by page; the records of a page and the cursor behind it are kept together or not at all.

    Return what the last answer tells beside them.
    """
    node, cursor = visit.node, start.cursor
    place = {"the_federation": visit.peer.federation, "peer": visit.peer.id}
    for _ in range(MAX_PAGES):
        _renew(visit)
        asked_at = node.clock()
        answer = link.ask("pull", {"cursor": cursor, "limit": node.settings.exchange.page_records}, at=asked_at)
        _note_contact(visit, start, answer, asked_at)
        if answer.cursor < cursor or ((answer.enclosed or answer.more) and answer.cursor == cursor):
            raise TrustError("cursor-stuck", "对端的页码不前进。", "The peer's cursor does not move on.")
        if answer.cursor == cursor:  # nothing new, mostly: then nothing is written
            break
        with node.database.write() as session:
            for envelope in answer.enclosed:
                _receive(session, visit, envelope.raw)
            _READ_UP_TO.run(session.connection(), {**place, "position": answer.cursor})
        cursor = answer.cursor
        if not answer.more:
            break
    return answer.body


def _receive(session: Session, visit: _Visit, envelope: bytes) -> Verdict:
    verdict = receive(session, visit.node, envelope, visit.handlers, via=PULL, by=visit.peer.id).verdict
    visit.received[str(verdict)] += 1
    return verdict


def _ask_missing(visit: _Visit, link: Link) -> None:
    """Ask for what a gap says we lack: the hub for anything, a college for its own. Each gap once a visit."""
    node, asked = visit.node, set()
    for _ in range(MAX_GAP_REQUESTS):
        with node.database.read() as session:
            gaps = [
                gap
                for gap in find_gaps(session, visit.peer.federation)
                if visit.peer.is_hub or gap.origin == visit.peer.id
            ]
        gap = next((gap for gap in gaps if gap not in asked), None)
        if gap is None:
            return
        asked.add(gap)
        _renew(visit)
        far = gap.last - gap.first >= GENERATION // 2  # beyond it the stream begins anew; few are between
        last = gap.last if far else min(gap.last, gap.first + _GAP_RECORDS - 1)
        wanted = {"origin": gap.origin, "stream": gap.stream, "first": gap.first, "last": last}
        answer = link.ask("missing", wanted, at=node.clock())
        with node.database.write() as session:
            for envelope in answer.enclosed:
                _receive(session, visit, envelope.raw)
