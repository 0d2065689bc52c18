"""Keys that are revoked at a time: what is older stays, the rest is unproven until the new key signs the same bytes."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from federation.documents import dump_document, format_time, read_object
from federation.envelope import COSIGNATURE_TYPE, add_signature, read_envelope, sign, with_signatures
from federation.errors import NotPermitted
from federation.evidence import check_evidence
from federation.keys import new_private_pem, public_pem, read_signer
from federation.witness import Witnessed
from node.access.permissions import SYSTEM, Actor
from node.context import Node
from node.exchange.alarms import export_evidence
from node.exchange.cosigning import active_members, current_checkpoint
from node.exchange.inbox import PULL
from node.exchange.revocation import _prove, apply_revocations, countersign
from node.stream.models import (
    Cosigned,
    Equivocation,
    OriginBreak,
    OwnCheckpoint,
    Peer,
    PeerKey,
    ProvenRecord,
    StoredRecord,
)
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


@pytest.mark.parametrize("beside", ["nobody", "another member", "another key of its own", "that key, truly"])
def test_only_a_valid_signature_of_another_key_of_its_own_spares_a_record(world: World, beside: str) -> None:
    thief, other = world.add_college(), world.add_college()
    second = replace(thief, signer=read_signer(new_private_pem()))
    envelope = read_envelope(world.append(thief, 1).envelope)
    junk = {"nobody": "00" * 32, "another member": other.signer.public_key.keyid}
    keyid = junk.get(beside, second.signer.public_key.keyid)
    raw = with_signatures(envelope, [*envelope.signatures, (keyid, b"junk" * 16)])
    if beside == "that key, truly":
        raw = add_signature(envelope.raw, second.signer)
    world.receive(world.hub, envelope.raw)
    with world.hub.database.write() as session:  # as it would stand had it come with both
        stored = session.exec(select(StoredRecord)).one()
        stored.envelope = raw
        session.add(stored)
    _revoke(world, world.hub, thief, START - timedelta(hours=1), second)
    spared = beside == "that key, truly"
    assert apply_revocations(world.hub, world.handlers) == (0 if spared else 1)
    assert _states(world.hub, thief) == [(1, "current" if spared else "unproven")]


def test_what_a_retired_key_signed_after_its_day_is_countersigned_too(world: World) -> None:
    college = world.add_college()
    renewed = replace(college, signer=read_signer(new_private_pem()))
    early = world.append(college, 1)
    world.clock.forward(days=2)
    late = world.append(college, 2)  # the old machine went on
    for node in (world.hub, college):
        _revoke(world, node, college, START + timedelta(days=1), renewed)
        with node.database.write() as session:
            row = session.get_one(PeerKey, (world.federation, college.signer.public_key.keyid))
            row.status, row.revoked_at, row.retired_at = "retired", None, START + timedelta(days=1)
            session.add(row)
    for record in (early, late):
        world.receive(world.hub, record.envelope)
    assert _states(world.hub, college) == [(1, "current"), (2, "unproven")]
    assert countersign(renewed, SYSTEM) == 1, "nobody asks about what it signed in its time"
    with college.database.read() as session:
        world.receive(world.hub, session.get_one(StoredRecord, late.id).envelope)
    assert _states(world.hub, college) == [(1, "current"), (2, "current")]


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
        federation = get_federation(session, late)
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


def test_a_lying_witness_crowds_nobody_out(net: Net) -> None:
    """Unasked, many and back-dated cosignatures: one of each witness is kept, and only the required ones are sent."""
    world, hub = net.world, net.world.hub
    liar, one, two, origin = (net.college() for _ in range(4))
    record = world.append(origin, 1)
    net.run(origin)
    world.clock.forward(hours=2)
    for node in (one, two, one, two):
        net.run(node)
    with liar.database.write() as session:
        own = current_checkpoint(session, liar, get_federation(session, liar)).envelope
    with hub.database.read() as session:
        theirs = [row.envelope for row in session.exec(select(OwnCheckpoint)).all()]
    fakes = []
    for envelope in theirs:
        said = read_object(read_envelope(envelope).payload)
        for minutes in range(3):
            word = {name: said[name] for name in ("version", "federation", "origin", "size", "root")}
            at = START + timedelta(days=-100 if minutes else 1, minutes=minutes)
            word |= {"witness": liar.node_id, "checkpoint": read_envelope(envelope).id, "cosigned_at": format_time(at)}
            fakes.append(sign(dump_document(word), COSIGNATURE_TYPE, liar.signer))
    world.ask(liar, "witness", {"asks": [], "held": 0}, [own, *fakes])
    with hub.database.read() as session:
        rows = session.exec(select(Cosigned).where(Cosigned.origin == hub.node_id)).all()
        kept = [(row.checkpoint, row.witness) for row in rows]
        federation = get_federation(session, hub)
        documents, _ = _prove(session, hub, federation, session.get_one(StoredRecord, record.id))
        senders = [read_object(read_envelope(data).payload)["witness"] for data in documents[1:]]
    assert len(set(kept)) == len(kept), "one of each witness under each checkpoint"
    assert all(row.cosigned_at >= START for row in rows), "none from before the checkpoint"
    assert len(senders) == len(set(senders)) == 2, "what was counted, and no more"


def test_where_the_newest_revision_is_unproven_the_one_before_is_shown(world: World) -> None:
    college = world.add_college()
    first = world.append(college, 1, subject="s")
    world.receive(world.hub, first.envelope)
    world.clock.forward(hours=2)
    world.receive(world.hub, world.append(college, 2, subject="s").envelope)
    shown: list[str] = []
    handlers = {
        "sample": lambda _, record, __: shown.append(record.id),
        "sample:withdraw": lambda *_: shown.clear(),
    }
    _revoke(world, world.hub, college, START + timedelta(hours=1))
    assert apply_revocations(world.hub, handlers) == 1
    assert shown == [first.id]


def test_a_thief_of_a_revoked_key_contradicts_nobody_and_holds_no_place(world: World) -> None:
    """What was taken in before stays current; what the thief signed at later places gives way to the new key."""
    college = world.add_college()
    first = world.append(college, 1)
    world.receive(world.hub, first.envelope)
    world.clock.forward(hours=2)
    renewed = replace(college, signer=read_signer(new_private_pem()))
    for node in (world.hub, college):
        _revoke(world, node, college, START + timedelta(hours=1), renewed)
    elsewhere = world.forge(college, first.envelope, sequence=2, previous="ab" * 32)
    for envelope in (world.forge(college, first.envelope, content={"n": 9}), elsewhere):
        assert world.receive(world.hub, envelope).code == "key-revoked"
    place = {"sequence": 2, "previous": first.id}
    stolen = world.forge(college, first.envelope, **place, subject="s7")
    further = world.forge(college, first.envelope, sequence=3, previous=read_envelope(stolen).id, subject="s8")
    for envelope in (stolen, further):
        assert world.receive(world.hub, envelope).code == "key-revoked"
    assert _states(world.hub, college) == [(1, "current"), (2, "unproven"), (3, "unproven")]
    own = [world.append(renewed, n) for n in (2, 3)]
    assert [world.receive(world.hub, record.envelope).code for record in own] == ["", ""]
    assert _states(world.hub, college) == [(1, "current"), (2, "current"), (3, "current")]
    assert world.receive(world.hub, stolen).code == "key-revoked", "it comes again, to no effect"
    with world.hub.database.read() as session:
        assert session.exec(select(Equivocation)).all() == []
        [noted] = session.exec(select(OriginBreak)).all()
    assert (noted.before, noted.after, noted.first_envelope) == (3, 1, further)
