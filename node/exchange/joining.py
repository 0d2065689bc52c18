"""A college joins a federation: it pins the hub's key by a fingerprint that people compared, then takes the rest.

Nothing is stored before the hub has proven, by a signed answer, that it owns the pinned key and that the ids it shows
are its own. A pinned key is never replaced.
"""

from dataclasses import dataclass
from typing import Any

from federation.client import check_url
from federation.errors import Conflict, NetworkError, TrustError
from federation.keyfile import read_fingerprint
from federation.keys import Member, public_pem, read_public_key
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange.inbox import Handlers
from node.exchange.links import Connect, link_to, open_client
from node.exchange.sync import PeerResult, run_round
from node.stream.models import Federation, Peer
from node.stream.peers import find_peer


@dataclass(frozen=True)
class Joined:
    """The federation and hub that were joined, and how the first round went."""

    federation: Federation
    hub: Peer
    first_round: PeerResult | None


def add_hub(
    node: Node, actor: Actor, url: str, fingerprint: str, handlers: Handlers, *, connect: Connect = open_client
) -> Joined:
    """Pin the hub at `url` by its fingerprint, join its federation and run a first round; repeatable.

    Raise TrustError for a wrong or changed key or where the hub has not enrolled us, Conflict where it has another hub.
    """
    check_permission(actor, "peer.write")
    url, wanted = check_url(url), read_fingerprint(fingerprint)
    with connect(node, url) as client:
        hub, told = _read_hub(client.fetch_well_known(), wanted)
        _check_known(node, hub)
        try:
            link_to(node, client, hub).ask("ping", {}, at=node.clock())
        except TrustError as error:
            if error.code != "key-unknown":
                raise
            raise TrustError(
                "not-enrolled",
                "汇总节点还没有登记本节点：请用 gonghui peer key --out 文件 生成公钥文件交给汇总节点，登记后再试。",
                "The hub has not enrolled this node: give it the file of `gonghui peer key --out FILE`, then repeat.",
            ) from error
    federation, peer = _store(node, actor, hub, url, told)
    results = run_round(node.within(federation.id), handlers, only=peer.id, by_hand=True, connect=connect)
    return Joined(federation, peer, results[0] if results else None)


def _read_hub(told: dict[str, Any], wanted: str) -> tuple[Member, dict[str, Any]]:
    """Return the hub as it describes itself, after its key was compared; raise TrustError or NetworkError."""
    key = told.get("key")
    pem = key.get("pem") if isinstance(key, dict) else None
    names = [told.get(name) for name in ("node", "federation", "federation_name", "name")]
    if not isinstance(pem, str) or not all(isinstance(name, str) for name in names):
        raise NetworkError(
            "peer-not-gonghui", "该地址不是工会节点。", "There is no node of this program at that address."
        )
    public = read_public_key(pem)
    if public.keyid != wanted:
        raise TrustError(
            "peer-fingerprint-mismatch",
            "对端的指纹与所给的不同，已拒绝。请电话核对指纹和地址。",
            "The peer's fingerprint is not the one given; refused. Compare fingerprint and address by telephone.",
            shown=public.keyid,
        )
    if told.get("hub") is not True or not told["federation"]:
        raise Conflict("peer-not-hub", "该节点不是汇总节点。", "That node is not a hub.")
    return Member(str(told["node"]), str(told["federation"]), public, is_hub=True), told


def _check_known(node: Node, hub: Member) -> None:
    with node.database.read() as session:
        federation = session.get(Federation, hub.federation)
        if federation is None:
            return
        if federation.left_at is not None or federation.hub_id != hub.id:
            raise Conflict(
                "federation-joined",
                f"联合体“{federation.name}”已有别的汇总节点，或已离开：请凭信任锚 gonghui enrol request。",
                f"“{federation.name}” has another hub, or was left: use its anchor, `gonghui enrol request`.",
            )
        peer = find_peer(session, hub.federation, hub.id)
    if peer is not None and peer.keyid != hub.key.keyid:
        raise TrustError(
            "peer-key-changed",
            "汇总节点的密钥与当初核对的不同，已拒绝。请电话核实。",
            "The hub's key is not the one that was pinned; refused. Ask its people by telephone.",
        )


def _store(node: Node, actor: Actor, hub: Member, url: str, told: dict[str, Any]) -> tuple[Federation, Peer]:
    with node.database.write() as session:
        federation = session.get(Federation, hub.federation)
        if federation is None:
            name = told["federation_name"][:200]
            federation = Federation(id=hub.federation, name=name, hub_id=hub.id, joined_at=node.clock())
            session.add(federation)
        peer = find_peer(session, hub.federation, hub.id)
        if peer is None:
            peer = Peer(
                federation=hub.federation,
                id=hub.id,
                name=told["name"][:200],
                public_key=public_pem(hub.key),
                keyid=hub.key.keyid,
                is_hub=True,
            )
        peer.url = url
        session.add(peer)
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="peer.add", subject=hub.id, at=at, keyid=hub.key.keyid)
    return federation, peer
