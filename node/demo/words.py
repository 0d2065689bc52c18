"""Texts of the demo in two languages, and what can go wrong in it."""

from typing import NamedTuple


class Words(NamedTuple):
    """One sentence, Chinese and English."""

    zh: str
    en: str

    def both(self) -> str:
        """Return the sentence as the demo prints it: Chinese first."""
        return f"{self.zh} / {self.en}"


class DemoFailed(Exception):
    """The demo cannot go on. `code` is that of the node's own error where it came from one; `exit_code` likewise."""

    def __init__(self, code: str, zh: str, en: str, exit_code: int = 1) -> None:
        super().__init__(f"{code}: {en}")
        self.code = code
        self.words = Words(zh, en)
        self.exit_code = exit_code
