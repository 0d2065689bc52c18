"""Federations of real nodes in folders: founded once, copied for each test, run as real processes.

A member's work (publish a release and some notices) is written so that it can be given again after a kill, as a person
would: what is done already is left alone.
"""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from federation.keys import public_pem
from node.access.permissions import ANALYST, Actor
from node.activities import service as notices
from node.activities.draft import Draft
from node.context import Node, open_node
from node.exchange.membership import publish_members_if_hub
from node.founding import found_node
from node.indicators import release
from node.indicators.models import Release
from node.indicators.preview import preview
from node.stream.models import Federation, Peer, StoredRecord
from tests.faults.process import Around, Ended, Running, command, start
from tests.releases.conftest import ANN, BEN, EVE, Office, roster_text

HUB = "hub"
PERIOD = "2025U"
WATCHER = Actor("a-eve", "eve", ANALYST)
QUIET = {"sync.enabled": False, "log.level": "WARNING"}
NOTICES = 4  # that a member's work publishes


@dataclass
class Folder:
    """One node: its folder, the processes that were started for it, and where their words go (another disk)."""

    name: str
    path: Path
    words: Path
    running: list[Running] = field(default_factory=list)
    held: Node | None = None  # while it is opened within this process

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @contextmanager
    def opened(self) -> Iterator[Node]:
        """Open the node within this process, once: to prepare, and to look at it afterwards."""
        if self.held is not None:
            yield self.held
            return
        self.held = open_node(self.config)
        try:
            yield self.held
        finally:
            self.held.database.close()
            self.held = None

    def start(self, target: Callable[..., None], *values: Any, around: Around | None = None) -> Running:
        started = start(target, *values, around=around or Around(), folder=self.words)
        self.running.append(started)
        return started

    def gonghui(self, *words: str, around: Around | None = None) -> Running:
        """Start a command in the administrator's name."""
        token = str(self.path / "admin.token")
        return self.start(command, "--config", str(self.config), "--token-file", token, *words, around=around)

    def sync(self, around: Around | None = None) -> Ended:
        """Run one round to its end."""
        return self.gonghui("sync", "run", "--json", around=around).wait()

    def work(self, around: Around | None = None) -> Ended:
        """Do a member's work to its end."""
        return self.start(publish_all, str(self.config), around=around).wait()

    def serve(self, port: int, *, host: str = "127.0.0.1", around: Around | None = None) -> Running:
        """Start `gonghui serve` and wait until it answers."""
        return self.wait_until_it_answers(
            self.gonghui("serve", "--json", "--host", host, "--port", str(port), around=around)
        )

    def wait_until_it_answers(self, served: Running) -> Running:
        until = time.monotonic() + 30
        while "}" not in (said := served.out.read_text("utf-8") if served.out.exists() else ""):
            if not served.process.is_alive() or time.monotonic() > until:
                raise RuntimeError(served.error.read_text("utf-8"))
            time.sleep(0.01)
        served.url = json.loads(said)["url"]
        return served

    def set(self, **values: object) -> None:
        """Change settings: `exchange_proxy=...` is `[exchange] proxy`."""
        from node.config import read_settings, write_settings_text

        told = read_settings(self.config.read_text("utf-8")).model_dump()
        flat = {f"{section}.{key}": value for section, keys in told.items() for key, value in keys.items()}
        flat |= {name.replace("_", ".", 1): value for name, value in values.items()}
        self.config.write_text(write_settings_text(flat), encoding="utf-8")

    def end(self) -> None:
        for started in self.running:
            started.kill()


