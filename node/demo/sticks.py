"""The college without a network: its request, its records and what it reads go as files in a folder, the stick."""

from pathlib import Path
from typing import Any

from node.demo.crew import Crew
from node.demo.office import ADMIN, STICK, Founded, TypingOffice
from node.demo.rosters import CollegePlan


class StickOffice(TypingOffice):
    """Everything by command, and nothing over a network: what the hub must have is carried there."""

    def __init__(self, crew: Crew, node: Founded, hub: Founded, plan: CollegePlan | None = None) -> None:
        super().__init__(crew, node, plan)
        self.transport = STICK
        self._hub = hub
        self._stick = crew.folder / "stick"
        self._stick.mkdir(exist_ok=True)
        self._trips = 0

    def ask_to_join(self, anchor: Path) -> None:
        """Write the request into a file, which the hub takes."""
        request = self._stick / "join-request.json"
        self._type(ADMIN, "enrol", "request", "--anchor", anchor, "--out", request)
        self._type_at_hub("enrol", "take", request)

    def enter(self) -> str:
        """Bring the hub's stick, which holds the list, and look whether we are in it."""
        self._fetch()
        return super().enter()

    def sync(self) -> list[dict[str, Any]]:
        """Carry a stick to the hub and one back."""
        out = self._next("to-hub")
        self._type(ADMIN, "bundle", "export", "--to", self._hub.node_id, "--out", out)
        self._type_at_hub("bundle", "import", out)
        self._fetch()
        return []

    def _fetch(self) -> None:
        back = self._next("from-hub")
        self._type_at_hub("bundle", "export", "--to", self.node.node_id, "--out", back)
        self._type(ADMIN, "bundle", "import", back)

    def _type_at_hub(self, *words: str | Path) -> None:
        self._crew.type("--config", self._hub.config, "--token-file", self._hub.token_file, *words, "--json")

    def _next(self, name: str) -> Path:
        self._trips += 1
        return self._stick / f"{self._trips:02d}-{name}.bundle"
