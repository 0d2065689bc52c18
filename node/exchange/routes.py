"""Which way leads to whom: the one place that reads `exchange.transport`.

    we are      the peer has an address and is `direct`    it is `file`     else
    direct      called                                     stick            the hub's mailbox
    relay       the hub's mailbox                          stick            the hub's mailbox
    file        stick                                      stick            stick

A college calls its hub unless it is `file`; the hub calls its members that listen. The bytes are the same on every
way, and a node may change over at any time.
"""

from sqlmodel import Session

from node.context import Node
from node.stream.models import Federation, Peer
from node.stream.outbox import waiting_peers
from node.stream.peers import find_peer, list_reachable
from node.stream.recovery import awaited_readers
from node.stream.standing import is_active

DIRECT, RELAYED, STICK = "direct", "relay", "file"


def route_to(node: Node, federation: Federation, peer: Peer) -> str:
    """Return by which way records for this peer go."""
    own = node.settings.exchange.transport
    if STICK in {own, peer.transport}:
        return STICK
    if peer.is_hub or node.node_id == federation.hub_id:
        return DIRECT
    return DIRECT if own == DIRECT and peer.url and peer.transport == DIRECT else RELAYED


def list_called(session: Session, node: Node, federation: Federation) -> list[Peer]:
    """Return whom this node calls in a round: hub or members, and colleges for which something waits.

    After a restore also the colleges that have to show what they hold of ours.
    """
    if node.settings.exchange.transport == STICK:
        return []
    called = list_reachable(session, federation, node.node_id, node.clock())
    if federation.hub_id == node.node_id:
        return called
    known = {peer.id for peer in called}
    wanted = waiting_peers(session, federation.id).union(*awaited_readers(session, node, federation).values())
    others = [find_peer(session, federation.id, identity) for identity in sorted(wanted - known)]
    direct = [
        peer
        for peer in others
        if peer is not None
        and peer.id != federation.hub_id
        and is_active(peer, node.clock())
        and route_to(node, federation, peer) == DIRECT
    ]
    return called + direct
