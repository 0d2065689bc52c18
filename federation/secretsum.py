"""One round of a secret sum: what contributors and the two aggregators say to each other, and how each is checked.

    "" --announce--> collecting --close--> closed --reveal--> tested --exchange--> exchanged --open--> opened
                     collecting, closed, tested, exchanged --give-up--> refused
                     exchanged --spoil--> spoiled
                     opened, refused, spoiled --destroy--> destroyed

1. Each aggregator announces a fresh HPKE key and the digest of a nonce. The round is what both have announced, together
   with cohort, layout (which cells, in which order), period and vintage; its digest is in everything that follows.
2. A contributor splits its table with check cell, seals one share to each aggregator, and signs what binds it to both
   ciphertexts (`seal_id`). An aggregator sees uniformly random numbers.
3. Each closes: it names the contributions it will add, and commits to its partial sum of them. Only where both name the
   same does the round go on.
4. Both reveal their nonces. The coins that follow from them and from the contributions choose, for each contribution,
   one random combination of its own relations and of what that node has published itself. Its value on the table is
   known to all, and both aggregators' values of it must add up to that; a table that contradicts its own margins or its
   own release passes with probability 1/p. Nothing else is revealed.
5. They exchange the partial sums to which they committed. With the check cell every contributor verifies the total.

`spoiled` never says who changed a sum, and no state but `opened` shows one. Pure: what is signed by whom, and who may
say it, is the business of the records that carry these.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from federation.documents import dump_document, sha256_hex
from federation.errors import TrustError
from federation.sharing import (
    SEED_BYTES,
    P,
    Vector,
    Weights,
    add_all,
    check_sum,
    expand,
    from_bytes,
    new_seed,
    read_table,
    split,
    to_bytes,
    weigh,
    with_check,
)

COLLECTING, CLOSED, TESTED, EXCHANGED = "collecting", "closed", "tested", "exchanged"
OPENED, REFUSED, SPOILED, DESTROYED = "opened", "refused", "spoiled", "destroyed"

# action -> from which states, to which state
ROUND_STATES: Mapping[str, tuple[frozenset[str], str]] = {
    "announce": (frozenset({""}), COLLECTING),
    "close": (frozenset({COLLECTING}), CLOSED),
    "reveal": (frozenset({CLOSED}), TESTED),
    "exchange": (frozenset({TESTED}), EXCHANGED),
    "open": (frozenset({EXCHANGED}), OPENED),
    "spoil": (frozenset({EXCHANGED}), SPOILED),
    "give-up": (frozenset({COLLECTING, CLOSED, TESTED, EXCHANGED}), REFUSED),
    "destroy": (frozenset({OPENED, REFUSED, SPOILED}), DESTROYED),
}

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SHARE, _PARTIAL, _COINS = b"gonghui-share-v1\n", b"gonghui-partial-v1\n", b"gonghui-coins-v1\n"
_ENCAPSULATED, _TAG = 32, 16
SALT_BYTES = 32


@dataclass(frozen=True)
class Announcement:
    """What one aggregator brings to a round: a fresh sealing key (X25519, raw) and the digest of its nonce."""

    aggregator: str
    key: bytes
    nonce_sha256: str

    def as_content(self) -> dict[str, str]:
        """Return it as it stands in documents."""
        return {"aggregator": self.aggregator, "key": self.key.hex(), "nonce_sha256": self.nonce_sha256}


@dataclass(frozen=True)
class Round:
    """One attempt to add up one layout over one cohort; `announced` in the cohort's order of aggregators."""

    cohort: str  # digest
    period: str
    vintage: int
    attempt: int
    layout: str  # digest of the cells' names in their order
    cells: int
    announced: tuple[Announcement, Announcement]

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 that binds everything said in this round to it."""
        named = {name: getattr(self, name) for name in ("cohort", "period", "vintage", "attempt", "layout", "cells")}
        return sha256_hex(dump_document({**named, "announced": [item.as_content() for item in self.announced]}))

    def place_of(self, aggregator: str) -> int:
        """Return 0 for the one that gets seeds, 1 for the one that gets the rest."""
        return [item.aggregator for item in self.announced].index(aggregator)


@dataclass(frozen=True)
class Contribution:
    """What a contributor signs: which round, and the ciphertexts by their seal ids, in the order of aggregators."""

    node: str
    round: str
    shares: tuple[str, str]


@dataclass(frozen=True)
class Closing:
    """What one aggregator says when it closes: the ids of the contributions it adds, and its commitment."""

    aggregator: str
    contributions: tuple[str, ...]  # record ids, sorted
    commitment: str


def contribute(
    round_: Round, node: str, table: Sequence[int] | Vector, alphas: Weights, *, node_secret: bytes
) -> tuple[Contribution, tuple[bytes, bytes]]:
    """Return the contribution and the two ciphertexts, the first for the first aggregator; raise InputRefused."""
    whole = with_check(read_table(table), alphas)
    context = _context(round_, node, "")
    seed = new_seed(node_secret, context, whole, secrets.token_bytes(SEED_BYTES))
    blobs = [
        _SUITE.encrypt(
            plain,
            X25519PublicKey.from_public_bytes(to.key),
            info=_context(round_, node, to.aggregator),
        )
        for plain, to in zip((seed, to_bytes(split(whole, seed))), round_.announced, strict=True)
    ]
    return Contribution(node, round_.digest, (seal_id(blobs[0]), seal_id(blobs[1]))), (blobs[0], blobs[1])


def open_share(
    round_: Round, contribution: Contribution, aggregator: str, blob: bytes, private: X25519PrivateKey
) -> Vector:
    """Return an aggregator's share of a contribution; raise TrustError where it is not what was signed for this round.

    The code tells what it is: `share-other-round`, `share-mismatch` (another ciphertext than the signed one),
    `share-broken` (sealed to another round, node or aggregator), `share-length`, `share-range`.
    """
    place, cells = round_.place_of(aggregator), round_.cells + 1
    if contribution.round != round_.digest:
        raise TrustError("share-other-round", "份额属于另一轮。", "The share belongs to another round.")
    if seal_id(blob) != contribution.shares[place]:
        raise TrustError("share-mismatch", "份额与签名的摘要不符。", "The share is not the one that was signed.")
    try:
        plain = _SUITE.decrypt(blob, private, info=_context(round_, contribution.node, aggregator))
    except (InvalidTag, ValueError) as error:
        raise TrustError("share-broken", "份额无法打开。", "The share cannot be opened.") from error
    if place:
        return from_bytes(plain, cells)
    if len(plain) != SEED_BYTES:
        raise TrustError("share-length", "份额的长度不对。", "The share is not of the layout's length.")
    return expand(plain, cells)


def seal_id(blob: bytes) -> str:
    """Return what a signature names a ciphertext by: SHA-256 of its encapsulated key and its tag.

    Only sender and reader know the key under which the tag holds, so nobody between them finds another ciphertext for
    it; hashing the whole blob would cost more than the sealing.
    """
    return sha256_hex(blob[:_ENCAPSULATED] + blob[-_TAG:])


def commit_partial(
    round_: Round, aggregator: str, contributions: Sequence[str], partial: Vector, salt: bytes
) -> Closing:
    """Return what an aggregator says of its sum of these contributions before it sees the other's."""
    named = tuple(sorted(contributions))
    return Closing(aggregator, named, _commitment(round_, aggregator, named, partial, salt))


