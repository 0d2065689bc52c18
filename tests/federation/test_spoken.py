"""Fingerprints as words: every byte has one word, and a word misheard is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InputRefused
from federation.spoken import read_spoken, says_fingerprint, spoken
from schemas import load_words

KEYID = "00ff" + "5a" * 30


def test_there_are_256_words_of_two_characters() -> None:
    words = load_words()
    assert len(set(words)) == 256
    assert {len(word) for word in words} == {2}
    assert (words[0], words[255]) == ("阿姨", "作家")  # the order is for ever


@given(st.binary(min_size=32, max_size=32))
def test_words_say_the_first_128_bits(digest: bytes) -> None:
    text = spoken(digest.hex())
    assert len(text.split()) == 16
    assert read_spoken(text) == digest.hex()[:32]
    assert says_fingerprint(digest.hex(), text)


def test_another_key_is_heard() -> None:
    assert spoken(KEYID).startswith("阿姨 作家 ")
    assert not says_fingerprint("01" + KEYID[2:], spoken(KEYID))
    assert says_fingerprint(KEYID, " ".join(KEYID[i : i + 4] for i in range(0, 64, 4)).upper())
    assert not says_fingerprint(KEYID, KEYID[:-1] + "b")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (spoken(KEYID).replace("作家", "作者"), "word-unknown"),
        (spoken(KEYID)[3:], "words-count"),
        ("ab12", "fingerprint-misspelt"),
    ],
)
def test_what_is_misheard_is_named(text: str, code: str) -> None:
    with pytest.raises(InputRefused) as refused:
        says_fingerprint(KEYID, text)
    assert refused.value.code == code
