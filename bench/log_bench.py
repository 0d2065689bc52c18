"""Measure the Merkle log: append, prove and verify against bare SHA-256 of the same number of hashes.

    python -m bench.log_bench [--leaves N] [--proofs N] [--json]

The log lies in a file, as a list of hashes. "The same number" is what RFC 6962 needs: of an append every node of the
tree, of a proof that is made or checked every hash of its path. Memory is the growth of the process while the log
grows to ten times its size.
"""

import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from mmap import mmap
from pathlib import Path
from random import Random

from bench.telling import tell
from federation.log import (
    check_consistency,
    check_inclusion,
    count_nodes,
    extend,
    hash_leaf,
    prove_consistency,
    prove_inclusion,
    root_of,
)

LEAVES, PROOFS = 1_000_000, 20_000
LIMITS = {"append_ratio": 3.0, "verify_ratio": 3.0, "prove_ratio": 3.0, "memory_growth_mb": 8.0}
_BATCH = 1_000
_HASH = 32


class FileNodes:
    """Hashes one behind the other in a file; once it is whole, read through the system's page cache."""

    def __init__(self, path: Path) -> None:
        """Open the file, empty."""
        self._file = path.open("w+b", buffering=0)
        self._map: mmap | None = None

    def read(self, places: Sequence[int]) -> list[bytes]:
        """Return the hashes at these places."""
        if self._map is not None:
            held = self._map
            return [held[place * _HASH : place * _HASH + _HASH] for place in places]
        return [os.pread(self._file.fileno(), _HASH, place * _HASH) for place in places]

    def append(self, first: int, hashes: Sequence[bytes]) -> None:
        """Write the hashes from place `first` on."""
        os.pwrite(self._file.fileno(), b"".join(hashes), first * _HASH)

    def finish(self) -> None:
        """Let the file be read as memory; it grows no more."""
        self._map = mmap(self._file.fileno(), 0)


def _entries(start: int, end: int) -> Iterator[bytes]:
    return (b"%064d" % n for n in range(start, end))


def _append(nodes: FileNodes, size: int, end: int) -> float:
    start = time.perf_counter()
    while size < end:
        size = extend(nodes, size, _entries(size, min(size + _BATCH, end)))
    return time.perf_counter() - start


def _bare(count: int) -> float:
    """Hash `count` times what a node of the tree is: one prefix and two hashes."""
    value = b"\x00" * 65
    start = time.perf_counter()
    for _ in range(count):
        value = b"\x01" + sha256(value).digest() + value[:32]
    return time.perf_counter() - start


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(leaves: int, proofs: int) -> dict[str, float]:
    """Return the ratios and the figures behind them; raise TrustError where a proof does not hold."""
    random = Random(6962)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        nodes = FileNodes(Path(folder) / "nodes")
        seconds = _append(nodes, 0, leaves // 10)
        small = _memory_mb()
        seconds += _append(nodes, leaves // 10, leaves)
        grown = _memory_mb() - small
        nodes.finish()
        bare_append = _bare(count_nodes(leaves))
        root = root_of(nodes, leaves)
        asked = [random.randrange(leaves) for _ in range(proofs)]
        sizes = [random.randrange(1, leaves) for _ in range(proofs)]
        start = time.perf_counter()
        inclusion = [prove_inclusion(nodes, index, leaves) for index in asked]
        growth = [prove_consistency(nodes, old, leaves) for old in sizes]
        prove = time.perf_counter() - start
        steps = sum(map(len, inclusion)) + sum(map(len, growth))
        old_roots = [root_of(nodes, old) for old in sizes]
        start = time.perf_counter()
        for index, path in zip(asked, inclusion, strict=True):
            check_inclusion(hash_leaf(b"%064d" % index), index, leaves, path, root)
        for old, old_root, path in zip(sizes, old_roots, growth, strict=True):
            check_consistency(old, old_root, leaves, root, path)
        verify = time.perf_counter() - start
        bare_proofs = _bare(steps)
    return {
        "leaves": leaves,
        "append_ratio": round(seconds / bare_append, 3),
        "prove_ratio": round(prove / bare_proofs, 3),
        "verify_ratio": round(verify / bare_proofs, 3),
        "memory_growth_mb": round(grown, 1),
        "append_microseconds": round(seconds / leaves * 1e6, 2),
        "prove_microseconds": round(prove / (2 * proofs) * 1e6, 1),
        "verify_microseconds": round(verify / (2 * proofs) * 1e6, 1),
        "hashes_in_a_path": round(steps / (2 * proofs), 1),
    }


if __name__ == "__main__":
    tell(run, LIMITS, __doc__, leaves=LEAVES, proofs=PROOFS)
