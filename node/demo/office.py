"""What the people of one node do: accounts, joining, rosters, releases, rounds. Over HTTP, or by typing commands.

Both ways are the public ones and come to the same services; the college by stick has only the second.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.demo.crew import Crew
from node.demo.rosters import CollegePlan, Roster

OFFICER, APPROVER, ANALYST, ADMIN = "officer", "approver", "analyst", "admin"


DIRECT, RELAY, STICK = "direct", "relay", "file"


@dataclass(frozen=True)
class Account:
    """Somebody who may sign in, or act by token."""

    name: str
    role: str
    token: str
    setup_path: str = ""  # where a password is chosen, once
    password: str = ""


@dataclass
class Told:
    """What came of a college's rosters and releases, for the report."""

    rows: int = 0
    rows_refused: int = 0
    dropped: list[str] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    unread: list[dict[str, str]] = field(default_factory=list)  # files that could not be taken, and why
    released: int = 0

    def add_import(self, answer: dict[str, Any]) -> None:
        """Count an import and keep its remarks once each."""
        self.rows += answer["counts"]["rows"]
        self.rows_refused += answer["counts"]["refused"]
        for kept, found in ((self.dropped, answer["dropped_columns"]), (self.notes, answer["notes"])):
            kept.extend(item for item in found if item not in kept)


@dataclass
class Founded:
    """A node as `init` left it."""

    name: str
    config: Path
    node_id: str
    fingerprint: str
    token_file: Path

    @property
    def token(self) -> str:
        """Return the administrator's token."""
        return self.token_file.read_text(encoding="utf-8").strip()


def found(crew: Crew, folder: Path, name: str, *options: str) -> Founded:
    """Found a node in `folder` by command."""
    told = crew.type("init", folder, "--name", name, *options, "--json")
    return Founded(name, Path(told["config"]), told["node_id"], told["fingerprint"], Path(told["token_file"]))


class Office(ABC):
    """The people of one node."""

    def __init__(self, node: Founded, plan: CollegePlan | None = None) -> None:
        self.node = node
        self.plan = plan
        self.url = ""
        self.transport = DIRECT
        self.told = Told()
        self.accounts: dict[str, Account] = {}

    @abstractmethod
    def open_account(self, name: str, role: str) -> None:
        """Let somebody in, as the administrator does."""

    @abstractmethod
    def ask_to_join(self, anchor: Path) -> None:
        """Pin the anchor's federation and ask to join."""

    @abstractmethod
    def enter(self) -> str:
        """Look whether the officers have signed; return how the node stands. Once listed, a first round is run."""

    @abstractmethod
    def take_roster(self, roster: Roster) -> dict[str, Any]:
        """Import a complete roster; who is absent has left. Return the preview with its counts."""

    @abstractmethod
    def prepare(self, period: str, *, reason: str = "", provisional: bool = False) -> dict[str, Any]:
        """Prepare the release of a period, as the officer; a correction says why."""

    @abstractmethod
    def approve(self, release: dict[str, Any]) -> None:
        """Approve exactly what was prepared, as the approver."""

    @abstractmethod
    def sync(self) -> list[dict[str, Any]]:
        """Run one round; return what came of each peer."""

    @abstractmethod
    def contribute(self, family: str) -> None:
        """Consent, as the approver, to contribute to a family's exact totals."""

    @abstractmethod
    def publish_notice(self, values: dict[str, str]) -> str:
        """Offer an event; return its id."""

    @abstractmethod
    def cancel_notice(self, notice: str, note: str) -> None:
        """Call an event off."""


class TypingOffice(Office):
    """Everything by command: no process of this node listens."""

    def __init__(self, crew: Crew, node: Founded, plan: CollegePlan | None = None) -> None:
        super().__init__(node, plan)
        self._crew = crew

    def _type(self, role: str, *words: str | Path, ok: tuple[int, ...] = (0,)) -> Any:
        token = self.node.token_file if role == ADMIN else self._token_file(self.accounts[role].name)
        return self._crew.type("--config", self.node.config, "--token-file", token, *words, "--json", ok=ok)

    def _token_file(self, name: str) -> Path:
        return self.node.config.with_name(f"{name}.token")

    def open_account(self, name: str, role: str) -> None:
        """Let somebody in with a token; who only types needs no password."""
        file = self._token_file(name)
        self._type(ADMIN, "user", "add", name, "--role", role, "--token-out", file)
        self.accounts[role] = Account(name, role, file.read_text(encoding="utf-8").strip())

    def ask_to_join(self, anchor: Path) -> None:
        """Pin the anchor's federation and ask to join, by command."""
        self._type(ADMIN, "enrol", "request", "--anchor", anchor)

    def enter(self) -> str:
        """Look whether the officers have signed, by command."""
        return str(self._type(ADMIN, "enrol", "status")["state"])

    def take_roster(self, roster: Roster) -> dict[str, Any]:
        """Import a roster by command."""
        done: dict[str, Any] = self._type(
            OFFICER, "data", "import", roster.file, "--as-of", roster.as_of.isoformat(), "--full", "--yes",
            "--unknown-columns", "drop", "--leavers", "confirm",
        )  # fmt: skip
        return done

    def prepare(self, period: str, *, reason: str = "", provisional: bool = False) -> dict[str, Any]:
        """Prepare by command."""
        words = [*(["--reason", reason] if reason else []), *(["--provisional"] if provisional else [])]
        prepared: dict[str, Any] = self._type(OFFICER, "release", "prepare", period, *words)
        return prepared

    def approve(self, release: dict[str, Any]) -> None:
        """Approve all dataflows by command."""
        self._type(APPROVER, "release", "approve", release["id"], "--all")

    def sync(self) -> list[dict[str, Any]]:
        """Run one round by command; a round that failed in part is told, not raised."""
        results: list[dict[str, Any]] = self._type(ADMIN, "sync", "run", ok=(0, 5, 6))
        return results

    def contribute(self, family: str) -> None:
        """Consent by command."""
        self._type(APPROVER, "privacy", "contribute", "on", "--family", family)

    def publish_notice(self, values: dict[str, str]) -> str:
        """Offer an event by command."""
        words = [word for name, value in values.items() for word in (f"--{name}", value)]
        return str(self._type(OFFICER, "notice", "publish", *words)["id"])

    def cancel_notice(self, notice: str, note: str) -> None:
        """Call an event off by command."""
        self._type(OFFICER, "notice", "cancel", notice, "--note", note)