def check_partial(round_: Round, closing: Closing, data: bytes, salt: bytes) -> Vector:
    """Return the partial sum that the other aggregator sent; raise TrustError unless it is the one it committed to."""
    partial = from_bytes(data, round_.cells + 1)
    if _commitment(round_, closing.aggregator, closing.contributions, partial, salt) != closing.commitment:
        raise TrustError(
            "partial-mismatch",
            "部分和与先前的承诺不符。",
            "The partial sum is not the one that was committed to.",
        )
    return partial


def check_same(one: Closing, other: Closing) -> tuple[str, ...]:
    """Return the contributions that both add; raise TrustError `closing-differs` where they are not the same."""
    if one.contributions != other.contributions:
        missing = len(set(one.contributions) ^ set(other.contributions))
        raise TrustError(
            "closing-differs",
            f"两个汇总方收到的份额不同（相差 {missing} 份），本轮不打开。",
            f"The aggregators do not hold the same contributions ({missing} differ); this round is not opened.",
            differ=missing,
        )
    return one.contributions


def toss_coins(round_: Round, contributions: Sequence[str], nonces: Sequence[bytes]) -> bytes:
    """Return the public coins of the tests; raise TrustError where a nonce is not the one that was announced."""
    for announced, nonce in zip(round_.announced, nonces, strict=True):
        if sha256_hex(nonce) != announced.nonce_sha256:
            raise TrustError("nonce-mismatch", "随机数与先前的承诺不符。", "The nonce is not the one announced.")
    named = dump_document({"round": round_.digest, "contributions": sorted(contributions)})
    return hashlib.sha256(_COINS + named + b"".join(nonces)).digest()


def zero_test(
    round_: Round,
    coins: bytes,
    node: str,
    relations: Sequence[tuple[int, Sequence[int]]],
    published: Mapping[int, int],
) -> tuple[Weights, int]:
    """Return the weights of one contribution's test and the value its table has to give.

    `relations`: (total, parts) by place in the layout; `published`: place -> count, what this node has published.
    """
    weights = np.zeros(round_.cells + 1, dtype=np.uint64)  # none on the check cell
    chosen = expand(hmac.digest(coins, node.encode(), hashlib.sha256), len(relations) + len(published))
    for coin, (total, parts) in zip(chosen, relations, strict=False):
        minus = np.uint64((P - int(coin)) % P)
        for place, value in ((total, coin), *((part, minus) for part in parts)):
            weights[place] = np.uint64((int(weights[place]) + int(value)) % P)
    target = 0
    for coin, place in zip(chosen[len(relations) :], sorted(published), strict=True):
        weights[place] = np.uint64((int(weights[place]) + int(coin)) % P)
        target = (target + int(coin) * published[place]) % P
    return weigh(weights), target


def passes(values: Sequence[int], target: int) -> bool:
    """Tell whether both aggregators' values of a test (`dot` of share and weights) add up to what is due."""
    return sum(values) % P == target


def open_total(partials: Sequence[Vector], alphas: Weights, tables: int) -> list[int]:
    """Return the sum of `tables` tables, verified with the check cell; raise TrustError `sum-spoiled`."""
    return check_sum(add_all(partials, len(partials[0])), alphas, tables)


def _context(round_: Round, node: str, aggregator: str) -> bytes:
    return _SHARE + dump_document({"round": round_.digest, "node": node, "aggregator": aggregator})


def _commitment(round_: Round, aggregator: str, contributions: Sequence[str], partial: Vector, salt: bytes) -> str:
    named: dict[str, Any] = {"round": round_.digest, "aggregator": aggregator, "contributions": list(contributions)}
    return sha256_hex(_PARTIAL + dump_document(named) + salt + to_bytes(partial))
