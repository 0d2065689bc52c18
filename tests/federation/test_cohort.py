"""Cohorts: blocks of six that are vouched for, whose order nobody chooses."""

from collections.abc import Callable
from typing import Any

import pytest

from federation.cohort import LEAST, cut_blocks, read_cohort
from federation.documents import dump_document, read_object
from federation.errors import Conflict, TrustError

KEYS = {f"n-{number:03}": f"{number:064x}" for number in range(40)}
NAMED = {"federation": "f-one", "family": "staff", "year": "2026"}


def _content(vouched: int = 30) -> dict[str, Any]:
    blocks = cut_blocks(KEYS, list(KEYS)[:vouched], **NAMED)
    known = set(list(KEYS)[:vouched])
    return {
        **NAMED,
        "list": 7,
        "aggregators": ["n-hub", "n-second"],
        "blocks": [
            [{"node": node, "key": key, "vouched": node in known} for node, key in sorted(block.items())]
            for block in blocks
        ],
    }


@pytest.mark.parametrize(("vouched", "count"), [(6, 1), (11, 1), (12, 2), (30, 5), (40, 6)])
def test_every_block_has_six_that_are_vouched_for(vouched: int, count: int) -> None:
    cohort = read_cohort(_content(vouched))
    assert len(cohort.blocks) == count
    assert {node for block in cohort.blocks for node in block} == set(KEYS)
    assert min(len(cohort.vouched.intersection(block)) for block in cohort.blocks) >= LEAST


def test_inventions_of_the_hub_make_no_block() -> None:
    with pytest.raises(Conflict, match="cohort-too-small"):
        cut_blocks(KEYS, list(KEYS)[:5], **NAMED)


def test_the_cut_depends_on_the_year_and_not_on_the_order() -> None:
    backwards = dict(reversed(KEYS.items()))
    assert cut_blocks(KEYS, KEYS, **NAMED) == cut_blocks(backwards, list(backwards), **NAMED)
    assert cut_blocks(KEYS, KEYS, **NAMED) != cut_blocks(KEYS, KEYS, **{**NAMED, "year": "2027"})


def test_what_both_sign_is_read_again_as_the_same() -> None:
    cohort = read_cohort(_content())
    again = read_cohort(read_object(dump_document(cohort.as_content())))
    assert again == cohort
    assert again.digest == cohort.digest
    assert cohort.block_of("n-007") is not None
    assert cohort.block_of("n-999") is None


def _twice(content: dict[str, Any]) -> None:
    content["blocks"][0].append(content["blocks"][1][0])


def _same_key(content: dict[str, Any]) -> None:
    content["blocks"][0][0]["key"] = content["blocks"][1][0]["key"]


def _unknown_to_the_second(content: dict[str, Any]) -> None:
    for item in content["blocks"][0]:
        item["vouched"] = False


def _one_body(content: dict[str, Any]) -> None:
    content["aggregators"] = ["n-hub", "n-hub"]


def _contributes_itself(content: dict[str, Any]) -> None:
    content["aggregators"] = [content["blocks"][0][0]["node"], "n-second"]


@pytest.mark.parametrize("fault", [_contributes_itself, _twice, _same_key, _unknown_to_the_second, _one_body])
def test_a_cohort_that_breaks_the_rules_is_refused(fault: Callable[[dict[str, Any]], None]) -> None:
    content = _content()
    fault(content)
    with pytest.raises(TrustError, match="cohort-rules"):
        read_cohort(content)
