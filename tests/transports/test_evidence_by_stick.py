"""Forks that an origin and the hub make together are found by a stick between two readers."""

import json

from sqlmodel import select

from federation.envelope import RECORD_TYPE, read_envelope, sign
from node.context import Node
from node.exchange.inbox import PULL
from node.stream.models import Equivocation, StoredRecord
from tests.sync.conftest import Net

from .conftest import carry


def _forked(origin: Node, base: bytes) -> bytes:
    """Return another record in the place of `base`."""
    payload = json.loads(read_envelope(base).payload)
    return sign(json.dumps({**payload, "subject": "x", "content": {"n": 99}}).encode(), RECORD_TYPE, origin.signer)


def _proofs(node: Node) -> int:
    with node.database.read() as session:
        return len(session.exec(select(Equivocation)).all())


def _current(node: Node, origin: Node) -> list[int]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all()
    return sorted(row.sequence for row in rows if row.state == "current")


def test_a_stick_between_two_readers_finds_a_fork_that_hub_and_origin_made(net: Net) -> None:
    origin, one, two = net.college(), net.college(), net.college()
    for reader, other in ((one, two), (two, one)):
        net.world.introduce(reader, origin)
        net.world.introduce(reader, other)
    records = [net.world.append(origin, n).envelope for n in range(3)]
    for envelope in records:  # what the hub serves to one
        assert net.world.receive(one, envelope, PULL).verdict == "accepted"
    for envelope in [*records[:2], _forked(origin, records[2])]:  # and to the other
        assert net.world.receive(two, envelope, PULL).verdict == "accepted"
    assert carry(net.world, one, two).statements == 1
    assert _proofs(two) == 0  # a reader's word alone proves nothing: two now asks for the record
    carry(net.world, two, one)
    carry(net.world, one, two)
    assert _proofs(two) == 1
    assert _current(two, origin) == [1, 2]
    carry(net.world, two, one)  # the proof goes on
    assert _proofs(one) == 1
    assert _current(one, origin) == [1, 2]
    assert carry(net.world, one, two).codes.keys() <= {"equivocation"}


def test_an_origins_own_statement_by_relay_path_is_taken(net: Net) -> None:
    origin, reader = net.college(), net.college()
    net.world.introduce(reader, origin)
    net.world.introduce(origin, reader)
    first = net.world.append(origin, 1).envelope
    assert net.world.receive(reader, _forked(origin, first), PULL).verdict == "accepted"
    carry(net.world, origin, reader)
    assert _proofs(reader) == 1
    assert _current(reader, origin) == []
