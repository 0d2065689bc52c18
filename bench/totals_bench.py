"""Measure exact totals: sharing against one ChaCha20 pass and addition, and the test on flags before opening.

    python -m bench.totals_bench [--nodes N] [--cells N] [--json]

Sharing is everything that is done with a node's table on its way: check cell, split, seal for both, open both, add
both, and at the end the verified total. The peer encrypts the same bytes once and adds them once, modulo p. The test
on flags has 120 colleges that each withhold a third of a release of 2,500 cells, differently.
"""

import secrets
import time
from random import Random

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from bench.telling import tell
from federation.openable import Candidate, find_openable
from federation.secretsum import Announcement, Round, contribute, open_share, open_total
from federation.sharing import CELL_BYTES, P, add, powers

NODES, CELLS = 1_000, 30_000
LIMITS = {"sharing_ratio": 6.0, "bytes_ratio": 1.1, "flags_seconds": 60.0}
_PARTIES = ("hub", "second")
_COLLEGES = 120
_TABLES = 34  # of three dimensions with all their margins, 6 x 4 x 3 codes: 2,380 cells and 3,876 relations


def run(nodes: int, cells: int) -> dict[str, float]:
    """Return the ratios, the exactness in cells that differ, and the seconds of the test on flags."""
    keys = [X25519PrivateKey.generate() for _ in _PARTIES]
    first, second = (
        Announcement(name, key.public_key().public_bytes_raw(), "0" * 64)
        for name, key in zip(_PARTIES, keys, strict=True)
    )
    round_ = Round("0" * 64, "2026-06", 1, 1, "0" * 64, cells, (first, second))
    alphas = powers(secrets.randbelow(P), cells)
    chance = np.random.default_rng(1)
    expected = np.zeros(cells, dtype=np.uint64)
    totals = [np.zeros(cells + 1, dtype=np.uint64) for _ in _PARTIES]
    spent = bare = sent = 0.0
    whole = np.zeros(cells, dtype=np.uint64)
    for number in range(nodes):
        table = chance.integers(0, 3_000, cells, dtype=np.uint64)
        expected += table
        start = time.process_time()
        signed, blobs = contribute(round_, f"n-{number}", table, alphas, node_secret=b"secret")
        for place, name in enumerate(_PARTIES):
            share = open_share(round_, signed, name, blobs[place], keys[place])
            totals[place] = add(totals[place], share)
        spent += time.process_time() - start
        sent += len(blobs[0]) + len(blobs[1])
        start = time.process_time()
        Cipher(ChaCha20(bytes(32), bytes(16)), mode=None).encryptor().update(table.tobytes())
        whole = add(whole, table)
        bare += time.process_time() - start
    start = time.process_time()
    opened = open_total(totals, alphas, nodes)
    spent += time.process_time() - start
    return {
        "nodes": nodes,
        "cells": cells,
        "sharing_ratio": round(spent / bare, 2),
        "bytes_ratio": round(sent / (nodes * cells * CELL_BYTES), 4),
        "cells_that_differ": sum(a != int(b) for a, b in zip(opened, expected, strict=True)),
        "flags_seconds": round(_flags(), 1),
    }


def _flags() -> float:
    chance = Random(1)  # noqa: S311  a seed that can be repeated
    cells, relations = [], []
    for table in range(_TABLES):
        codes = [["", *map(str, range(size))] for size in (6, 4, 3)]
        cells += [(table, a, b, c) for a in codes[0] for b in codes[1] for c in codes[2]]
        for cell in cells[-140:]:
            for place in (1, 2, 3):
                if cell[place] == "":
                    parts = [(*cell[:place], code, *cell[place + 1 :]) for code in codes[place - 1][1:]]
                    relations.append((cell, parts))
    colleges = [f"n-{number}" for number in range(_COLLEGES)]
    withheld = {college: {cell for cell in cells if chance.random() < 0.35} for college in colleges}
    start = time.process_time()
    find_openable([Candidate(cell, frozenset(colleges)) for cell in cells], relations, withheld)
    return time.process_time() - start


if __name__ == "__main__":
    tell(run, LIMITS, __doc__, nodes=NODES, cells=CELLS)
