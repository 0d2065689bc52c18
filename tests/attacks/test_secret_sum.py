"""A whole round of a secret sum, and everybody in it who cheats; each attack with the weaker check that it defeats."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federation.documents import sha256_hex
from federation.errors import TrustError
from federation.secretsum import (
    Announcement,
    Closing,
    Contribution,
    Round,
    check_partial,
    check_same,
    commit_partial,
    contribute,
    open_share,
    open_total,
    passes,
    seal_id,
    toss_coins,
    zero_test,
)
from federation.sharing import P, add, add_all, dot, powers, to_bytes

CELLS = ("all", "f", "m", "prof", "prof;f", "prof;m")
RELATIONS = [(0, (1, 2)), (3, (4, 5))]
NODES = [f"n-{number:02}" for number in range(12)]


@dataclass
class Aggregator:
    """One of the two: its key, its nonce, and the shares it took in."""

    name: str
    private: X25519PrivateKey
    nonce: bytes

    def announce(self) -> Announcement:
        return Announcement(self.name, self.private.public_key().public_bytes_raw(), sha256_hex(self.nonce))


class Play:
    """Twelve contributors, two aggregators, one round; `ids` stand for the ids of the signed records."""

    def __init__(self, tables: dict[str, list[int]]) -> None:
        self.parties = [
            Aggregator(name, X25519PrivateKey.generate(), secrets.token_bytes(32)) for name in ("hub", "second")
        ]
        self.round = Round(
            "c" * 64, "2026-06", 1, 1, "d" * 64, len(CELLS), (self.parties[0].announce(), self.parties[1].announce())
        )
        self.alphas = powers(secrets.randbelow(P), len(CELLS))
        self.sent: dict[str, tuple[Contribution, tuple[bytes, bytes]]] = {
            node: contribute(self.round, node, table, self.alphas, node_secret=node.encode())
            for node, table in tables.items()
        }

    def shares(self, place: int) -> dict[str, np.ndarray]:
        party = self.parties[place]
        return {
            node: open_share(self.round, contribution, party.name, blobs[place], party.private)
            for node, (contribution, blobs) in self.sent.items()
        }

    def partial(self, place: int) -> np.ndarray:
        return add_all(self.shares(place).values(), len(CELLS) + 1)

    def values(self, coins: bytes, node: str, published: dict[int, int]) -> tuple[list[int], int]:
        weights, target = zero_test(self.round, coins, node, RELATIONS, published)
        return [dot(self.shares(place)[node], weights) for place in (0, 1)], target


def _table(number: int) -> list[int]:
    women, men = 10 + number, 3 * number
    return [women + men, women, men, number, number // 2, number - number // 2]


@pytest.fixture
def tables() -> dict[str, list[int]]:
    return {node: _table(number) for number, node in enumerate(NODES)}


@pytest.fixture
def play(tables: dict[str, list[int]]) -> Play:
    return Play(tables)


def test_the_total_is_exact(play: Play, tables: dict[str, list[int]]) -> None:
    partials, closings = [play.partial(0), play.partial(1)], []
    salts = [secrets.token_bytes(32), secrets.token_bytes(32)]
    for party, partial, salt in zip(play.parties, partials, salts, strict=True):
        closings.append(commit_partial(play.round, party.name, NODES, partial, salt))
    named = check_same(*closings)
    coins = toss_coins(play.round, named, [party.nonce for party in play.parties])
    for node in NODES:
        values, target = play.values(coins, node, {0: tables[node][0]})
        assert passes(values, target)
    received = check_partial(play.round, closings[1], to_bytes(partials[1]), salts[1])
    assert open_total([partials[0], received], play.alphas, 12) == [sum(c) for c in zip(*tables.values(), strict=True)]


@pytest.mark.parametrize("place", [0, 1])
def test_one_aggregator_sees_the_same_numbers_for_any_table(place: int) -> None:
    """What one holds of table X is what it could hold of any table Y: the other share makes the difference."""
    play = Play({"n-00": _table(3)})
    mine, other = play.shares(place)["n-00"], play.shares(1 - place)["n-00"]
    elsewhere = np.array([*_table(9), dot(np.array(_table(9), dtype=np.uint64), play.alphas)], dtype=np.uint64)
    fitting = add(elsewhere, np.where(mine == 0, mine, np.uint64(P) - mine))
    assert (add(mine, fitting) == elsewhere).all()
    assert not (other == fitting).all()
    assert not set(mine.tolist()) & {*_table(3)}


def test_a_share_of_another_round_node_or_aggregator_is_refused(play: Play, tables: dict[str, list[int]]) -> None:
    contribution, blobs = play.sent["n-00"]
    other, other_blobs = play.sent["n-01"]
    hub = play.parties[0]
    later = replace(play.round, attempt=2)
    swapped = replace(contribution, shares=other.shares)  # as if a relay could sign
    cases = [
        (later, contribution, blobs[0], "share-other-round"),
        (later, replace(contribution, round=later.digest), blobs[0], "share-broken"),
        (play.round, contribution, other_blobs[0], "share-mismatch"),
        (play.round, swapped, other_blobs[0], "share-broken"),
        (play.round, replace(contribution, shares=(contribution.shares[1], "")), blobs[1], "share-broken"),
        (play.round, contribution, blobs[0][:-1], "share-mismatch"),
        (play.round, contribution, blobs[0][:40] + b"x" + blobs[0][41:], "share-broken"),
    ]
    for round_, signed, blob, code in cases:
        with pytest.raises(TrustError, match=code):
            open_share(round_, signed, hub.name, blob, hub.private)


def test_an_aggregator_that_adds_something_is_found_out_and_hashes_of_shares_do_not_see_it(
    play: Play, attack: Callable[..., None]
) -> None:
    """It adds 100 women: every share is the signed one and the total looks like any; the check cell differs."""
    false = add(play.partial(0), np.array([100, 100, 0, 0, 0, 0, 0], dtype=np.uint64))
    salt = secrets.token_bytes(32)
    closing = commit_partial(play.round, "hub", NODES, false, salt)
    assert all(seal_id(blobs[0]) == signed.shares[0] for signed, blobs in play.sent.values()), "control: hashes hold"
    partials = [check_partial(play.round, closing, to_bytes(false), salt), play.partial(1)]
    assert max(add(*partials)[:-1]) < 1000, "control: without the check cell it passes for a total"
    with pytest.raises(TrustError, match="sum-spoiled"):
        open_total(partials, play.alphas, 12)
    attack("one aggregator's shares", product="spoiled by the check cell", control="passes, all hashes hold")


def test_one_that_drops_a_contribution_in_silence_spoils_the_sum(play: Play, attack: Callable[..., None]) -> None:
    shares = play.shares(0)
    del shares["n-05"]
    partials = [add_all(shares.values(), len(CELLS) + 1), play.partial(1)]
    with pytest.raises(TrustError, match="sum-spoiled"):
        open_total(partials, play.alphas, 12)
    attack("one aggregator's shares", product="spoiled by the check cell", control="-")


def test_another_cohort_to_the_other_side_ends_the_round_before_anything_is_opened(
    play: Play, attack: Callable[..., None]
) -> None:
    one = Closing("hub", tuple(NODES), "0" * 64)
    other = Closing("second", tuple(NODES[1:]), "0" * 64)
    with pytest.raises(TrustError, match="closing-differs"):
        check_same(one, other)
    attack("one aggregator, two cohorts", product="the round ends unopened", control="-")


def test_a_partial_sum_is_not_changed_after_the_other_was_seen(play: Play, attack: Callable[..., None]) -> None:
    """Without commitment the one who speaks last decides the total: it takes a known contribution off, consistently."""
    salt = secrets.token_bytes(32)
    honest = play.partial(1)
    closing = commit_partial(play.round, "second", NODES, honest, salt)
    accomplice = play.shares(1)["n-11"]
    changed = add(honest, np.where(accomplice == 0, accomplice, np.uint64(P) - accomplice))
    with pytest.raises(TrustError, match="partial-mismatch"):
        check_partial(play.round, closing, to_bytes(changed), salt)
    with pytest.raises(TrustError, match="partial-mismatch"):
        check_partial(play.round, closing, to_bytes(honest), secrets.token_bytes(32))
    with pytest.raises(TrustError, match="partial-mismatch"):
        check_partial(replace(play.round, attempt=2), closing, to_bytes(honest), salt)
    attack(
        "the other's partial sum, one accomplice",
        product="refused by its commitment",
        control="-",
    )


@pytest.mark.parametrize(
    ("change", "published"),
    [({1: 50}, {}), ({0: 500, 1: 497, 2: 3}, {0: 20}), ({3: 9, 4: 9, 5: 0}, {4: 3})],
    ids=["contradicts its margin", "another total than it published", "another cell than it published"],
)
def test_a_table_that_contradicts_itself_or_the_nodes_own_release_fails_the_test(
    tables: dict[str, list[int]], change: dict[int, int], published: dict[int, int]
) -> None:
    true = list(tables["n-05"])
    for place, value in change.items():
        tables["n-05"][place] = value
    play = Play(tables)
    coins = toss_coins(play.round, NODES, [party.nonce for party in play.parties])
    values, target = play.values(coins, "n-05", published)
    assert not passes(values, target)
    tables["n-05"] = true
    honest = Play(tables)
    coins = toss_coins(honest.round, NODES, [party.nonce for party in honest.parties])
    published = {place: true[place] for place in published}
    assert passes(*honest.values(coins, "n-05", published)), "control: the true table passes"


def test_the_coins_cannot_be_chosen_afterwards(play: Play) -> None:
    nonces = [party.nonce for party in play.parties]
    assert toss_coins(play.round, NODES, nonces) != toss_coins(play.round, NODES[1:], nonces)
    with pytest.raises(TrustError, match="nonce-mismatch"):
        toss_coins(play.round, NODES, [nonces[0], secrets.token_bytes(32)])


def test_a_machine_that_was_copied_with_its_generator_repeats_no_seed(
    monkeypatch: pytest.MonkeyPatch, attack: Callable[..., None]
) -> None:
    """Two tables under one seed would tell their difference to whoever holds the rests."""
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    one, other = Play({"n-00": _table(1)}), Play({"n-00": _table(2)})
    other.round, other.parties = one.round, one.parties
    other.alphas = one.alphas
    other.sent = {"n-00": contribute(one.round, "n-00", _table(2), one.alphas, node_secret=b"n-00")}
    assert not (one.shares(0)["n-00"] == other.shares(0)["n-00"]).all()
    attack(
        "two images of one machine, a generator that repeats",
        product="seeds differ",
        control="-",
    )
