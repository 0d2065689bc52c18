"""From a peer's row to a signed conversation with it: our key, its pinned key, the limits and proxy of the settings."""

from collections.abc import Callable

from federation.addresses import read_networks
from federation.client import Limits, Link, PeerClient, Speaker
from federation.keys import Member
from node.context import Node

Connect = Callable[[Node, str], PeerClient]


def open_client(node: Node, url: str) -> PeerClient:
    """Return a client for the node at `url`, bounded as the settings say; nothing is sent yet."""
    settings = node.settings.exchange
    return PeerClient(
        url,
        limits=Limits(settings.connect_timeout_seconds, settings.read_timeout_seconds),
        proxy=settings.proxy,
        ca_file=str(node.folder / settings.ca_file) if settings.ca_file else "",
        networks=read_networks(settings.allowed_networks),
        client_certificate=str(node.folder / settings.client_certificate) if settings.client_certificate else "",
        client_key=str(node.folder / settings.client_key) if settings.client_key else "",
    )


def link_to(node: Node, client: PeerClient, provider: Member) -> Link:
    """Return the conversation with `provider` over `client`, in this node's name."""
    return Link(client, Speaker(node.node_id, node.signer), provider)
