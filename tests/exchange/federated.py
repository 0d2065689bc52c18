"""A federation with a signed list over the small world of `conftest`: officers with keys in memory, a hub, colleges."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from securesystemslib.signer import Signer

from federation.changes import Change
from federation.drafts import Draft, propose, read_draft, read_outcome, sign_draft, write_draft
from federation.keys import new_private_pem, read_signer
from federation.membership import MemberList
from federation.officers import build_card
from node.access.permissions import ADMIN, Actor
from node.context import Node
from node.exchange import desk, enrolling, federating
from node.exchange.refreshing import refresh_list, sign_anew
from node.officer.changes import changes_of
from node.stream.memberlist import open_held
from node.stream.models import ListDraft, MemberListState
from tests.sync.conftest import Net

ACTOR = Actor("a-test", "admin", ADMIN)


@dataclass
class Union:
    """Three officers, two of whom sign."""

    net: Net
    officers: list[Any] = field(default_factory=lambda: [read_signer(new_private_pem()) for _ in range(3)])

    @property
    def hub(self) -> Node:
        return self.net.world.hub

    @property
    def federation(self) -> str:
        return self.net.world.federation

    def found(self) -> None:
        cards = [build_card(signer, f"管理员{n}") for n, signer in enumerate(self.officers)]
        row = federating.create_federation(self.hub, ACTOR, cards, 2)
        self.publish(read_draft(row.file), first=True)

    def held(self, node: Node | None = None) -> MemberList:
        node = node or self.hub
        with node.database.read() as session:
            found = open_held(session, self.federation, node.clock())
        assert found is not None
        return found

    def state(self, node: Node) -> MemberListState:
        with node.database.read() as session:
            return session.get_one(MemberListState, self.federation)

    def publish(self, draft: Draft, *signers: Signer, first: bool = False) -> str:
        """Let officers sign one after the other, each handing in for himself; return the draft's state."""
        held = None if first else self.held()
        told = {"state": ""}
        for signer in signers or self.officers[:2]:
            signed = sign_draft(held, draft, signer, seen=read_outcome(held, draft))
            told = desk.receive_draft(self.hub, write_draft(signed), self.net.world.handlers)
        return str(told["state"])

    def change(self, *changes: Change) -> str:
        return self.publish(propose(self.held(), *changes, now=self.hub.clock()))

    def anchor(self) -> bytes:
        return federating.read_anchor_file(self.hub)

    def ask(self, college: Node) -> enrolling.Sent:
        return enrolling.request_to_join(
            college, ACTOR, self.anchor(), self.net.world.handlers, connect=self.net.connect
        )

    def approve(self, *colleges: Node) -> str:
        with self.hub.database.read() as session:
            waiting = [item for item in desk.list_requests(session) if item["state"] != "listed"]
            requests = {item["id"]: item["file"].encode() for item in waiting}
        changes = [changes_of(self.held(), requests[college.node_id]) for college in colleges]
        return self.change(*(change for group in changes for change in group))

    def enrol(self, **settings: object) -> Node:
        """Let a new college join, all the way."""
        college = replace(self.net.world.make(**settings), clock=self.net.world.clock)
        self.ask(college)
        self.approve(college)
        assert self.refresh(college) == ""
        return college

    def refresh(self, node: Node) -> str:
        return refresh_list(node, self.net.world.handlers, connect=self.net.connect)

    def resign(self) -> str:
        return sign_anew(self.hub, self.federation, at_once=True)

    def drafts(self) -> list[ListDraft]:
        with self.hub.database.read() as session:
            return desk.list_drafts(session)


@pytest.fixture
def union(net: Net) -> Union:
    """Give a federation whose list two officers have signed."""
    made = Union(net)
    made.found()
    with made.hub.database.write() as session:  # the address which the anchor names
        state = session.get_one(MemberListState, made.federation)
        state.urls = "http://hub"
        session.add(state)
    made.resign()
    return made
