"""One concept, one word: the glossary's words are the product's, and the words it avoids appear nowhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|(.*)\|$", re.MULTILINE)


def _rows() -> list[tuple[str, str, list[str]]]:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    found = []
    for english, chinese, _, avoided in ROW.findall(text):
        if english.strip() != "English" and not english.startswith("---"):
            found.append((english.strip(), chinese.strip(), [word for word in avoided.strip().split("、") if word]))
    return found


def _product() -> dict[str, str]:
    files = [
        path
        for folder in ("node", "federation", "schemas", "docs", "deploy")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".html", ".md", ".json", ".js"} and path.name != "glossary.md"
    ]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_each_word_stands_for_one_thing() -> None:
    rows = _rows()
    assert len(rows) >= 25
    for column in (0, 1):
        words = [row[column] for row in rows]
        assert len(words) == len(set(words))
    design = {"node", "hub", "member list", "peer", "indicator", "observation", "release", "notice", "stream", "record",
              "log", "envelope", "receipt", "review", "quarantine", "roll-up", "suppression"}  # fmt: skip
    assert design <= {english for english, _, _ in rows}


def test_avoided_words_appear_nowhere() -> None:
    product = _product()
    for english, chinese, avoided in _rows():
        for word in avoided:
            wrong = [name for name, text in product.items() if word in text]
            assert not wrong, f"{english}: write {chinese}, not {word}: {wrong}"


def test_the_words_are_used() -> None:
    everything = "\n".join(_product().values()).lower()
    for english, _, _ in _rows():
        assert english.lower() in everything, english
