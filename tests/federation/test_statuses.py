"""One word, mark and look for each kind of figure."""

import pytest

from federation.rollup import WORDS
from federation.statuses import EXACT, LOWER_BOUND, MISSING, NOISY, STATUSES, VALUE, WITHHELD, legend, marked


def test_no_two_statuses_look_or_read_alike() -> None:
    assert len({status.name for status in STATUSES.values()}) == len(STATUSES)
    marks = [status.mark for status in STATUSES.values() if status.mark]
    assert len(set(marks)) == len(marks)
    assert set(WORDS.values()) <= set(STATUSES)


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [(VALUE, "", "12"), (NOISY, "5", "≈ 12 ± 5"), (EXACT, "", "Σ 12"), (LOWER_BOUND, "", "≥ 12")],
)
def test_a_number_never_stands_without_its_mark(status: str, error: str, text: str) -> None:
    assert marked(status, "12", error) == text


def test_the_legend_says_what_is_shown_and_nothing_else() -> None:
    assert [status.id for status in legend([WITHHELD, VALUE, NOISY, WITHHELD])] == [NOISY, WITHHELD]
    assert legend([VALUE]) == []
    assert legend([MISSING])[0].sdmx == "O"
