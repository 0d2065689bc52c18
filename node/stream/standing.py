"""Whether a member counts now: as the list says, but for the time of a hold, which begins and ends by the clock alone.

No refresh is waited for: a hold of which a node has once heard lapses there on its own, also where nobody is reached.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import col

from federation.roll import AGGREGATOR
from node.stream.models import Peer

ACTIVE, SUSPENDED, RETIRED, REVOKED = "active", "suspended", "retired", "revoked"  # of peers and of their keys


def is_active(peer: Peer, now: datetime) -> bool:
    """Tell whether the peer is an active member at `now`."""
    return counts(peer.status, peer.held_from, peer.held_until, now)


def reports(peer: Peer) -> bool:
    """Tell whether figures are expected of the peer: it is no hub, and not the second body of exact totals."""
    return not peer.is_hub and AGGREGATOR not in peer.groups.split()


def active_at(now: datetime) -> ColumnElement[bool]:
    """Return the same as a condition on `Peer`."""
    free = or_(col(Peer.held_until).is_(None), col(Peer.held_until) <= now, col(Peer.held_from) > now)
    return and_(col(Peer.status) == ACTIVE, free)


def counts(status: str | None, held_from: datetime | None, held_until: datetime | None, now: datetime) -> bool:
    """Tell whether a member of this listed status, held for this time, is active at `now`."""
    held = held_from is not None and held_until is not None and held_from <= now < held_until
    return status == ACTIVE and not held
