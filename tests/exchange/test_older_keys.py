"""Who holds a key that was retired or revoked says nothing new with it; what it signed in its time stands."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from federation.acceptance import Verdict
from federation.errors import TrustError
from federation.keys import new_private_pem, public_pem, read_signer
from federation.parcel import Says, build_parcel, read_parcel
from node.context import Node
from node.exchange.inbox import PULL
from node.exchange.unpacking import open_parcel
from node.stream.models import Peer, PeerKey

from .conftest import START, World
from .test_refusals import refuse


def _turn(world: World, at: Node, of: Node, status: str, since: datetime) -> Node:
    """Let `at` know `of` by a new key and the old one as retired or revoked; return `of` with its new key."""
    new = replace(of, signer=read_signer(new_private_pem()))
    with at.database.write() as session:
        for key, state in ((of.signer.public_key, status), (new.signer.public_key, "active")):
            row = PeerKey(
                federation=world.federation,
                keyid=key.keyid,
                peer_id=of.node_id,
                public_key=public_pem(key),
                status=state,
            )
            row.revoked_at = since if state == "revoked" else None
            row.retired_at = since if state == "retired" else None
            session.merge(row)
        peer = session.get_one(Peer, (world.federation, of.node_id))
        peer.public_key, peer.keyid = public_pem(new.signer.public_key), new.signer.public_key.keyid
        session.add(peer)
    return new


@pytest.mark.parametrize("status", ["retired", "revoked"])
def test_an_older_key_of_the_hub_refuses_nothing(world: World, status: str) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    new = _turn(world, reader, world.hub, status, START - timedelta(days=9))
    outcome = world.receive(reader, refuse(world, world.hub, origin.node_id, "all", 1, "cd" * 32), PULL)
    assert (outcome.verdict, outcome.code) == (Verdict.REFUSED, f"key-{status}")
    assert world.receive(reader, refuse(world, new, origin.node_id, "all", 1, "cd" * 32), PULL).refusal is not None


@pytest.mark.parametrize("status", ["retired", "revoked"])
def test_a_parcel_of_an_older_key_is_not_believed(world: World, status: str) -> None:
    member = world.add_college()
    _turn(world, world.hub, member, status, START - timedelta(days=9))
    data = build_parcel(
        member.signer,
        origin=member.node_id,
        federation=world.federation,
        audience=world.hub.node_id,
        number=9,
        at=world.clock(),
        says=Says(cursor=9_000_000),
    )
    with pytest.raises(TrustError) as caught:
        open_parcel(world.hub, read_parcel(data))
    assert caught.value.code == f"key-{status}"


def test_what_a_retired_key_signs_later_is_unproven_and_what_it_signed_before_counts(world: World) -> None:
    member = world.add_college()
    before = world.append(member, 1)
    _turn(world, world.hub, member, "retired", START + timedelta(days=1))
    world.clock.forward(days=400)
    after = world.append(member, 2)
    assert world.receive(world.hub, before.envelope).verdict is Verdict.ACCEPTED
    world.receive(world.hub, after.envelope)
    assert world.states(world.hub) == [(1, "current", ""), (2, "unproven", "key-retired")]


def test_a_refusal_that_is_served_is_of_the_present_key(world: World) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    world.push(origin, world.append(origin, 1, refuse=True).envelope)
    old = world.hub
    world.hub = _turn(world, reader, old, "revoked", START - timedelta(days=9))
    world.app.state.node = world.hub
    enclosed = world.ask(reader, "pull", {"cursor": 0}).enclosed
    assert [world.receive(reader, item.raw, PULL).code for item in enclosed] == ["sample-refused"]
