"""Where a round stands, from what was said alone: every way to end, and none that shows a doubtful total."""

from typing import Any

import pytest

from federation.cohort import Cohort
from federation.rounds import (
    ANNOUNCE,
    COHORT,
    CONSENT,
    DESTROY,
    GIVE_UP,
    PARTIAL,
    TOTAL,
    VERIFY,
    VOUCH,
    Board,
    Said,
    subject_of,
)
from federation.secretsum import COLLECTING, DESTROYED, OPENED, REFUSED, SPOILED

HUB, SECOND, PERIOD = "hub", "second", "2025U"
NODES = [f"n{number:02}" for number in range(12)]
BLOCKS = ({node: node for node in NODES[:6]}, {node: node for node in NODES[6:]})
THE_COHORT = Cohort("f", "staff", PERIOD, 1, (HUB, SECOND), BLOCKS, frozenset(NODES))
TOLD: dict[str, Any] = {"published": [], "withheld": []}
ANNOUNCED = {"cohort": THE_COHORT.digest, "layout": "aa", "cells": 3, "blocks": [0, 1]}


def said(origin: str, step: str, body: Any = None, attempt: int = 1, period: str = PERIOD) -> Said:
    return Said(f"{origin}{step}{attempt}", origin, step, period, attempt, body or {})


def both(step: str, body: Any = None, attempt: int = 1) -> list[Said]:
    return [said(origin, step, body, attempt) for origin in (HUB, SECOND)]


def announced(attempt: int = 1) -> list[Said]:
    return [
        said(origin, ANNOUNCE, {**ANNOUNCED, "key": "00" * 32, "nonce_sha256": "b" * 64}, attempt)
        for origin in (HUB, SECOND)
    ]


def board(*more: Said) -> Board:
    return Board("staff", HUB, SECOND, [*both(COHORT, THE_COHORT.as_content(), 0), *more])


BEGUN = announced()
SUMMED = [*BEGUN, *both(PARTIAL), *both(TOTAL, TOLD)]
APART = [*BEGUN, *both(PARTIAL), said(HUB, TOTAL, TOLD), said(SECOND, TOTAL, {**TOLD, "n": 1})]
SEEN = [said(node, VERIFY, {"held": True}) for node in (NODES[0], NODES[6])]


@pytest.mark.parametrize(
    ("words", "state", "shown"),
    [
        (BEGUN, COLLECTING, False),
        ([*BEGUN, said(SECOND, GIVE_UP, {"reason": "round-key-lost"})], REFUSED, False),
        ([*BEGUN, *both(PARTIAL), said(HUB, GIVE_UP, {"reason": "by-hand"})], SPOILED, False),
        (SUMMED, "exchanged", False),
        ([*SUMMED, SEEN[0]], "exchanged", False),
        ([*SUMMED, *SEEN], OPENED, True),
        ([*SUMMED, *SEEN, said(NODES[3], VERIFY, {"held": False})], SPOILED, False),
        ([*SUMMED, *SEEN, said("stranger", VERIFY, {"held": False})], OPENED, True),
        ([*APART, *SEEN], SPOILED, False),
        ([*SUMMED, *SEEN, *both(DESTROY)], DESTROYED, True),
    ],
)  # fmt: skip
def test_a_total_is_shown_only_where_both_say_it_and_every_block_has_verified_it(
    words: list[Said], state: str, *, shown: bool
) -> None:
    seen = board(*words)
    assert seen.state(PERIOD, 1) == state
    assert (seen.total(PERIOD, 1) is not None) is shown


def test_another_attempt_needs_both_to_have_given_up_before_a_partial_sum_was_sent() -> None:
    given = both(GIVE_UP, {"reason": "by-hand"})
    assert board().may_try_again(PERIOD)
    assert not board(*BEGUN).may_try_again(PERIOD)
    assert not board(*BEGUN, given[0]).may_try_again(PERIOD)
    assert board(*BEGUN, *given).may_try_again(PERIOD)
    assert not board(*BEGUN, said(SECOND, PARTIAL), *given).may_try_again(PERIOD)
    assert not board(*BEGUN, *given, *announced(2)).may_try_again(PERIOD)


def test_there_is_no_round_where_the_aggregators_announce_different_things() -> None:
    assert board(*BEGUN).round(PERIOD, 1) is not None
    other = {**BEGUN[1].body, "layout": "bb"}
    assert board(BEGUN[0], said(SECOND, ANNOUNCE, other)).round(PERIOD, 1) is None
    assert board(BEGUN[0]).round(PERIOD, 1) is None
    rounds = [board(*announced(n)).round(PERIOD, n) for n in (1, 2)]
    assert len({round_.digest for round_ in rounds if round_}) == 2, "nothing of one attempt fits another"


def test_the_first_word_counts_and_consent_is_the_last() -> None:
    twice = board(*BEGUN, said(HUB, GIVE_UP, {"reason": "a"}), said(HUB, GIVE_UP, {"reason": "b"}))
    assert twice.given_up(PERIOD, 1) == "a"
    words = [said("n1", CONSENT, {"on": True}, 0, ""), said("n1", CONSENT, {"on": False}, 0, "")]
    assert board(*words[:1]).consenting() == {"n1"}
    assert board(*words).consenting() == frozenset()
    assert board(said(HUB, CONSENT, {"on": True}, 0, "")).consenting() == frozenset(), "an aggregator is none"
    assert board(said(HUB, VOUCH, {"nodes": ["n1"]}, 0, "")).vouched() == frozenset(), "the hub vouches for nobody"


def test_a_cohort_that_breaks_its_rules_or_is_of_others_is_not_sound() -> None:
    assert board().is_sound(PERIOD)
    content = {**THE_COHORT.as_content(), "blocks": THE_COHORT.as_content()["blocks"][:0]}  # type: ignore[index]
    small = {**content, "blocks": [[{"node": "n1", "key": "k", "vouched": True}]]}
    assert not Board("staff", HUB, SECOND, both(COHORT, small, 0)).is_sound(PERIOD)
    assert not Board("staff", HUB, "third", [
        said(origin, COHORT, THE_COHORT.as_content(), 0) for origin in (HUB, "third")
    ]).is_sound(PERIOD)  # fmt: skip


def test_a_step_of_a_period_and_one_of_a_family_have_their_own_subjects() -> None:
    assert subject_of("staff", "close", PERIOD, 2) == "staff/2025U/1.2/close"
    assert subject_of("staff", CONSENT) == "staff/consent"