@dataclass
class Nodes:
    """A federation: the hub first. `port` is where the hub answers."""

    path: Path
    names: Sequence[str]
    port: int = 0
    folders: dict[str, Folder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = self.path / "words"
        words.mkdir(parents=True, exist_ok=True)
        self.folders = {name: Folder(name, self.path / name, words) for name in self.names}

    def __getitem__(self, name: str) -> Folder:
        return self.folders[name]

    @property
    def hub(self) -> Folder:
        return self.folders[HUB]

    @property
    def colleges(self) -> list[Folder]:
        return [folder for name, folder in self.folders.items() if name != HUB]

    def copy(self, path: Path) -> "Nodes":
        """Copy all folders; the copy's hub answers at a port of its own."""
        for name in self.names:
            shutil.copytree(self.path / name, path / name)
        copied = Nodes(path, self.names, free_port())
        copied.address_hub(f"http://127.0.0.1:{copied.port}")
        return copied

    def address_hub(self, url: str, names: Sequence[str] = ()) -> None:
        """Tell the colleges where the hub answers."""
        for folder in self.colleges:
            if names and folder.name not in names:
                continue
            with folder.opened() as node, node.database.write() as session:
                for row in session.exec(select(Peer).where(col(Peer.is_hub))).all():
                    row.url = url
                    session.add(row)

    def serve_hub(self, around: Around | None = None) -> Running:
        return self.hub.serve(self.port, around=around)

    def end(self) -> None:
        for folder in self.folders.values():
            folder.end()


def live(nodes: Nodes, names: Sequence[str] = ()) -> None:
    """Let nodes run by themselves: rounds every second, short waits after a failure."""
    for folder in nodes.folders.values():
        if not names or folder.name in names:
            folder.set(
                sync_enabled=True,
                sync_interval_seconds=1,
                sync_jitter_seconds=0,
                sync_backoff_first_seconds=1,
                sync_backoff_max_seconds=2,
                exchange_connect_timeout_seconds=2.0,
                exchange_read_timeout_seconds=5.0,
            )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def found(path: Path, colleges: Sequence[str], *, hub_settings: Mapping[str, object] | None = None) -> Nodes:
    """Found a hub and colleges that know it; each college has a release to approve."""
    nodes = Nodes(path, [HUB, *colleges])
    settings = {**QUIET, "hub.enabled": True, **(hub_settings or {})}
    hub = found_node(path / HUB, settings, admin="root", federation_name="省")
    for name in colleges:
        found_node(path / name, {**QUIET, "node.name": name}, admin="root")
    with nodes.hub.opened() as at_hub:
        for number, folder in enumerate(nodes.colleges):
            with folder.opened() as node:
                with node.database.write() as session:
                    session.add(Federation(id=hub.federation, name="省", hub_id=hub.node_id, joined_at=node.clock()))
                    introduce(session, hub.federation, at_hub, is_hub=True)
                with at_hub.database.write() as session:
                    introduce(session, hub.federation, node, is_hub=False)
                _draft(node, hub.federation, number)
        publish_members_if_hub(at_hub)
    return nodes


def introduce(session: Session, federation: str, peer: Node, *, is_hub: bool) -> None:
    key = peer.signer.public_key
    name = peer.settings.node.name
    session.add(
        Peer(
            federation=federation,
            id=peer.node_id,
            name=name,
            public_key=public_pem(key),
            keyid=key.keyid,
            is_hub=is_hub,
        )
    )


def _draft(node: Node, federation: str, number: int) -> None:
    """Import a roster and prepare the release that `publish_all` approves."""
    from node.access.models import Account

    with node.database.write() as session:
        for actor in (ANN, BEN, EVE):
            session.add(Account(id=actor.account_id, name=actor.name, role=actor.role, created_at=node.clock()))
    office = Office(node, federation)
    office.load(roster_text(120, seed=number + 1))
    office.prepare(PERIOD)


def publish_all(config: str) -> None:
    """Do a member's work: approve the release that is prepared and publish the notices that are not there yet."""
    from node.handlers import HANDLERS

    node = open_node(Path(config))
    with node.database.read() as session:
        drafts = session.exec(select(Release).where(Release.state == release.DRAFT)).all()
        published = session.exec(
            select(StoredRecord.id).where(StoredRecord.origin == node.node_id, StoredRecord.kind == "notice")
        ).all()
    for draft in drafts:
        with node.database.read() as session:
            digests = [flow.digest for flow in preview(session, node, BEN, draft.id).flows]
        release.approve(node, BEN, draft.id, digests, take=HANDLERS["release"])
    for number in range(len(published), NOTICES):
        publish_notice(node, number)


def publish_notice(node: Node, number: int, details: int = 20) -> None:
    draft = Draft(f"活动 {number}", "体育馆", "2031-12-12T14:00", "2031-12-12T17:00", details="说" * details)
    notices.publish(node, ANN, draft)
