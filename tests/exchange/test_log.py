"""The node's own log: a leaf for every record, in its transaction; proofs from the database."""

import threading

import pytest
from sqlmodel import select

from federation.errors import TrustError
from federation.log import check_consistency, check_inclusion, count_nodes, hash_leaf
from federation.witness import leaf_entry
from node.context import Node
from node.exchange.inbox import PULL
from node.stream.log import append_leaf, find_index, log_root, log_size, prove_growth, prove_record
from node.stream.models import LogLeaf, LogNode, StoredRecord
from tests.exchange.conftest import World


def _check(node: Node) -> int:
    """Check a proof for every record and consistency between all sizes; return the size."""
    with node.database.read() as session:
        size = log_size(session)
        roots = [log_root(session, n) for n in range(size + 1)]
        for record in session.exec(select(StoredRecord).where(StoredRecord.kind != "")):
            index = find_index(session, record.id)
            assert index is not None
            shown = prove_record(session, index, size)
            leaf = hash_leaf(leaf_entry(record.id, shown.salt))
            check_inclusion(leaf, index, size, shown.path, roots[size])
            with pytest.raises(TrustError):
                check_inclusion(hash_leaf(leaf_entry(record.id, b"\0" * 32)), index, size, shown.path, roots[size])
        for old in range(size):
            check_consistency(old, roots[old], size, roots[size], prove_growth(session, old, size))
        leaves = session.exec(select(LogLeaf)).all()
        assert len({leaf.salt for leaf in leaves}) == len(leaves) == size
        assert len(session.exec(select(LogNode.place)).all()) == count_nodes(size)
        return size


def test_every_record_signed_or_taken_in_has_its_leaf(world: World) -> None:
    college = world.add_college()
    for n in range(5):
        envelope = world.append(college, n).envelope
        world.append(world.hub, n)
        world.receive(world.hub, envelope)
        world.receive(world.hub, envelope)  # a repetition adds nothing
    refused = world.append(college, 9, refuse=True).envelope
    world.receive(world.hub, refused)
    assert (_check(college), _check(world.hub)) == (6, 11)


def test_a_refusal_has_a_leaf_and_so_has_the_record_that_comes_after_all(world: World) -> None:
    college, reader = world.add_college(), world.add_college()
    world.introduce(reader, college)
    refused = world.append(college, 1, refuse=True).envelope
    world.push(college, refused)
    told = world.ask(reader, "pull", {"cursor": 0}).enclosed[0]
    world.receive(reader, told.raw, PULL)
    assert _check(reader) == 1
    with reader.database.read() as session:
        assert find_index(session, told.id) == 0
    world.receive(reader, refused, PULL)
    assert _check(reader) == 2


def test_a_leaf_is_there_with_its_record_or_not_at_all(world: World) -> None:
    world.append(world.hub, 1)
    with pytest.raises(RuntimeError), world.hub.database.write() as session:
        append_leaf(session, "1" * 64)
        raise RuntimeError
    world.append(world.hub, 2)
    assert _check(world.hub) == 2


def test_writers_side_by_side_make_one_log(world: World) -> None:
    threads = [
        threading.Thread(target=lambda k=k: [world.append(world.hub, 10 * k + n) for n in range(5)]) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _check(world.hub) == 20
