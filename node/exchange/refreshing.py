"""The member list kept fresh: from the hub, else from any reachable member; refused lists leave the old one in place.

    hub signs timestamp and snapshot daily -> members fetch at each round -> whoever holds it passes it on

A list is verified whole before a byte of it is kept (`federation.membership`), and kept in one transaction with the
peers' rows. Anybody's signed answer names the versions that its sender holds; where one names more than the hub
serves, the hub is withholding a change: `list-frozen` is shown until the higher list is here.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from secrets import SystemRandom

from federation.client import PeerClient
from federation.editions import resign
from federation.errors import GonghuiError, NetworkError, TrustError
from federation.keys import Member
from federation.membership import Fetch, MemberList, refresh
from federation.metadata import HOLD, ROLES, ROOT, TARGETS
from node.context import Node
from node.exchange.inbox import Handlers, take_waiting
from node.exchange.links import Connect, link_to, open_client
from node.exchange.membership import publish_members
from node.exchange.routes import STICK
from node.stream.memberlist import (
    find_state,
    forget_seen,
    is_seen,
    list_signer,
    load_list_files,
    note_seen,
    open_held,
    store_list,
)
from node.stream.models import Federation, MemberListState, Peer
from node.stream.parents import in_each
from node.stream.peers import list_peers, member_of
from node.stream.recovery import is_recovering
from node.stream.service import find_federation
from node.stream.standing import is_active

FROZEN = "list-frozen"
WORD_COUNTS = timedelta(days=14)  # of one member who names versions that nobody serves
RESIGN_AFTER = timedelta(hours=20)  # daily, a little early rather than late
STALE_AFTER = timedelta(days=3)  # without a successful refresh; the same as for synchronisation
MAX_SOURCES = 4  # of one refresh: the hub's addresses and a few members
_RANDOM = SystemRandom()


@dataclass(frozen=True)
class Source:
    """Where a list may be fetched: an address, and whose it is ("" for one of the anchor's)."""

    url: str
    peer: Peer | None = None

    @property
    def name(self) -> str:
        """Return the id of the member, or the address."""
        return self.peer.id if self.peer else self.url


def refresh_list(
    node: Node,
    handlers: Handlers,
    *,
    first: Sequence[str] = (),
    connect: Connect = open_client,
    by_hand: bool = False,
) -> str:
    """Bring the list up to date, of each federation; return "" or the code of what stands against one.

    Raises StorageError only. `first` are addresses to be asked before any other: of an anchor that was given just now.

    The hub signs its own anew where that is due, after it has looked whether a member holds a newer one (a restored
    hub). Nothing is done where the federation has no list. Whoever asked not to be called before a time (`Retry-After`)
    is left alone until then, unless a person asks.
    """
    return next(filter(None, in_each(node, lambda here: _refresh(here, handlers, connect, first, by_hand=by_hand))), "")


def _refresh(node: Node, handlers: Handlers, connect: Connect, first: Sequence[str], *, by_hand: bool) -> str:
    with node.database.read() as session:
        federation = find_federation(session, node)
        state = find_state(session, federation.id) if federation else None
    if federation is None or state is None:
        return ""
    if federation.hub_id != node.node_id:
        if node.settings.exchange.transport == STICK:
            return _settle(node, federation.id, "")  # it comes in bundles
        return _fetch(node, federation, handlers, connect, first, by_hand=by_hand)
    if state.expires_at is None:
        return ""
    with node.database.read() as session:
        recovering = is_recovering(session, federation.id)
    if recovering or is_behind(state):
        _fetch(node, federation, handlers, connect, by_hand=by_hand)
    return sign_anew(node, federation.id)


def sign_anew(node: Node, federation_id: str, *, at_once: bool = False) -> str:
    """At the hub: sign timestamp and snapshot anew where a day has passed; return "" or a code.

    While a member's word names higher versions, or a restored hub waits for its readers, nothing is signed before half
    of the last signature's life is over: members would refuse what is older than they hold, or a second of one version.
    """
    with node.database.write() as session:
        state = session.get_one(MemberListState, federation_id)
        held = open_held(session, federation_id, node.clock())
        if held is None:
            return ""
        now = node.clock()
        patient = is_behind(state) or is_recovering(session, federation_id)
        due = state.signed_at is None or (now - state.signed_at >= RESIGN_AFTER and not patient) or held.ageing(now)
        if not (due or at_once):
            return state.error
        try:
            files = resign(held.files, list_signer(node, held.roll), now=now)
            found = refresh(state.root, held.files, files.get, federation=federation_id, now=now)
        except GonghuiError as error:
            state.error, state.tried_at = error.code, now
            session.add(state)
            return error.code
        store_list(session, node, found, source=node.node_id)
        state.signed_at = now
        session.add(state)
        publish_members(session, node, session.get_one(Federation, federation_id))  # a hold may have lapsed
    return ""


def note_versions(node: Node, peer: Peer | Member, body: dict[str, object]) -> None:
    """Remember what a peer's signed answer says of the list it holds; nothing is written where that is no news."""
    told = body.get("membership")
    if not isinstance(told, dict):
        return
    with node.database.read() as session:
        if is_seen(session, peer.federation, told):
            return
    with node.database.write() as session:
        state = find_state(session, peer.federation)
        if state is not None:
            note_seen(state, told, peer.id, node.clock())
            session.add(state)


def frozen_roles(state: MemberListState) -> tuple[str, ...]:
    """Return the officers' roles of which somebody's signed word names a higher version than is held."""
    return _behind(state, (ROOT, TARGETS, HOLD))


def is_behind(state: MemberListState) -> bool:
    """Tell whether somebody's signed word names a higher version of any file than is held."""
    return bool(_behind(state, ROLES))


def _behind(state: MemberListState, roles: Iterable[str]) -> tuple[str, ...]:
    held, seen = json.loads(state.versions), json.loads(state.seen)
    return tuple(role for role in roles if seen.get(role, 0) > held.get(role, 0))


def _fetch(
    node: Node,
    federation: Federation,
    handlers: Handlers,
    connect: Connect,
    first: Sequence[str] = (),
    *,
    by_hand: bool = False,
) -> str:
    """Try the sources in turn until one serves a good list; then ask one more member what it holds.

    What the hub served and was refused stays an alarm, even where another member's list was good.
    """
    alarm, code = "", "list-unreachable"
    sources = [*map(Source, first), *_sources(node, federation, by_hand=by_hand)]
    if not sources:  # nobody wants to be called yet
        return _settle(node, federation.id, code)
    for number, source in enumerate(sources):
        try:
            with connect(node, source.url) as client:
                take_from(node, federation.id, _files_of(client, federation), handlers, source=source.name)
        except NetworkError as error:
            code = error.code
            _note_wait(node, source, error)
        except TrustError as error:
            code = error.code
            alarm = alarm or code
        else:
            _ask_another(node, federation, sources[number + 1 :], handlers, connect)
            return _settle(node, federation.id, alarm)
    return _settle(node, federation.id, alarm or code)


def take_from(node: Node, federation_id: str, fetch: Fetch, handlers: Handlers, *, source: str) -> MemberList:
    """Verify what `fetch` serves against what is held, keep it, let what waited for it through; raise TrustError.

    No transaction is open while the network is waited for; whoever was quicker meanwhile wins.
    """
    now = node.clock()
    with node.database.read() as session:
        state = session.get_one(MemberListState, federation_id)
        held = load_list_files(session, federation_id)
    found = refresh(state.root, held, fetch, federation=federation_id, now=now)
    with node.database.write() as session:
        if load_list_files(session, federation_id) != held:  # another process was quicker
            found = refresh(
                state.root, load_list_files(session, federation_id), found.files.get, federation=federation_id, now=now
            )
        store_list(session, node, found, source=source)
        take_waiting(session, node.within(federation_id), handlers)
    return found


def _files_of(client: PeerClient, federation: Federation) -> Fetch:
    """Return how the files of this federation's list are fetched: a member may be in several."""
    return partial(client.fetch_membership, federation=federation.id)


def _settle(node: Node, federation_id: str, code: str) -> str:
    """Write down how the refresh went; a version that somebody has and we cannot get is an alarm."""
    now = node.clock()
    with node.database.write() as session:
        state = session.get_one(MemberListState, federation_id)
        if state.seen_at is not None and now - state.seen_at >= WORD_COUNTS:
            forget_seen(state)
        state.tried_at, state.error = now, code or (FROZEN if frozen_roles(state) else "")
        held = open_held(session, federation_id, now) if state.refreshed_at != now else None
        if held is not None:  # time alone may have ended half a life
            state.ageing = " ".join(held.ageing(now))
        session.add(state)
        return state.error


def _note_wait(node: Node, source: Source, error: NetworkError) -> None:
    """Remember that a source asked not to be called before a time."""
    wait = error.params.get("retry_after_seconds", 0)
    if not wait or source.peer is None:
        return
    with node.database.write() as session:
        row = session.get_one(Peer, (source.peer.federation, source.peer.id))
        row.rest_until = node.clock() + timedelta(seconds=wait)
        row.next_try_at = max(row.next_try_at or row.rest_until, row.rest_until)
        session.add(row)


def _sources(node: Node, federation: Federation, *, by_hand: bool) -> Iterator[Source]:
    """Yield the hub by its listed address, by the anchor's, then a few reachable members by chance."""
    with node.database.read() as session:
        state = session.get_one(MemberListState, federation.id)
        now = node.clock()
        peers = [peer for peer in list_peers(session, federation.id) if peer.url and is_active(peer, now)]
    rests = {peer.id for peer in peers if peer.rest_until and peer.rest_until > now and not by_hand}
    hubs = [Source(peer.url, peer) for peer in peers if peer.is_hub]
    known = {source.url for source in hubs}
    peers = [peer for peer in peers if peer.id not in rests]
    if federation.hub_id in rests:
        hubs = []
    elif federation.hub_id != node.node_id:  # whose own addresses these are
        hubs += [Source(url) for url in state.urls.split() if url not in known]
    others = [Source(peer.url, peer) for peer in peers if not peer.is_hub and peer.id != node.node_id]
    _RANDOM.shuffle(others)
    yield from [*hubs, *others][: max(MAX_SOURCES, len(hubs))]


def _ask_another(
    node: Node, federation: Federation, sources: list[Source], handlers: Handlers, connect: Connect
) -> None:
    """Ask one further member, by a signed request, which versions it holds; take its list where that is ahead.

    Whoever named the highest versions is asked first: what it does not serve itself is forgotten.
    """
    with node.database.read() as session:
        claimant = session.get_one(MemberListState, federation.id).seen_from
    for source in sorted(sources, key=lambda source: source.name != claimant):
        if source.peer is None or source.peer.is_hub:
            continue
        try:
            with node.database.read() as session:
                provider = member_of(session, source.peer, node.clock())
            with connect(node, source.url) as client:
                note_versions(node, source.peer, link_to(node, client, provider).ask("ping", {}, at=node.clock()).body)
                with node.database.read() as session:
                    behind = frozen_roles(session.get_one(MemberListState, federation.id))
                if behind:
                    take_from(node, federation.id, _files_of(client, federation), handlers, source=source.name)
                    _forget_untrue(node, federation.id, source.peer)
        except (NetworkError, TrustError):
            continue
        return


def _forget_untrue(node: Node, federation_id: str, peer: Peer) -> None:
    """Forget versions that a member named and its own list, good as it is, does not have: one lie alarms once."""
    with node.database.write() as session:
        state = session.get_one(MemberListState, federation_id)
        if state.seen_from == peer.id and frozen_roles(state):
            forget_seen(state)
            session.add(state)
