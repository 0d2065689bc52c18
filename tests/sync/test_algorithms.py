"""A federation of several signature algorithms: each belongs to a key, and nothing in a message can choose another."""

import base64
import json

import pytest
from sqlmodel import select

from federation.envelope import RECORD_TYPE, read_envelope, sign
from node.context import Node
from node.exchange import inbox
from node.stream.models import OutboxItem, Peer, Receipt, StoredRecord
from tests.sync.conftest import Net

COLLEGES = ("ml-dsa-65/1", "ecdsa-sha2-nistp256")


def _held(node: Node) -> dict[str, str]:
    with node.database.read() as session:
        return {row.id: row.state for row in session.exec(select(StoredRecord)) if row.kind == "sample"}


def test_nodes_of_three_algorithms_exchange_everything(net: Net) -> None:
    world = net.world
    lattice, curve = (net.college(key_algorithm=algorithm) for algorithm in COLLEGES)
    assert [node.signer.public_key.scheme for node in (world.hub, lattice, curve)] == ["ed25519", *COLLEGES]
    sent = [
        world.append(node, n, stream=stream) for n, node in enumerate((lattice, curve), 1) for stream in ("all", "hub")
    ]
    sent += [world.append(world.hub, 3), world.append(world.hub, 4, stream=f"node:{lattice.node_id}")]
    for _ in range(2):
        for college in (lattice, curve):
            assert [result.state for result in net.run(college)] == ["ok"]
    to_all = {record.id for record in sent if record.stream == "all"}
    assert _held(world.hub) == {record.id: "current" for record in sent}
    assert _held(lattice) == {
        record.id: "current"
        for record in sent
        if record.id in to_all or record.origin == lattice.node_id or record.stream == f"node:{lattice.node_id}"
    }
    assert _held(curve) == {
        record.id: "current" for record in sent if record.id in to_all or record.origin == curve.node_id
    }
    for college in (lattice, curve):
        with college.database.read() as session:
            assert {item.state for item in session.exec(select(OutboxItem))} == {"delivered"}
            peers = {peer.id: peer.keyid for peer in session.exec(select(Peer))}
            rows = session.exec(select(StoredRecord)).all()
        for row in rows:  # each envelope is signed by its origin's key and names nothing but that key
            keys = {**peers, college.node_id: college.signer.public_key.keyid}
            assert read_envelope(row.envelope).keyids == (keys[row.origin],)
    with world.hub.database.read() as session:
        assert len(session.exec(select(Receipt)).all()) == 4


@pytest.mark.parametrize("algorithm", COLLEGES)
def test_an_algorithm_named_in_a_message_changes_nothing(net: Net, algorithm: str) -> None:
    world = net.world
    college, other = net.college(key_algorithm=algorithm), net.college()
    base = world.append(college, 1).envelope
    envelope = read_envelope(base)
    (keyid, signature) = envelope.signatures[0]

    def verdict(data: bytes) -> tuple[str, str]:
        outcome = world.receive(world.hub, data, inbox.PUSH)
        return outcome.verdict, outcome.code

    payload = json.loads(envelope.payload)
    named = sign(json.dumps({**payload, "alg": "ed25519"}).encode(), RECORD_TYPE, college.signer)
    assert verdict(named) == ("refused", "schema-invalid")
    for member in (b'"alg":"none"', b'"scheme":"ed25519"'):
        assert verdict(base.replace(b'{"keyid"', b"{" + member + b',"keyid"')) == ("refused", "envelope-shape")
    elsewhere = base.replace(RECORD_TYPE.encode(), RECORD_TYPE.replace("record", "record-ed25519").encode())
    assert verdict(elsewhere) == ("refused", "type-unknown")
    # a good signature of another algorithm's key, under this key's id, and the other way round
    foreign = other.signer.sign(envelope.pae)
    swapped = base.replace(base64.b64encode(signature), base64.b64encode(bytes.fromhex(foreign.signature)))
    assert verdict(swapped) == ("refused", "signature-invalid")
    assert verdict(base.replace(keyid.encode(), foreign.keyid.encode())) == ("refused", "signature-invalid")
    assert verdict(base) == ("accepted", "")
