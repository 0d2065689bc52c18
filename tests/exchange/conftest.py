"""A small federation: a hub and colleges with real keys and databases, and one kind of record of our own."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import Session, select

import schemas
from federation import grants, validation
from federation.acceptance import Outcome
from federation.envelope import RECORD_TYPE, join_page, read_envelope, sign
from federation.errors import InputRefused
from federation.keys import ED25519, Member, new_identifier, new_private_pem, public_pem, read_signer
from federation.request import Answer, build_request, open_answer
from node.context import Node
from node.db import Database
from node.exchange import inbox
from node.exchange.api import router
from node.exchange.membership_api import router as membership
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.service import append_record
from tests.transport import AppTransport

START = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
SAMPLE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0}, "refuse": {"type": "boolean"}},
    "required": ["n"],
    "additionalProperties": False,
}


def clear_schema_caches() -> None:
    schemas.load_schema.cache_clear()
    schemas.schema_digest.cache_clear()
    validation._validator.cache_clear()


@pytest.fixture(autouse=True)
def sample_schema(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add one schema that belongs to the tests alone."""
    real = schemas.load_schema_bytes
    monkeypatch.setattr(grants, "KINDS", (*grants.KINDS, "sample"))
    monkeypatch.setattr(
        schemas,
        "load_schema_bytes",
        lambda name: json.dumps(SAMPLE).encode() if name == "sample.v1" else real(name),
    )
    clear_schema_caches()
    yield
    clear_schema_caches()


@dataclass
class Turn:
    """A clock that tests turn by hand."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Seen:
    """What the handler of kind `sample` was given, by record id; `refuse: true` is refused."""

    taken: dict[str, int] = field(default_factory=dict)
    allow_all: bool = False

    def take(self, session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
        session.add(Peer(federation="scratch", id=record.id, name="", public_key="", keyid=record.id))
        session.flush()
        if content.get("refuse") and not self.allow_all:
            raise InputRefused("sample-refused", "不收。", "Not taken.")
        self.taken[record.id] = content["n"]

    def withdraw(self, session: Session, record: StoredRecord, content: dict[str, Any]) -> None:  # noqa: ARG002
        row = session.get(Peer, ("scratch", record.id))
        if row is not None:  # a record of our own was never handed to this handler
            session.delete(row)
            session.flush()
        self.taken.pop(record.id, None)


@dataclass
class World:
    """A hub with its application, and colleges which it knows."""

    federation: str
    clock: Turn
    hub: Node
    app: FastAPI
    seen: Seen
    handlers: dict[str, inbox.Handler]
    make: Callable[..., Node]

    def add_college(
        self, *, known_to_hub: bool = True, database: Database | None = None, key_algorithm: str = ED25519
    ) -> Node:
        college = replace(self.make(database=database, key_algorithm=key_algorithm), clock=self.clock)
        with college.database.write() as session:
            session.add(Federation(id=self.federation, name="联合体", hub_id=self.hub.node_id, joined_at=START))
        self.introduce(college, self.hub)
        if known_to_hub:
            self.introduce(self.hub, college)
        return college

    def introduce(self, to: Node, other: Node, status: str = "active", groups: str = "", sealing: str = "") -> None:
        """Write `other` into the peers of `to`, as a member list would."""
        key = other.signer.public_key
        with to.database.write() as session:
            session.merge(
                Peer(
                    federation=self.federation,
                    id=other.node_id,
                    name=other.settings.node.name,
                    public_key=public_pem(key),
                    keyid=key.keyid,
                    status=status,
                    is_hub=other.node_id == self.hub.node_id,
                    groups=groups,
                    sealing_key=sealing,
                )
            )

    def append(self, node: Node, n: int = 1, *, stream: str = "all", subject: str = "", **content: Any) -> StoredRecord:
        """Append the next revision of a subject."""
        subject = subject or f"s{n}"
        with node.database.write() as session:
            last = session.exec(
                select(StoredRecord)
                .where(StoredRecord.federation == self.federation, StoredRecord.origin == node.node_id)
                .where(StoredRecord.stream == stream, StoredRecord.subject == subject)
                .order_by(StoredRecord.revision.desc())  # type: ignore[attr-defined]
            ).first()
            return append_record(
                session,
                node,
                federation=self.federation,
                stream=stream,
                kind="sample",
                subject=subject,
                revision=last.revision + 1 if last else 1,
                supersedes=last.id if last else "",
                schema="sample.v1",
                content=json.dumps({"n": n, **content}).encode(),
            )

    def forge(self, node: Node, base: bytes, **changes: Any) -> bytes:
        """Return the payload of envelope `base` with changes, signed by the key of `node`."""
        payload = {**json.loads(read_envelope(base).payload), **changes}
        return sign(json.dumps(payload).encode(), RECORD_TYPE, node.signer)

    def receive(self, node: Node, envelope: bytes, via: str = inbox.PUSH) -> Outcome:
        with node.database.write() as session:
            return inbox.receive(session, node, envelope, self.handlers, via=via)

    def request(self, college: Node, op: str, body: dict[str, Any], **changes: Any) -> bytes:
        values: dict[str, Any] = {
            "op": op,
            "origin": college.node_id,
            "audience": self.hub.node_id,
            "federation": self.federation,
            "body": body,
            "at": self.clock(),
            "nonce": secrets.token_urlsafe(16),
        }
        return build_request(college.signer, **(values | changes))

    def post(self, op: str, body: bytes, **headers: str) -> httpx.Response:
        with httpx.Client(transport=AppTransport(self.app), base_url="http://hub") as client:
            return client.post(f"/exchange/v1/{op}", content=body, headers=headers)

    def ask(self, college: Node, op: str, body: dict[str, Any], enclosed: list[bytes] | None = None) -> Answer:
        request = self.request(college, op, body)
        response = self.post(op, join_page([request, *(enclosed or [])]))
        assert response.status_code == 200, response.text
        return open_answer(
            response.content,
            provider=Member(self.hub.node_id, self.federation, self.hub.signer.public_key),
            op=op,
            audience=college.node_id,
            request_id=read_envelope(request).id,
        )

    def push(self, college: Node, *envelopes: bytes) -> Answer:
        ids = [read_envelope(envelope).id for envelope in envelopes]
        return self.ask(college, "push", {"records": ids}, list(envelopes))

    def states(self, node: Node) -> list[tuple[int, str, str]]:
        """Return (sequence, state, code) of everything held, in the order of the log."""
        with node.database.read() as session:
            rows = session.exec(select(StoredRecord).order_by(StoredRecord.position)).all()  # type: ignore[arg-type]
        return [(row.sequence, row.state, row.code) for row in rows]


@pytest.fixture
def world(make_node: Callable[..., Node], database: Database) -> World:
    """Give a hub on each kind of database."""
    clock = Turn()
    hub = replace(make_node("汇总节点", database=database), clock=clock)
    federation = new_identifier("f")
    with hub.database.write() as session:
        session.add(Federation(id=federation, name="联合体", hub_id=hub.node_id, joined_at=START))
    seen = Seen()
    app = FastAPI()
    app.include_router(router)
    app.include_router(membership)
    handlers: dict[str, inbox.Handler] = {"sample": seen.take, "sample:withdraw": seen.withdraw}
    app.state.node, app.state.handlers = hub, handlers
    return World(federation, clock, hub, app, seen, handlers, make_node)


def stranger() -> Any:
    """Return the signer of nobody."""
    return read_signer(new_private_pem())
