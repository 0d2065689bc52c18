"""Checkpoints and cosignatures in bundles: a college that only uses sticks is witnessed, and witnesses, like any other.

The same documents as over the network (`node.exchange.witness`), both ways at once. The manifest says how far its
origin holds the reader's log, and whom it asks to cosign which enclosed checkpoint, with the proof for each. Nothing is
marked as sent: the last of everything goes again with each stick until a newer one takes its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from federation.envelope import COSIGNATURE_TYPE, Envelope
from federation.errors import TrustError
from federation.statements import Checkpoint, open_checkpoint
from node.context import Node
from node.exchange.cosigning import cosign_or_say, current_checkpoint, missing_witnesses, take_cosignature
from node.exchange.restarts import restart_where_broken
from node.exchange.witness import asks_of, take_asks
from node.stream.log import log_generation
from node.stream.models import Cosigned, Federation, PeerStatements, WitnessAsk, WitnessedLog
from node.stream.service import find_member


@dataclass(frozen=True)
class Vouched:
    """What a parcel carries of logs: envelopes, and what its manifest says of them."""

    envelopes: tuple[bytes, ...]
    says: Mapping[str, Any]


def vouch_for(session: Session, node: Node, federation: Federation, peer_id: str) -> Vouched:
    """Return what a bundle for this peer carries: our checkpoint, what we cosigned, what we hold of its log, asks."""
    own = current_checkpoint(session, node, federation)
    envelopes = [own.envelope]
    wanted = federation.hub_id != node.node_id or missing_witnesses(session, node, federation, own)
    asks = [{"origin": node.node_id, **ask} for ask in asks_of(session, node, federation, own, peer_id)]
    asks = asks if wanted else []
    left = select(WitnessAsk).where(WitnessAsk.federation == federation.id, WitnessAsk.witness == peer_id)
    for row in session.exec(left).all():  # at the hub: what members left for this one
        envelopes.append(row.checkpoint)
        ask = {"origin": row.origin, "witness": peer_id, "old_size": row.old_size, "path": row.path.split()}
        asks.append(ask)
    held = session.get(WitnessedLog, (federation.id, peer_id))
    envelopes += [held.checkpoint] if held else []  # it tells a peer that was restored what it had signed
    envelopes += _last_cosigned(session, node, federation, peer_id)
    says: dict[str, Any] = {"size": held.size if held else 0, "asks": asks}
    says |= {"generation": held.generation} if held and held.generation else {}
    return Vouched(tuple(dict.fromkeys(envelopes)), says)


def take_vouched(
    session: Session,
    node: Node,
    federation: Federation,
    origin: str,
    items: Sequence[Envelope],
    says: Mapping[str, Any] | None,
) -> list[str]:
    """Take what a parcel of `origin` carries of logs; return the codes of what was refused."""
    shown: dict[str, Checkpoint] = {}
    codes = []
    for item in items:
        try:
            if item.payload_type == COSIGNATURE_TYPE:
                take_cosignature(session, node, federation, item.raw)
                continue
            checkpoint = open_checkpoint(item.raw, lambda keyid: find_member(session, node, federation, keyid))
            shown[checkpoint.origin] = checkpoint
            if checkpoint.origin == node.node_id:
                restart_where_broken(session, node, federation, item.raw)
        except TrustError as error:
            codes.append(error.code)
    if says is None:
        return codes
    told = session.get(PeerStatements, (federation.id, origin)) or PeerStatements(
        federation=federation.id, peer_id=origin
    )
    same = says.get("generation", 0) == log_generation(session, federation.id)
    told.witnessed = says["size"] if same else 0
    session.add(told)
    for ask in says["asks"]:
        offered = shown.get(ask["origin"])
        if offered is None or offered.origin == node.node_id:
            continue
        if offered.origin == origin:
            code = take_asks(session, node, federation, offered, [ask])
        else:  # which its hub carried here
            code = cosign_or_say(session, node, federation, offered, ask) if ask["witness"] == node.node_id else ""
        codes += [code] if code and code != "witness-size" else []  # an older stick may ask from further back
    return codes


def _last_cosigned(session: Session, node: Node, federation: Federation, peer_id: str) -> list[bytes]:
    """Return the last cosignature of each witness that this peer should get: on its log; at the hub, ours on any."""
    found = select(Cosigned).where(Cosigned.federation == federation.id).order_by(col(Cosigned.cosigned_at))
    if peer_id == federation.hub_id:
        found = found.where(Cosigned.witness == node.node_id)
    else:
        found = found.where(Cosigned.origin == peer_id)
    return list({(row.origin, row.witness): row.envelope for row in session.exec(found).all()}.values())
