"""A federation as people run it: folders, commands typed at each node and at each officer's desk, nothing else.

Every command is a process of its own (forked from one that has read the program, so that a start costs milliseconds).
An officer's folder never meets a node's: it speaks to the hub's open endpoints, or to files on a stick.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.federation import Folder, free_port
from tests.faults.process import Around, Running, command, start

HUB = "hub"
NAMES = {HUB: "省教育工会", "ann": "甲学院", "ben": "乙学院", "cat": "丙学院"}
OFFICERS = (1, 2, 3)


@dataclass
class Town:
    """All folders under `path`. `hub` is the node that is the hub now, `urls` where nodes answer."""

    path: Path
    hub: str = HUB
    urls: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    @property
    def words(self) -> Path:
        found = self.path / "words"
        found.mkdir(parents=True, exist_ok=True)
        return found

    @property
    def anchor(self) -> Path:
        return self.path / "anchor.json"

    def at(self, node: str) -> Folder:
        return self.folders.setdefault(node, Folder(node, self.path / node, self.words))

    def type(self, *words: object, code: int = 0) -> Any:
        """Type a command that must end with `code`; return what it printed, read where it is JSON."""
        done = start(command, *map(str, words), around=Around(), folder=self.words).wait()
        assert done.code == code, (words, done.out, done.error)
        text = done.out if code == 0 or done.out else done.error
        return json.loads(text) if text[:1] in {"{", "["} else text

    def do(self, node: str, *words: object, code: int = 0, who: str = "admin") -> Any:
        """Type a command at a node, by default as its administrator."""
        token = self.path / node / f"{who}.token"
        return self.type("--config", self.at(node).config, "--token-file", token, *words, code=code)

    def officer(self, number: int, *words: object, code: int = 0) -> Any:
        """Type a command at an officer's desk that has the network."""
        desk = ("--officer", self.path / f"officer-{number}", "--hub", self.urls[self.hub], "--yes", "--json")
        return self.type(*words, *desk, code=code)

    def change(self, *words: object, officers: Sequence[int] = (1, 2)) -> Any:
        """Let one officer propose and the others sign, each after looking at it; return what the last was told."""
        told = self.officer(officers[0], *words)
        for number in officers[1:]:
            assert told["state"] == "proposed", told
            told = self.officer(number, "enrol", "approve", told["draft"])
        assert told["state"] == "published", told
        return told

    def approve(self, *requests: object, officers: Sequence[int] = (1, 2)) -> None:
        """Let each officer approve the same requests by their ids."""
        for number in officers:
            told = self.officer(number, "enrol", "approve", *requests)
        assert told["state"] == "published", told

    def init(self, node: str, *words: object) -> str:
        """Found a node, with an officer of its own who may publish; return its id."""
        made = self.type("init", self.path / node, "--name", NAMES.get(node, node), "--set", "sync.enabled=false",
                         "--json", *words)  # fmt: skip
        self.do(node, "user", "add", "zhang", "--role", "officer", "--token-out", self.path / node / "zhang.token")
        return str(made["node_id"])

    def serve(self, node: str) -> Running:
        return self.at(node).serve(int(self.urls[node].rpartition(":")[2]))

    def write(self, node: str, title: str) -> str:
        """Publish a notice; return its record's id."""
        self.do(node, "notice", "publish", "--title", title, "--place", "体育馆", "--starts", "2031-12-12T14:00",
                "--ends", "2031-12-12T17:00", who="zhang")  # fmt: skip
        return str(self.do(node, "record", "list", "--kind", "notice", "--json", who="zhang")[0]["id"])

    def sync(self, *nodes: str, code: int = 0) -> None:
        for node in nodes:
            self.do(node, "sync", "run", "--json", code=code)

    def state_of(self, node: str, record: str) -> str:
        """Return how a node has a record: "" where it holds none."""
        rows = self.do(node, "record", "list", "--kind", "notice", "--json", who="zhang")
        return next((str(row["state"]) for row in rows if row["id"] == record), "")

    def standing(self, node: str) -> str:
        return str(self.do(node, "enrol", "status", "--json")["state"])

    def keyid(self, node: str) -> str:
        return str(self.do(node, "peer", "key", "--json")["keyid"])

    def member(self, seen_by: str, name: str) -> dict[str, Any]:
        found = self.do(seen_by, "federation", "show", "--json")["members"]
        return next(member for member in found if member["name"] == name)

    def copy(self, path: Path) -> "Town":
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns("words"))
        return Town(path, self.hub, dict(self.urls))

    def end(self) -> None:
        for folder in self.folders.values():
            folder.end()


def found_town(path: Path) -> Town:
    """Found a hub with three officers, two of whom sign, and enrol three colleges that call out only."""
    town = Town(path)
    port = free_port()
    town.urls[HUB] = f"http://127.0.0.1:{port}"
    town.init(HUB, "--hub", "--port", port, "--public-url", town.urls[HUB])
    cards: list[object] = []
    for number in OFFICERS:
        town.type("federation", "officer", path / f"officer-{number}", "--name", f"管理员{number}", "--json")
        cards += ["--card", path / f"officer-{number}" / "officer.json"]
    draft = town.do(HUB, "federation", "create", "--name", "联合体", "--threshold", "2", *cards, "--json")
    town.serve(HUB)
    town.approve(draft["draft"])
    town.do(HUB, "federation", "anchor", "--out", town.anchor)
    ids = [town.init(name) for name in NAMES if name != HUB]
    for name in NAMES:
        if name != HUB:
            town.do(name, "enrol", "request", "--anchor", town.anchor, "--json")
    town.approve(*ids)
    for name in NAMES:
        if name != HUB:
            assert town.standing(name) == "active"
    town.end()
    return town
