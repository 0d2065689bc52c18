"""The officers of a federation of processes: they sign at their own desk, the hub's process only publishes.

Officers' keys are in the test's memory and nowhere else. What they sign is handed in to the hub's database as the
command does it; running processes see it with their next transaction.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer

from federation.changes import Change
from federation.drafts import Draft, propose, read_draft, read_outcome, sign_draft, write_draft
from federation.keys import new_private_pem, read_signer
from federation.membership import MemberList
from federation.officers import build_card
from node.access.permissions import ADMIN, Actor
from node.context import Node, open_node
from node.exchange import desk, enrolling, federating
from node.exchange.refreshing import sign_anew
from node.handlers import HANDLERS
from node.officer.changes import changes_of
from node.stream.memberlist import find_state, load_list_files, open_held, pin
from node.stream.models import MemberListState
from node.stream.service import get_federation
from tests.faults.federation import Folder, Nodes

ACTOR = Actor("a-root", "root", ADMIN)


@dataclass
class Signed:
    """A federation with a signed list. Three officers, two of whom must sign."""

    nodes: Nodes
    federation: str = ""
    officers: list[Any] = field(default_factory=lambda: [read_signer(new_private_pem()) for _ in range(3)])

    def found(self, *colleges: Folder) -> None:
        """Sign the first list of hub and enrolled colleges; these pin its root, as from the anchor."""
        with self.nodes.hub.opened() as hub:
            with hub.database.read() as session:
                self.federation = get_federation(session, hub).id
            cards = [build_card(signer, f"签署人{number}") for number, signer in enumerate(self.officers)]
            row = federating.create_federation(hub, ACTOR, cards, 2)
            self.publish(hub, read_draft(row.file), first=True)
            self.address(hub)
            with hub.database.read() as session:
                root = session.get_one(MemberListState, self.federation).root
        for folder in colleges:
            with folder.opened() as node, node.database.write() as session:
                pin(session, self.federation, root, urls=self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.nodes.port}"

    def address(self, hub: Node) -> None:
        with hub.database.write() as session:
            state = session.get_one(MemberListState, self.federation)
            state.urls = self.url
            session.add(state)
        sign_anew(hub, self.federation, at_once=True)

    def publish(self, hub: Node, draft: Draft, *signers: Signer, first: bool = False) -> None:
        held = None if first else self.held(hub)
        for signer in signers or self.officers[:2]:
            draft = sign_draft(held, draft, signer, seen=read_outcome(held, draft))
        told = desk.receive_draft(hub, write_draft(draft), HANDLERS)
        assert told["state"] == "published", told

    def change(self, *changes: Change) -> None:
        with self.nodes.hub.opened() as hub:
            self.publish(hub, propose(self.held(hub), *changes, now=hub.clock()))

    def held(self, node: Node) -> MemberList:
        with node.database.read() as session:
            found = open_held(session, self.federation, node.clock())
        assert found is not None
        return found

    def versions(self, folder: Folder) -> dict[str, int]:
        with folder.opened() as node:
            return dict(self.held(node).versions)

    def problem(self, folder: Folder) -> str:
        """Return what stands against a node's list."""
        with folder.opened() as node, node.database.read() as session:
            state = find_state(session, self.federation)
            return state.error if state else ""

    def enrol(self, newcomer: Folder) -> None:
        """Let a newcomer ask with the anchor, and two officers grant it."""
        with self.nodes.hub.opened() as hub:
            anchor = federating.read_anchor_file(hub)
            file = newcomer.path / "anchor.json"
            file.write_bytes(anchor)
            asked = newcomer.start(ask_to_join, str(newcomer.config), str(file)).wait()
            assert asked.code == 0, asked.error
            with hub.database.read() as session:
                requests = [item["file"].encode() for item in desk.list_requests(session)]
            changes = [change for request in requests for change in changes_of(self.held(hub), request)]
            self.publish(hub, propose(self.held(hub), *changes, now=hub.clock()))

    def files(self, folder: Folder) -> dict[str, bytes]:
        with folder.opened() as node, node.database.read() as session:
            return load_list_files(session, self.federation)


def ask_to_join(config: str, anchor: str) -> None:
    """Ask to join in a process of its own."""
    enrolling.request_to_join(open_node(Path(config)), ACTOR, Path(anchor).read_bytes(), HANDLERS)
