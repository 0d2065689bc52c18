"""The officers of the demo's federation: three keys in three folders, two signatures for each change, by command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.demo.crew import Crew
from node.demo.served import ServedOffice

NAMES = ("王主席", "李主席", "赵主席")
THRESHOLD = 2


class Officers:
    """Three officers at machines of their own; here all folders lie side by side."""

    def __init__(self, crew: Crew, hub: ServedOffice) -> None:
        self._crew = crew
        self._hub = hub
        self._folders = [crew.folder / f"officer-{number}" for number in range(1, len(NAMES) + 1)]
        self.anchor: Path = crew.folder / "federation.anchor.json"

    def create_federation(self) -> None:
        """Make the keys, let the hub create the federation from the cards, sign it, and write its anchor."""
        cards: list[str | Path] = []
        for folder, name in zip(self._folders, NAMES, strict=True):
            cards += ["--card", self._crew.type("federation", "officer", folder, "--name", name, "--json")["card"]]
        draft = self._crew.folder / "founding.json"
        hub = ("--config", self._hub.node.config, "--token-file", self._hub.node.token_file)
        self._crew.type(*hub, "federation", "create", *cards, "--threshold", str(THRESHOLD), "--out", draft, "--json")
        self.approve([draft])
        self._crew.type(*hub, "federation", "anchor", "--out", self.anchor, "--json")

    def appoint(self, member: str) -> None:
        """Put a member into the group of aggregators: it is the second body of exact totals from now on."""
        told = self._sign(self._folders[0], "enrol", "group", member, "--add", "aggregator")
        for folder in self._folders[1:THRESHOLD]:
            self._sign(folder, "enrol", "approve", told["draft"])

    def approve(self, names: Sequence[str | Path]) -> None:
        """Let two officers sign, one after the other, what was asked for."""
        for folder in self._folders[:THRESHOLD]:
            self._sign(folder, "enrol", "approve", *names)

    def _sign(self, folder: Path, *words: str | Path) -> Any:
        return self._crew.type(*words, "--officer", folder, "--hub", self._hub.url, "--yes", "--json")
