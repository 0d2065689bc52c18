"""An append-only log as a Merkle tree of RFC 6962.

Whoever holds a root can be shown that an entry is in the log, and that a longer log only went on from this one.

    leaf = SHA-256(0x00 || entry)          node = SHA-256(0x01 || left || right)

Only the roots of complete subtrees are kept: they never change. They lie in the order in which they come to be (leaf 0,
leaf 1, their parent, leaf 2, ...), so a store is nothing but a growing list of hashes: after n leaves it holds
2n - popcount(n) of them. Appending reads and writes O(log n) of them, so does a proof, and memory does not depend on n.
Nothing here knows what an entry is, signs or stores.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol

from federation.errors import TrustError

EMPTY_ROOT = sha256(b"").digest()
MAX_PATH = 64  # hashes of one proof; enough for 2^63 leaves


class Nodes(Protocol):
    """Where the hashes lie: a list that only grows."""

    def read(self, places: Sequence[int]) -> list[bytes]:
        """Return the hashes at these places, in this order."""

    def append(self, first: int, hashes: Sequence[bytes]) -> None:
        """Put these hashes at the places from `first` on, which is where the list ends."""


def count_nodes(size: int) -> int:
    """Return how many hashes a store holds after `size` leaves."""
    return 2 * size - size.bit_count()


def hash_leaf(entry: bytes) -> bytes:
    """Return the leaf hash of an entry."""
    return sha256(b"\x00" + entry).digest()


def extend(nodes: Nodes, size: int, entries: Iterable[bytes]) -> int:
    """Append entries to a log of `size` leaves and return its new size; hold the log's lock meanwhile."""
    edge = nodes.read(_peaks(0, size))
    first, hashes = count_nodes(size), []
    for entry in entries:
        node = sha256(b"\x00" + entry).digest()
        hashes.append(node)
        whole = size
        while whole & 1:  # as many pairs are complete now as `size` ends with ones
            node = sha256(b"\x01" + edge.pop() + node).digest()
            hashes.append(node)
            whole >>= 1
        edge.append(node)
        size += 1
    nodes.append(first, hashes)
    return size


def root_of(nodes: Nodes, size: int) -> bytes:
    """Return the root of the first `size` leaves."""
    return _fold(nodes.read(_peaks(0, size))) if size else EMPTY_ROOT


def prove_inclusion(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the audit path (RFC 6962, 2.1.1) of leaf `index` (from 0) in the log of `size` leaves."""
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    return _climb_from(nodes, index, 0, size, [])


def prove_consistency(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Return the proof (RFC 6962, 2.1.2) that the log of `new` leaves begins with that of `old`."""
    if not 0 <= old <= new:
        raise ValueError("no such sizes")
    if old in {0, new}:
        return []
    index, level = old - 1, 0  # the last leaf of the old log, and the greatest complete subtree that it ends
    while index & 1:
        index, level = index >> 1, level + 1
    itself = [_place(index, level)] if index else []  # else that subtree is the old log, whose root the verifier has
    return _climb_from(nodes, index, level, new, itself)


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raise TrustError `proof-inclusion` unless `path` leads from the leaf hash to the root of `size` leaves."""
    if not 0 <= index < size or len(path) > MAX_PATH:
        raise _no_inclusion()
    node, last = leaf, size - 1
    for step in path:
        if not last:
            raise _no_inclusion()
        if index & 1 or index == last:
            node = sha256(b"\x01" + step + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + step).digest()
        index, last = index >> 1, last >> 1
    if last or node != root:
        raise _no_inclusion()


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raise TrustError `proof-consistency` unless the log (`new`, `new_root`) begins with (`old`, `old_root`)."""
    if not 0 <= old <= new or len(path) > MAX_PATH:
        raise no_consistency()
    if old in {0, new}:
        if path or old_root != (new_root if old else EMPTY_ROOT):
            raise no_consistency()
        return
    steps = list(path) if old & (old - 1) else [old_root, *path]
    if not steps or _climb(steps, old - 1, new - 1) != (old_root, new_root):
        raise no_consistency()


def _climb(steps: Sequence[bytes], index: int, last: int) -> tuple[bytes, bytes]:
    """Return the two roots to which the steps lead from the last leaf of the old log, RFC 9162, 2.1.4.2."""
    while index & 1:
        index, last = index >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if not last:
            raise no_consistency()
        if index & 1 or index == last:
            before = sha256(b"\x01" + step + before).digest()
            after = sha256(b"\x01" + step + after).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            after = sha256(b"\x01" + after + step).digest()
        index, last = index >> 1, last >> 1
    if last:
        raise no_consistency()
    return before, after


def _place(index: int, level: int) -> int:
    """Return where the root of the complete subtree `index` (from 0) of 2^level leaves lies."""
    last = ((index + 1) << level) - 1  # with this leaf the subtree became complete
    return 2 * last - last.bit_count() + level


def _peaks(start: int, end: int) -> list[int]:
    """Return the places of the complete subtrees that make up the leaves `start` to `end`, left to right."""
    places = []
    while start < end:
        level = (end - start).bit_length() - 1
        places.append(_place(start >> level, level))
        start += 1 << level
    return places


def _fold(peaks: Sequence[bytes]) -> bytes:
    node = peaks[-1]
    for left in peaks[-2::-1]:
        node = sha256(b"\x01" + left + node).digest()
    return node


def _climb_from(nodes: Nodes, index: int, level: int, size: int, places: list[int]) -> list[bytes]:
    """Return the hashes at `places`, then every sibling on the way from a subtree to the root; all is read at once."""
    ragged = (0, 0)  # of the siblings only the last one may be no complete subtree: which, and of how many parts
    while index or 1 << level < size:
        start = (index ^ 1) << level
        if start + (1 << level) <= size:
            last = start + (1 << level) - 1
            places.append(2 * last - last.bit_count() + level)
        elif start < size:
            parts = _peaks(start, size)
            ragged = len(places), len(parts)
            places += parts
        index, level = index >> 1, level + 1
    hashes = nodes.read(places)
    at, parts_count = ragged
    if parts_count:
        hashes[at : at + parts_count] = [_fold(hashes[at : at + parts_count])]
    return hashes


def _no_inclusion() -> TrustError:
    return TrustError("proof-inclusion", "收录证明不成立。", "The proof does not show the entry in this log.")


def no_consistency() -> TrustError:
    """Return the refusal of a log that does not go on from what was seen of it."""
    return TrustError(
        "proof-consistency", "日志不是原有日志的延续。", "This log does not go on from the one that was seen before."
    )
