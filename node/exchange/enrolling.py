"""A college joins from one anchor file: it pins the federation's root, asks, waits for the officers, and is in.

    anchor -> root pinned, list fetched and verified -> request to the hub, or into a file -> status until listed

Nothing is believed but what the anchor's root leads to; that the anchor is the right one people compare by telephone.
The same command again changes nothing, so that whoever was interrupted goes on.
"""

from dataclasses import dataclass
from typing import Any

from securesystemslib.signer import Key
from sqlmodel import Session, select

from federation.anchor import Anchor, read_anchor
from federation.documents import read_object
from federation.enrolment import JOIN, Applicant, build_request
from federation.errors import Conflict, GonghuiError, NetworkError, Text, TrustError
from federation.membership import MemberList
from federation.spoken import says_fingerprint
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange import desk
from node.exchange.inbox import Handlers
from node.exchange.links import Connect, open_client
from node.exchange.refreshing import refresh_list
from node.exchange.routes import STICK
from node.exchange.sync import PeerResult, run_round
from node.stream.memberlist import find_state, open_held, pin, succeed
from node.stream.models import Federation, MemberListState, Peer
from node.stream.peers import find_peer
from node.stream.service import get_federation

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sent:
    """What became of a request. `sent_to` is the hub's address, "" where it must be handed over as the file."""

    federation: str
    key: Key
    file: bytes
    sent_to: str
    state: str
    problem: Text | None = None


@dataclass(frozen=True)
class Standing:
    """How a node stands in its federation. `state`: unknown, pending, proposed, active, suspended, left."""

    federation: Federation
    state: str
    signed: int = 0
    needed: int = 0
    members: int = 0
    problem: str = ""
    first_round: PeerResult | None = None


def request_to_join(
    node: Node,
    actor: Actor,
    anchor_file: bytes,
    handlers: Handlers,
    *,
    confirmed: str = "",
    instead_of: str = "",
    connect: Connect = open_client,
) -> Sent:
    """Pin the anchor's federation and ask to join; raise InputRefused, TrustError, Conflict. Repeatable.

    `confirmed` is the anchor's fingerprint as compared by telephone, words or hex: where given it must be this one's,
    and for a federation that was founded anew it must be given. So must the id or name of the one that ends with it
    (`instead_of`): an anchor is the word of the new one's people alone, and anybody can name another's federation.
    """
    check_permission(actor, "peer.write")
    anchor = read_anchor(anchor_file)
    if confirmed and not says_fingerprint(anchor.fingerprint, confirmed):
        raise TrustError(
            "anchor-fingerprint",
            "信任锚的指纹不是电话核对的那个，已拒绝。",
            "The anchor has another fingerprint; refused.",
        )
    with node.database.write() as session:
        _pin_anchor(session, node, anchor, instead_of=instead_of if confirmed else "")
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="federation.pin", subject=anchor.federation, at=at)
    # a hub that was handed over against its will goes on serving what it had: whom the anchor names is asked before it
    problem = refresh_list(node.within(anchor.federation), handlers, first=anchor.urls, connect=connect)
    if problem and not problem.startswith(("peer-", "list-unreachable")):
        raise TrustError(problem, "名录不可信，已拒绝。", "The member list served does not hold; refused.")
    file = own_request(node, anchor.federation, JOIN)
    return hand_in(node, anchor.federation, file, node.signer.public_key, connect=connect)


def leave_federation(node: Node, actor: Actor) -> Federation:
    """Take no more part in a federation; what was said in it stays, to verify by. Joining again takes it up again.

    The officers' list is not changed by it: a member that goes is taken off by `enrol leave`. Raise NotPermitted,
    Conflict where it is this node's own, as its hub.
    """
    check_permission(actor, "peer.write")
    with node.database.write() as session:
        federation = get_federation(session, node)
        if federation.hub_id == node.node_id:
            raise Conflict(
                "federation-own", "汇总节点不能离开自己的联合体。", "A hub does not leave its own federation."
            )
        federation.left_at = node.clock()
        session.add(federation)
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="federation.leave", subject=federation.id, at=at)
    return federation


def own_request(node: Node, federation_id: str, kind: str) -> bytes:
    """Return this node's request file, signed by the key it asks for."""
    return build_request(node.signer, own_applicant(node), federation=federation_id, kind=kind, at=node.clock())


def own_applicant(node: Node) -> Applicant:
    """Return this node as it asks to be listed."""
    settings = node.settings
    return Applicant(
        id=node.node_id,
        name=settings.node.name,
        code=settings.node.code,
        url=settings.server.public_url,
        transport=settings.exchange.transport,
        sealing_key=node.sealing_key,
    )


def hand_in(node: Node, federation_id: str, file: bytes, key: Key, *, connect: Connect = open_client) -> Sent:
    """Send a request to the hub at one of its addresses; where none can be reached, say so."""
    with node.database.read() as session:
        is_hub = session.get_one(Federation, federation_id).hub_id == node.node_id
    if is_hub:  # it asks its own desk
        told = desk.receive_request(node, file)
        return Sent(federation_id, key, file, node.settings.server.public_url or "desk", str(told["state"]))
    problem: GonghuiError | None = None
    for url in _hub_urls(node, federation_id):
        try:
            with connect(node, url) as client:
                told = read_object(client.fetch_page("join", file))
            return Sent(federation_id, key, file, url, str(told.get("state", "")))
        except NetworkError as error:
            problem = error
    return Sent(federation_id, key, file, "", "", problem.text if problem else None)


