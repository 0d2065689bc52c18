"""Keys that are revoked at a time: what is older stays, the rest is unproven until the new key signs the same bytes."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from federation.envelope import add_signature, read_envelope
from federation.errors import NotPermitted
from federation.evidence import check_evidence
from federation.keys import new_private_pem, public_pem, read_signer
from federation.witness import Witnessed
from node.access.permissions import SYSTEM, Actor
from node.context import Node
from node.exchange.alarms import export_evidence
from node.exchange.inbox import PULL
from node.exchange.revocation import apply_revocations, countersign
from node.exchange.witness import active_members
from node.stream.models import Cosigned, OwnCheckpoint, Peer, PeerKey, ProvenRecord, StoredRecord
from node.stream.service import find_member, get_federation
from tests.exchange.conftest import START, World
from tests.sync.conftest import Net


def _revoke(world: World, at_node: Node, of: Node, at: datetime, new: Node | None = None) -> None:
    """Write into a node's list that a key was revoked at a time, and which one stands in its place."""
    key = of.signer.public_key
    with at_node.database.write() as session:
        session.merge(
            PeerKey(
                federation=world.federation,
                keyid=key.keyid,
                peer_id=of.node_id,
                public_key=public_pem(key),
                status="revoked",
                revoked_at=at,
            )
        )
        peer = session.get(Peer, (world.federation, of.node_id))
        if new is not None and peer is not None:
            peer.public_key, peer.keyid = public_pem(new.signer.public_key), new.signer.public_key.keyid
            session.add(peer)


def _states(node: Node, origin: Node) -> list[tuple[int, str]]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all()
    return sorted((row.sequence, row.state) for row in rows)


def test_what_was_taken_in_before_stays_and_the_rest_is_unproven(world: World) -> None:
    college = world.add_college()
    for n in range(3):
        world.clock.at = START + timedelta(hours=n)
        world.receive(world.hub, world.append(college, n).envelope)
    assert len(world.seen.taken) == 3
    _revoke(world, world.hub, college, START + timedelta(minutes=90))
    assert apply_revocations(world.hub, world.handlers) == 1
    assert _states(world.hub, college) == [(1, "current"), (2, "current"), (3, "unproven")]
    assert len(world.seen.taken) == 2, "out of what is counted and shown"
    assert apply_revocations(world.hub, world.handlers) == 0
    world.receive(world.hub, world.append(college, 7).envelope)  # a thief goes on
    assert _states(world.hub, college)[3:] == [(4, "unproven")]
    late = world.add_college()
    world.introduce(late, college)
    _revoke(world, late, college, START + timedelta(minutes=90))
    with world.hub.database.read() as session:
        served = [row.envelope for row in session.exec(select(StoredRecord).order_by(StoredRecord.sequence))]  # type: ignore[arg-type]
    for envelope in served:
        world.receive(late, envelope, PULL)
    assert {state for _, state in _states(late, college)} == {"unproven"}, "a newcomer has seen none of it in time"


def test_the_new_key_signs_the_same_bytes_and_they_count_again(world: World) -> None:
    college = world.add_college()
    world.receive(world.hub, world.append(college, 1).envelope)
    renewed = replace(college, signer=read_signer(new_private_pem()))
    before = START - timedelta(days=1)
    for node in (world.hub, college):
        _revoke(world, node, college, before, renewed)
    apply_revocations(world.hub, world.handlers)
    assert _states(world.hub, college) == [(1, "unproven")]
    with pytest.raises(NotPermitted):
        countersign(renewed, Actor("a", "a", "viewer"))
    assert countersign(renewed, SYSTEM) == 1
    assert countersign(renewed, SYSTEM) == 0, "once is enough"
    with college.database.read() as session:
        stored = session.exec(select(StoredRecord)).one()
    assert len(read_envelope(stored.envelope).keyids) == 2
    assert read_envelope(stored.envelope).id == stored.id
    world.receive(world.hub, stored.envelope)
    assert _states(world.hub, college) == [(1, "current")]
    assert list(world.seen.taken) == [stored.id]
    late = world.add_college()
    world.introduce(late, renewed)
    _revoke(world, late, college, before, renewed)
    world.receive(late, stored.envelope, PULL)
    assert _states(late, college) == [(1, "current")], "a newcomer needs the new signature alone"


def test_a_thief_cannot_countersign(world: World) -> None:
    college, thief = world.add_college(), world.add_college()
    world.receive(world.hub, world.append(college, 1).envelope)
    _revoke(world, world.hub, college, START - timedelta(days=1))
    apply_revocations(world.hub, world.handlers)
    with world.hub.database.read() as session:
        envelope = session.exec(select(StoredRecord)).one().envelope
    world.receive(world.hub, add_signature(envelope, thief.signer))
    assert _states(world.hub, college) == [(1, "unproven")]


def test_what_witnesses_had_seen_in_time_counts_for_a_newcomer(net: Net) -> None:
    one, two, three, late = (net.college() for _ in range(4))
    hub = net.world.hub
    net.world.append(one, 1)
    for node in (one, two, three, one, two, three):
        net.run(node)
    net.world.clock.forward(hours=5)
    theft = net.world.clock()
    net.world.clock.forward(hours=5)
    net.world.append(one, 2)  # the thief's
    for node in (one, two, three, one, two, three):
        net.run(node)
    _revoke(net.world, hub, one, theft)
    net.world.introduce(late, one)
    _revoke(net.world, late, one, theft)
    net.run(late)
    with late.database.read() as session:
        rows = session.exec(select(StoredRecord).where(StoredRecord.origin == one.node_id)).all()
        times = {row.subject: session.get_one(ProvenRecord, row.id).witnessed_at for row in rows}
        assert {row.subject: row.state for row in rows} == {"s1": "current", "s2": "unproven"}
        assert session.get_one(ProvenRecord, rows[0].id).log == hub.node_id
    assert times["s1"] < theft < times["s2"], "both are proven to be in the log; one of them since too late"
    file = export_evidence(late, Actor("a-1", "officer", "officer"), rows[0].id)
    with late.database.read() as session:
        federation = get_federation(session)
        members = active_members(session, late, federation)
        shown = check_evidence(
            file, lambda keyid: find_member(session, late, federation, keyid), hub=hub.node_id, members=members
        )
    assert isinstance(shown, Witnessed)
    assert (shown.record_id, shown.log) == (rows[0].id, hub.node_id)
    assert len(shown.witnesses) >= 2


def test_a_thief_that_back_dates_its_own_cosignatures_convinces_nobody(net: Net) -> None:
    one, two, late = net.college(), net.college(), net.college()
    hub = net.world.hub
    theft = net.world.clock()
    net.world.clock.forward(hours=5)
    net.world.append(one, 2)
    net.run(one)
    net.run(two)
    with hub.database.write() as session:  # the hub helps and writes an earlier time, the other witness does not
        for row in session.exec(select(Cosigned)).all():
            row.cosigned_at = theft - timedelta(hours=1)
        assert session.exec(select(OwnCheckpoint)).first() is not None
    net.world.introduce(late, one)
    for node in (hub, late):
        _revoke(net.world, node, one, theft)
    net.run(late)
    assert [state for _, state in _states(late, one)] == ["unproven"]
