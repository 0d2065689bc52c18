"""At the hub: the federation is created from its officers' cards, and its anchor and list are handed out.

Creating makes a draft: root and first list as the officers are to sign them. Until t of them have, nothing changes; a
hub of an earlier release goes on with its own list, and the members it has enrolled stand in the draft.
"""

from collections.abc import Sequence

from sqlmodel import Session

from federation.anchor import build_anchor, read_anchor
from federation.catalogue import load_catalogue
from federation.changes import apply, hand_over, key_entry
from federation.client import check_url
from federation.drafts import found, refound
from federation.errors import Conflict
from federation.grants import default_grants
from federation.keys import new_identifier, public_pem
from federation.officers import read_card
from federation.roll import GRANTS, HUB, MemberEntry, Officer, Roll
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange.desk import keep_founding
from node.stream.memberlist import ANCHOR, find_file, find_state, open_held
from node.stream.models import Federation, ListDraft
from node.stream.peers import list_peers
from node.stream.service import find_home, find_own, get_federation
from node.stream.standing import ACTIVE, SUSPENDED


def create_federation(node: Node, actor: Actor, cards: Sequence[bytes], threshold: int, *, name: str = "") -> ListDraft:
    """Make the draft of the federation's root and first list; raise Conflict where there is a list already.

    `cards` are the officers' public halves; `threshold` of them are asked for at every change.
    """
    check_permission(actor, "peer.write")
    officers = tuple(read_card(card) for card in cards)
    with node.database.write() as session:
        federation = get_own_federation(session, node)
        state = find_state(session, federation.id)
        if state is not None and state.expires_at is not None:
            raise Conflict("federation-exists", "联合体已有签名名录。", "The federation has a signed list already.")
        draft = found(_first_roll(session, node, federation, officers, threshold, name), now=node.clock())
        row = keep_founding(session, node, draft)
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="federation.create", subject=federation.id, at=at)
    return row


def refound_federation(node: Node, actor: Actor, cards: Sequence[bytes], threshold: int) -> ListDraft:
    """Make the draft of a federation founded anew, with this node as its hub, where too few officers are left.

    It has a new id and its own anchor, which every college confirms by fingerprint; nothing of the old signatures
    counts. What was said in the old one stays verifiable by the old list.
    """
    check_permission(actor, "peer.write")
    officers = tuple(read_card(card) for card in cards)
    with node.database.write() as session:
        old = find_home(session, node) or get_federation(session, node)
        held = open_held(session, old.id, node.clock())
        if held is None:
            raise Conflict("federation-unsigned", "本节点还没有签名名录。", "This node holds no signed list yet.")
        roll = refound(held.roll, new_identifier("f"), officers, threshold)
        if roll.hub != node.node_id:
            roll = apply(roll, (hand_over(node.node_id, node.signer.public_key.keyid),))
        row = keep_founding(session, node, found(roll, now=node.clock()), formerly=old.id)
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="federation.refound", subject=roll.federation, at=at)
    return row


def read_anchor_file(node: Node, urls: Sequence[str] = ()) -> bytes:
    """Return the anchor from which colleges join; raise Conflict where no list has been signed yet.

    `urls` are the hub's addresses as colleges reach it, where they differ from the listed one.
    """
    with node.database.read() as session:
        federation = find_home(session, node) or get_federation(session, node)
        data = find_file(session, federation.id, ANCHOR)
        held = open_held(session, federation.id, node.clock()) if data and urls else None
    if data is not None and held is not None:
        pinned = read_anchor(data)
        addresses = tuple(check_url(url) for url in urls)
        data = build_anchor(held.roll, pinned.root, urls=addresses, formerly=pinned.formerly)
    if data is None:
        raise Conflict(
            "federation-unsigned",
            "联合体名录尚未由管理员签署，请先运行 gonghui federation create 并由管理员签署。",
            "No officers have signed a list yet: run `gonghui federation create` and let them sign.",
        )
    return data


def get_own_federation(session: Session, node: Node) -> Federation:
    """Return the federation whose hub this node is, whatever others it is in; raise Conflict where it is none."""
    federation = find_own(session, node)
    if federation is None:
        raise Conflict(
            "not-hub",
            "成员名录由汇总节点管理，请在汇总节点上操作。",
            "The member list is kept by the hub; do this there.",
        )
    return federation


def own_entry(node: Node, *, roles: tuple[str, ...] = ()) -> MemberEntry:
    """Return this node as a member list names it."""
    settings = node.settings
    return MemberEntry(
        id=node.node_id,
        name=settings.node.name,
        keys=(key_entry(public_pem(node.signer.public_key)),),
        code=settings.node.code,
        url=settings.server.public_url,
        roles=roles,
        sealing_key=node.sealing_key,
    )


def _first_roll(
    session: Session, node: Node, federation: Federation, officers: tuple[Officer, ...], threshold: int, name: str
) -> Roll:
    """Return the hub with the members it has enrolled so far."""
    members = {node.node_id: own_entry(node, roles=(HUB,))}
    for peer in list_peers(session, federation.id):
        if peer.id != node.node_id:
            members[peer.id] = MemberEntry(
                id=peer.id,
                name=peer.name,
                keys=(key_entry(peer.public_key),),
                code=peer.code,
                url=peer.url,
                status=ACTIVE if peer.status == ACTIVE else SUSPENDED,
            )
    return Roll(
        federation=federation.id,
        name=name or federation.name,
        hub=node.node_id,
        hub_keyid=node.signer.public_key.keyid,
        officers=officers,
        threshold=threshold,
        members=members,
        documents={GRANTS: default_grants(load_catalogue())},
    )
