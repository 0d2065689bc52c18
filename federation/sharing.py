"""Additive secret sharing of a table of counts between two aggregators, and the arithmetic under it.

A table is a vector of integers modulo p = 2^61 - 1 (Mersenne, so that reduction is a shift and an add), little-endian,
8 bytes a cell. One share is a seed of 32 bytes, expanded by AES-256 in counter mode into uniform cells; the other is
the table minus it. Each alone is uniformly random whatever the table is; the sums of all first and of all second
shares together are the sum of all tables and nothing else. No cell is larger than MAX_CELL and no sum has more than
MAX_TABLES parts, so a true sum never wraps.

The check cell behind the table is the table's fingerprint m = sum of alpha^(j+1) x_j. It is linear, so the sum of all
check cells is the fingerprint of the sum: whoever knows alpha, and the aggregators do not, sees whether an opened sum
is the sum of what was sent; a changed one passes with probability at most cells/p. Pure: bytes and arrays, no keys of
anybody, no document.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from federation.errors import InputRefused, TrustError

P = 2**61 - 1
MAX_CELL = 2**44  # 分: 175,921,860,444.16 yuan
MAX_TABLES = 2**16  # MAX_CELL * MAX_TABLES < P
CELL_BYTES, SEED_BYTES = 8, 32

Vector = NDArray[np.uint64]

_P, _SHIFT = np.uint64(P), np.uint64(61)
_HALF, _LOW_HALF = np.uint64(31), np.uint64(2**31 - 1)
_REST, _LOW_REST = np.uint64(30), np.uint64(2**30 - 1)
_STRETCH = 2**20
_START = bytes(16)  # the counter: a seed expands into one stream alone


def read_table(cells: Sequence[int] | Vector) -> Vector:
    """Return counts as a vector; raise InputRefused for one below 0 or above MAX_CELL (its place, never its value)."""
    try:
        table = np.array(cells, dtype=np.int64)
    except OverflowError:  # found below, by its place
        table = np.array([min(max(value, -1), MAX_CELL + 1) for value in cells], dtype=np.int64)
    wrong = np.flatnonzero((table < 0) | (table > MAX_CELL))
    if len(wrong):
        place = int(wrong[0]) + 1
        raise InputRefused(
            "share-cell-range",
            f"第 {place} 个单元格为负或过大，未提交任何份额。",
            f"Cell {place} is negative or too large; no share was made.",
            cell=place,
        )
    return table.astype(np.uint64)


def to_bytes(vector: Vector) -> bytes:
    """Return 8 bytes a cell, little-endian."""
    return vector.astype("<u8", copy=False).tobytes()


def from_bytes(data: bytes, cells: int) -> Vector:
    """Read what `to_bytes` wrote; raise TrustError unless it is exactly `cells` cells below p."""
    if len(data) != cells * CELL_BYTES:
        raise TrustError("share-length", "份额的长度不对。", "The share is not of the layout's length.", cells=cells)
    vector = np.frombuffer(data, dtype="<u8").astype(np.uint64)
    if vector.max(initial=0) >= P:
        raise TrustError("share-range", "份额中有超出范围的数。", "The share holds a number that is not below p.")
    return vector


def new_seed(node_secret: bytes, context: bytes, table: Vector, fresh: bytes) -> bytes:
    """Return the seed of one split.

    `fresh` are 32 random bytes. The node's secret and the table are in it too: a generator that always gives the same
    bytes repeats a seed only with the same context and table, and then the shares are the same and tell nothing new.
    """
    return hmac.digest(node_secret, context + hashlib.sha256(to_bytes(table)).digest() + fresh, hashlib.sha256)


def expand(seed: bytes, cells: int) -> Vector:
    """Return `cells` uniform numbers below p: 61 bits a word of the key stream, p itself thrown away."""
    stream = Cipher(AES256(seed), CTR(_START)).encryptor()
    found = _below_p(stream.update(bytes(cells * CELL_BYTES)))
    while len(found) < cells:  # once in 2^61 words
        more = _below_p(stream.update(bytes(CELL_BYTES * (cells - len(found)))))
        found = np.concatenate([found, more])
    return found


def _below_p(stream: bytes) -> Vector:
    words = np.frombuffer(stream, dtype="<u8") & _P
    return words if words.max(initial=0) < P else words[words != _P]


def split(table: Vector, seed: bytes) -> Vector:
    """Return the second share: the table minus the expanded seed."""
    return subtract(table, expand(seed, len(table)))


def add(one: Vector, other: Vector) -> Vector:
    """Return the sum of two vectors below p."""
    return _once(one + other)


def subtract(one: Vector, other: Vector) -> Vector:
    """Return the difference of two vectors below p."""
    return _once(one + (_P - other))


def add_all(vectors: Iterable[Vector], cells: int) -> Vector:
    """Return the sum of vectors of `cells` cells; none of them is kept."""
    total = np.zeros(cells, dtype=np.uint64)
    for waiting, vector in enumerate(vectors):
        total += vector
        if waiting % 4 == 3:  # five numbers below 2^61 are below 2^64
            total = _fold(total)
    return _once(_fold(total))


def multiply(one: Vector, other: Vector) -> Vector:
    """Return the product cell by cell: limbs of 31 and 30 bits, no partial sum reaches 2^64."""
    high, low = one >> _HALF, one & _LOW_HALF
    other_high, other_low = other >> _HALF, other & _LOW_HALF
    middle = high * other_low + low * other_high  # times 2^31, and 2^61 is 1
    whole = (high * other_high << np.uint64(1)) + (middle >> _REST) + ((middle & _LOW_REST) << _HALF)
    return _once(_fold(whole + low * other_low))


@dataclass(frozen=True)
class Weights:
    """A vector to multiply others with, cut into limbs of 16 bits as floats: sums of products stay exact below 2^53."""

    limbs: NDArray[np.float64]  # (cells, 4)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.limbs)


def weigh(vector: Vector) -> Weights:
    """Return a vector as weights."""
    return Weights(_limbs(vector))


def dot(vector: Vector, weights: Weights) -> int:
    """Return the inner product modulo p, exactly: products of limbs have 32 bits, and at most 2^20 are added."""
    found = 0
    for start in range(0, len(vector), _STRETCH):
        sums = _limbs(vector[start : start + _STRETCH]).T @ weights.limbs[start : start + _STRETCH]
        found += sum(int(sums[n, m]) << 16 * (n + m) for n in range(4) for m in range(4))
    return found % P


def _limbs(vector: Vector) -> NDArray[np.float64]:
    return np.ascontiguousarray(vector, dtype="<u8").view("<u2").reshape(-1, 4).astype(np.float64)


def powers(alpha: int, cells: int) -> Weights:
    """Return alpha, alpha^2, ..., alpha^cells: the weights of a fingerprint."""
    found = np.array([alpha % P], dtype=np.uint64)
    while len(found) < cells:
        found = np.concatenate([found, multiply(found, np.full(len(found), found[-1], dtype=np.uint64))])
    return weigh(found[:cells])


def with_check(table: Vector, alphas: Weights) -> Vector:
    """Return the table with its check cell behind it."""
    return np.append(table, np.uint64(dot(table, alphas)))


def check_sum(total: Vector, alphas: Weights, tables: int) -> list[int]:
    """Return the cells of an opened sum of `tables` tables with check cells; raise TrustError where it is none.

    `sum-spoiled` says that it is not the sum of what was sent, never who changed it.
    """
    cells, check = total[:-1], int(total[-1])
    if len(cells) != len(alphas) or dot(cells, alphas) != check or bool((cells > np.uint64(tables * MAX_CELL)).any()):
        raise TrustError(
            "sum-spoiled",
            "打开的合计不是各节点所交份额之和，已作废，不作为数据使用。",
            "The opened sum is not the sum of what the nodes sent; it is spoiled and is not shown as data.",
        )
    return [int(value) for value in cells]


def _fold(vector: Vector) -> Vector:
    return (vector & _P) + (vector >> _SHIFT)


def _once(vector: Vector) -> Vector:
    """Bring numbers below 2p below p."""
    below = vector - _P  # where it was below p already, this wraps, and the top bit tells
    below += (below >> np.uint64(63)) * _P
    return below
