"""The log against RFC 6962 word for word and against an independent implementation; what is bent is refused."""

from collections.abc import Sequence
from hashlib import sha256
from random import Random

import pytest
from pymerkle import InmemoryTree, verify_consistency

from federation.errors import TrustError
from federation.log import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    count_nodes,
    extend,
    hash_leaf,
    prove_consistency,
    prove_inclusion,
    root_of,
)

SIZE = 130  # beyond 128 on both sides of it


class ListNodes:
    """A store in memory that counts what it is asked for."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.reads = 0

    def read(self, places: Sequence[int]) -> list[bytes]:
        self.reads += len(places)
        return [self.hashes[place] for place in places]

    def append(self, first: int, hashes: Sequence[bytes]) -> None:
        assert first == len(self.hashes)
        self.hashes += hashes


def log_of(entries: Sequence[bytes]) -> ListNodes:
    nodes = ListNodes()
    assert extend(nodes, 0, entries) == len(entries)
    return nodes


ENTRIES = [b"entry %d" % n for n in range(SIZE)]


# --- RFC 6962, 2.1 word for word
def mth(d: Sequence[bytes]) -> bytes:
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = _k(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = _k(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: Sequence[bytes]) -> list[bytes]:
    return subproof(m, d, whole=True)


def subproof(m: int, d: Sequence[bytes], *, whole: bool) -> list[bytes]:
    n = len(d)
    if m == n:
        return [] if whole else [mth(d)]
    k = _k(n)
    if m <= k:
        return [*subproof(m, d[:k], whole=whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], whole=False), mth(d[:k])]


def _k(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def test_every_root_and_proof_is_that_of_the_definition() -> None:
    nodes = log_of(ENTRIES)
    compared = 0
    for size in range(SIZE + 1):
        assert root_of(nodes, size) == mth(ENTRIES[:size])
        for index in range(0, size, 3):
            assert prove_inclusion(nodes, index, size) == path(index, ENTRIES[:size])
            compared += 1
        for old in range(1, size + 1, 3):
            assert prove_consistency(nodes, old, size) == proof(old, ENTRIES[:size])
            compared += 1
    assert compared == 5_764


def test_every_root_and_proof_is_that_of_an_independent_implementation() -> None:
    nodes = log_of(ENTRIES)
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries(ENTRIES)
    compared = 0
    for size in sorted({2, 3, 4, 64, 128, *range(1, SIZE + 1, 4)}):
        assert root_of(nodes, size) == tree.get_root(size)
        for index in range(size):
            theirs = tree.prove_inclusion(index + 1, size)
            assert [hash_leaf(ENTRIES[index]), *prove_inclusion(nodes, index, size)] == theirs.path
            check_inclusion(theirs.path[0], index, size, theirs.path[1:], tree.get_root(size))
            compared += 1
        for old in range(1, size):
            roots = root_of(nodes, old), root_of(nodes, size)
            theirs_too = tree.prove_consistency(old, size)
            verify_consistency(*roots, theirs_too, prior_size=old, later_size=size)  # their proof and verifier
            ours = prove_consistency(nodes, old, size)
            check_consistency(old, tree.get_root(old), size, tree.get_root(size), ours)  # their roots
            compared += 1
    assert compared == 4_654


def test_nothing_bent_is_believed() -> None:
    nodes, random, refused = log_of(ENTRIES), Random(6962), 0  # noqa: S311
    for _ in range(2_000):
        size = random.randint(2, SIZE)
        index, root = random.randrange(size), root_of(nodes, size)
        good = prove_inclusion(nodes, index, size)
        leaf = hash_leaf(ENTRIES[index])
        check_inclusion(leaf, index, size, good, root)
        for bent in _bend(good, random):
            refused += _refuses(check_inclusion, leaf, index, size, bent, root)
        refused += _refuses(check_inclusion, leaf, (index + 1) % size, size, good, root)
        refused += _refuses(check_inclusion, hash_leaf(b"other"), index, size, good, root)
        old = random.randint(1, size - 1)
        old_root, good = root_of(nodes, old), prove_consistency(nodes, old, size)
        check_consistency(old, old_root, size, root, good)
        for bent in _bend(good, random):
            refused += _refuses(check_consistency, old, old_root, size, root, bent)
        refused += _refuses(check_consistency, old, hash_leaf(b"fork"), size, root, good)
        refused += _refuses(check_consistency, size, root, old, old_root, good)
    assert refused > 15_000


def _bend(good: list[bytes], random: Random) -> list[list[bytes]]:
    bent = [[*good, b"\x00" * 32], good[:-1]] if good else [[b"\x00" * 32]]
    if good:
        at = random.randrange(len(good))
        bent.append([*good[:at], bytes(a ^ 1 for a in good[at]), *good[at + 1 :]])
    if len(set(good)) > 1:
        bent.append(good[::-1])
    return bent


def _refuses(check: object, *arguments: object) -> bool:
    with pytest.raises(TrustError) as refusal:
        check(*arguments)  # type: ignore[operator]
    return refusal.value.code.startswith("proof-")


def test_a_fork_has_no_consistency_proof() -> None:
    nodes = log_of(ENTRIES)
    forked = log_of([*ENTRIES[:40], b"other", *ENTRIES[41:]])
    for old in range(41, SIZE):
        with pytest.raises(TrustError, match="proof-consistency"):
            check_consistency(
                old, root_of(nodes, old), SIZE, root_of(forked, SIZE), prove_consistency(forked, old, SIZE)
            )


def test_appending_one_by_one_or_in_parts_is_the_same() -> None:
    whole, single = log_of(ENTRIES), ListNodes()
    for size, entry in enumerate(ENTRIES):
        assert extend(single, size, [entry]) == size + 1
        assert len(single.hashes) == count_nodes(size + 1)
    assert single.hashes == whole.hashes


def test_work_grows_with_the_logarithm() -> None:
    nodes = log_of([b"%d" % n for n in range(100_000)])
    nodes.reads = 0
    prove_inclusion(nodes, 77_777, 100_000)
    prove_consistency(nodes, 65_537, 100_000)
    extend(nodes, 100_000, [b"one more"])
    assert nodes.reads < 5 * 17


def test_an_empty_log_is_the_beginning_of_every_log() -> None:
    nodes = log_of(ENTRIES)
    assert root_of(nodes, 0) == EMPTY_ROOT
    check_consistency(0, EMPTY_ROOT, SIZE, root_of(nodes, SIZE), prove_consistency(nodes, 0, SIZE))
    with pytest.raises(ValueError, match="no such"):
        prove_inclusion(nodes, SIZE, SIZE)
    with pytest.raises(ValueError, match="no such"):
        prove_consistency(nodes, SIZE + 1, SIZE)
