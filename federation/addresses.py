"""Which addresses a peer may have: what a member list names must not lead this node's calls where its site forbids.

Campuses use private ranges, and a test federation loopback, so both are allowed by default. Never allowed: link-local
(clouds serve their machines' credentials there), multicast, unspecified and reserved addresses. A site that knows its
federation's networks names them, and only those are called. The address judged is that of the connection itself, after
it stands and before a byte is sent: a name cannot lead to one address when looked at and to another when called.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from federation.errors import NetworkError, UsageError

Network = IPv4Network | IPv6Network


def read_networks(text: str) -> tuple[Network, ...]:
    """Read networks such as `10.0.0.0/8, fd00::/8`; empty: none. Raise UsageError for anything else."""
    try:
        return tuple(ip_network(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(
            "networks-misspelt",
            "exchange.allowed_networks 应写成如 10.0.0.0/8, 2001:db8::/32。",
            "Write exchange.allowed_networks as in 10.0.0.0/8, 2001:db8::/32.",
        ) from error


def is_literal(host: str) -> bool:
    """Tell whether `host` is an address itself and no name."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def check_address(host: str, allowed: Sequence[Network]) -> None:
    """Raise NetworkError `peer-address-refused` unless this address may be called; `allowed` empty: any usual one."""
    address = ip_address(host.strip("[]").partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    never = address.is_link_local or address.is_multicast or address.is_unspecified
    never = never or (address.is_reserved and not address.is_loopback)
    if never or (allowed and not any(address in network for network in allowed)):
        raise NetworkError(
            "peer-address-refused",
            "对端地址指向不允许访问的网络，已拒绝（见 exchange.allowed_networks）。",
            "The peer's address leads into a network that may not be called; see exchange.allowed_networks.",
        )