def standing(node: Node, actor: Actor, handlers: Handlers, *, connect: Connect = open_client) -> Standing:
    """Refresh the list and say how this node stands; once it is listed, run its first round."""
    check_permission(actor, "sync.read")
    with node.database.read() as session:
        node = node.within(get_federation(session, node).id)
    problem = refresh_list(node, handlers, connect=connect)
    with node.database.read() as session:
        federation = get_federation(session, node)
        held = open_held(session, federation.id, node.clock())
        hub = find_peer(session, federation.id, federation.hub_id)
    state = _own_state(node, held)
    if state:
        first = None
        if state == "active" and hub is not None and hub.last_success_at is None:
            results = run_round(node, handlers, only=hub.id, by_hand=True, connect=connect)
            first = results[0] if results else None
        return Standing(federation, state, members=len(held.members) if held else 0, problem=problem, first_round=first)
    told = _ask_hub(node, federation.id, connect)
    return Standing(
        federation,
        str(told.get("state", UNKNOWN)),
        int(told.get("signed", 0)),
        int(told.get("needed", 0)),
        len(held.members) if held else 0,
        problem,
    )


def _own_state(node: Node, held: MemberList | None) -> str:
    """Return our status in the list; "" where we are not in it with the key we hold."""
    entry = held.members.get(node.node_id) if held else None
    if held is None or entry is None or node.signer.public_key.keyid not in {key.keyid for key in entry.active_keys}:
        return ""
    return held.status_of(node.node_id, node.clock())


def _ask_hub(node: Node, federation_id: str, connect: Connect) -> dict[str, Any]:
    """Ask the hub how our request stands: its word is shown, nothing follows from it."""
    for url in _hub_urls(node, federation_id):
        try:
            with connect(node, url) as client:
                data = client.fetch_file(f"join/{node.node_id}")
            requests = read_object(data).get("requests", []) if data else []
            ours = [item for item in requests if item.get("keyid") == node.signer.public_key.keyid]
            return dict(ours[0]) if ours else {}
        except (NetworkError, TrustError):
            continue
    return {}


def _hub_urls(node: Node, federation_id: str) -> list[str]:
    """Return where the hub may be asked; nowhere for a node that never calls anybody."""
    if node.settings.exchange.transport == STICK:
        return []
    with node.database.read() as session:
        federation = session.get_one(Federation, federation_id)
        hub = find_peer(session, federation_id, federation.hub_id)
        state = find_state(session, federation_id)
    urls = [hub.url] if hub is not None and hub.url else []
    return urls + [url for url in (state.urls.split() if state else []) if url not in urls]


def _pin_anchor(session: Session, node: Node, anchor: Anchor, *, instead_of: str) -> None:
    """Write the anchor's federation and root down, beside those that are there; another root of one is refused."""
    _check_not_succeeded(session, anchor.federation)
    federation = session.get(Federation, anchor.federation)
    before = session.get(Federation, anchor.formerly) if anchor.formerly else None
    if federation is None and before is not None and before.left_at is None:
        if instead_of not in {before.id, before.name}:
            raise TrustError(
                "anchor-unconfirmed",
                f"信任锚称联合体 {before.name} 已重新建立，加入后该联合体即告结束。请向该联合体管理员电话核对指纹，"
                f"再用 --fingerprint 和 --instead-of {before.id} 给出。",
                f"The anchor says that {before.name} was founded anew; it would end here. Ask that federation's own "
                f"officers for the fingerprint, and give it: --fingerprint, and --instead-of {before.id}.",
            )
        anew = Federation(id=anchor.federation, name=anchor.name, hub_id=anchor.hub, joined_at=node.clock())
        succeed(session, before.id, anew)
        federation = anew
    if federation is None:
        federation = Federation(id=anchor.federation, name=anchor.name, hub_id=anchor.hub, joined_at=node.clock())
    federation.left_at = None
    session.add(federation)
    session.flush()
    hub: Peer | None = find_peer(session, anchor.federation, anchor.hub)
    if hub is not None and hub.keyid != anchor.hub_keyid and find_state(session, anchor.federation) is None:
        raise TrustError(
            "peer-key-changed",
            "信任锚中汇总节点的密钥与当初核对的不同，已拒绝。请电话核实。",
            "The anchor's hub key is not the one that was pinned; refused. Ask its people by telephone.",
        )
    pin(
        session,
        anchor.federation,
        anchor.root,
        urls=" ".join(anchor.urls),
        hub_keyid=anchor.hub_keyid,
        formerly=anchor.formerly,
    )


def _check_not_succeeded(session: Session, federation_id: str) -> None:
    """Raise Conflict where another federation took this one's place here, as a person confirmed it.

    One that merely names it as its former self, or was joined when this was left, keeps nobody out of it.
    """
    left = session.get(Federation, federation_id)
    if left is None or left.left_at is None:
        return
    states = select(MemberListState.federation).where(MemberListState.formerly == federation_id)
    for successor in session.exec(states).all():
        if session.get_one(Federation, successor).joined_at == left.left_at:
            raise Conflict(
                "federation-succeeded",
                "这个联合体已重新建立，请用新的信任锚。",
                "This federation was founded anew as another; take its new anchor.",
            )
