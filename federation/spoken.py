"""A fingerprint as words, to be read over the telephone: 256 everyday Chinese words of two characters, one a byte.

Sixteen words say the first 128 bits; to find another key with the same sixteen takes 2^128 trials. No two of the words
sound alike. The hex digits stand beside them for whoever would rather compare those. The list never changes: a word's
place is its meaning.
"""

from federation.errors import InputRefused
from federation.keyfile import read_fingerprint
from schemas import load_words

WORDS = 16


def spoken(fingerprint: str) -> str:
    """Return the words of a fingerprint (64 hex digits, whole or in groups): 16 words in groups of four."""
    words = load_words()
    said = [words[byte] for byte in bytes.fromhex(read_fingerprint(fingerprint))[:WORDS]]
    return "　".join(" ".join(said[i : i + 4]) for i in range(0, WORDS, 4))


def read_spoken(text: str) -> str:
    """Return the 32 hex digits that 16 words say; raise InputRefused naming the first word that is none of them."""
    places = {word: number for number, word in enumerate(load_words())}
    said = text.replace("，", " ").replace("、", " ").split()
    for number, word in enumerate(said, start=1):
        if word not in places:
            raise InputRefused(
                "word-unknown",
                f"第 {number} 个词不在指纹词表中，请再听一遍。",
                f"Word {number} is none of the words of fingerprints; ask for it again.",
                place=number,
            )
    if len(said) != WORDS:
        raise InputRefused(
            "words-count",
            f"指纹读作 {WORDS} 个词，这里有 {len(said)} 个。",
            f"A fingerprint is read as {WORDS} words; here are {len(said)}.",
        )
    return bytes(places[word] for word in said).hex()


def says_fingerprint(fingerprint: str, text: str) -> bool:
    """Tell whether `text`, 16 words or 64 hex digits, says this fingerprint; raise InputRefused where it is neither."""
    digits = read_fingerprint(fingerprint)
    if set(text) & set("".join(load_words())):
        return digits.startswith(read_spoken(text))
    return digits == read_fingerprint(text)
