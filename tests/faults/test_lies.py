"""Lies told to real processes: requests and records that come twice, elsewhere, later, as something else or by another.

What the steps of acceptance say of each is tested beside them; here it holds across processes, restarts and rounds.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from federation.documents import dump_document
from federation.envelope import RECORD_TYPE, REQUEST_TYPE, join_page, read_envelope, sign, split_page
from federation.keys import new_private_pem, read_signer
from federation.request import build_request
from node.context import Node
from node.stream.models import StoredRecord
from tests.exchange.releases import content, count, write_release
from tests.faults.checks import check_healed, records_of, rollup_of
from tests.faults.federation import Folder, Nodes, publish_notice
from tests.faults.process import Running

Copied = Callable[[Nodes], Nodes]
AS_RECORD = f'"payloadType":"{RECORD_TYPE}"'.encode()
AS_REQUEST = f'"payloadType":"{REQUEST_TYPE}"'.encode()


@dataclass
class Told:
    """What a node answered: its status, the stable code of a problem, the results of a push."""

    status: int
    code: str
    results: list[tuple[str, str]]


@dataclass
class Scene:
    """A hub and two colleges that are served, and what a liar among them may use."""

    nodes: Nodes
    served: dict[str, Running]
    opened: dict[str, Node]
    federation: str

    def request(self, teller: str, op: str, body: dict[str, Any], *, to: str = "hub") -> bytes:
        node = self.opened[teller]
        return build_request(
            node.signer,
            op=op,
            origin=node.node_id,
            audience=self.opened[to].node_id,
            federation=self.federation,
            body=body,
            at=node.clock(),
            nonce=secrets.token_urlsafe(16),
        )

    def post(self, op: str, *envelopes: bytes, to: str = "hub") -> Told:
        url = f"{self.served[to].url}/exchange/v1/{op}"
        answer = httpx.post(url, content=join_page(envelopes), trust_env=False, timeout=20)
        if answer.status_code != 200:
            return Told(answer.status_code, answer.json()["code"], [])
        body = json.loads(read_envelope(split_page(answer.content)[0]).payload)["body"]
        return Told(200, "", [(item["verdict"], item["code"]) for item in body.get("results", [])])

    def push(self, teller: str, *records: bytes, to: str = "hub") -> list[tuple[str, str]]:
        ids = [read_envelope(record).id for record in records]
        told = self.post("push", self.request(teller, "push", {"records": ids}, to=to), *records, to=to)
        assert told.status == 200, told
        return told.results

    def records(self, teller: str) -> list[bytes]:
        node = self.opened[teller]
        with node.database.read() as session:
            own = select(StoredRecord.envelope).where(StoredRecord.origin == node.node_id)
            return list(session.exec(own.order_by(col(StoredRecord.sequence))).all())

    def forge(self, record: bytes, signer: Node, **changes: Any) -> bytes:
        """Return the record as another would have signed it, with some of it changed."""
        payload = json.loads(read_envelope(record).payload) | changes
        return sign(dump_document(payload), RECORD_TYPE, signer.signer)


@pytest.fixture
def scene(three: Nodes, copied: Copied) -> Iterator[Scene]:
    nodes = copied(three)
    for college in nodes.colleges:
        college.work()
    served = {name: folder.serve(0) for name, folder in nodes.folders.items()}
    nodes.address_hub(served["hub"].url)
    with nodes.hub.opened() as hub, nodes["ann"].opened() as ann, nodes["ben"].opened() as ben:
        with hub.database.read() as session:
            from node.stream.service import get_federation

            federation = get_federation(session, hub).id
        yield Scene(nodes, served, {"hub": hub, "ann": ann, "ben": ben}, federation)


def heal(scene: Scene) -> None:
    for folder in (scene.nodes["ann"], scene.nodes["ben"], scene.nodes["ann"]):
        assert folder.sync().code == 0


def refusals(folder: Folder) -> set[str]:
    from node.stream.models import RefusedDocument

    with folder.opened() as node, node.database.write() as session:
        rows = session.exec(select(RefusedDocument)).all()
        codes = {row.code for row in rows}
        for row in rows:
            session.delete(row)
    return codes


def test_a_request_is_answered_once_here_and_nowhere_else(scene: Scene) -> None:
    request = scene.request("ann", "pull", {"cursor": 0})
    assert scene.post("pull", request).status == 200
    assert scene.post("pull", request).code == "request-replayed"
    assert scene.post("ping", request).code == "op-mismatch"
    scene.served["hub"].kill()  # a kill forgets no nonce
    scene.served["hub"] = scene.nodes.hub.serve(0)
    assert scene.post("pull", request).code == "request-replayed"
    fresh = scene.request("ann", "ping", {})
    assert scene.post("ping", fresh, to="ben").code == "key-unknown"  # ben has not heard of ann yet
    scene.nodes.address_hub(scene.served["hub"].url)
    heal(scene)
    assert scene.post("ping", fresh, to="ben").code == "audience-mismatch"
    assert scene.post("ping", fresh).status == 200, "what others refused is not used up"
    check_healed(scene.nodes)


def test_a_request_is_no_record_and_a_record_no_request(scene: Scene) -> None:
    request, record = scene.request("ann", "ping", {}), scene.records("ann")[0]
    assert scene.post("ping", record).code == "type-mismatch"
    assert scene.post("ping", record.replace(AS_RECORD, AS_REQUEST)).code == "signature-invalid"
    assert scene.push("ann", request) == [("refused", "type-mismatch")]
    assert scene.push("ann", request.replace(AS_REQUEST, AS_RECORD)) == [("refused", "signature-invalid")]
    assert refusals(scene.nodes.hub) == {"type-mismatch", "signature-invalid"}
    heal(scene)
    check_healed(scene.nodes)


def test_records_in_anothers_name_or_for_somebody_else(scene: Scene) -> None:
    ann, ben = scene.opened["ann"], scene.opened["ben"]
    first = scene.records("ann")[0]
    assert scene.push("ben", scene.forge(first, ben)) == [("refused", "origin-mismatch")]
    borrowed = scene.forge(first, ben).replace(
        ben.signer.public_key.keyid.encode(), ann.signer.public_key.keyid.encode()
    )
    assert scene.push("ben", borrowed) == [("refused", "signature-invalid")]
    from dataclasses import replace

    nobody = replace(ben, signer=read_signer(new_private_pem()))
    [(verdict, code)] = scene.push("ben", scene.forge(first, nobody))
    assert (verdict, code) == ("waiting", "key-unknown")
    elsewhere = {"federation": "f-" + "a" * 26, "readers": "all"}
    assert scene.push("ann", scene.forge(first, ann, audience=elsewhere)) == [("refused", "audience-mismatch")]
    for_hub = {"federation": scene.federation, "readers": "hub"}
    heal(scene)
    hub_only = scene.forge(first, ann, audience=for_hub, stream="hub")
    assert scene.push("ann", hub_only, to="ben") == [("refused", "audience-mismatch")]
    assert refusals(scene.nodes.hub) == {"origin-mismatch", "signature-invalid", "audience-mismatch"}
    assert refusals(scene.nodes["ben"]) == {"audience-mismatch"}
    with scene.nodes.hub.opened() as hub, hub.database.write() as session:
        from node.stream.models import WaitingDocument

        [waits] = session.exec(select(WaitingDocument)).all()
        assert waits.code == "key-unknown"
        session.delete(waits)
    check_healed(scene.nodes)


def test_records_in_another_order_with_one_held_back(scene: Scene) -> None:
    records = scene.records("ann")
    held_back = records.pop(1)
    told = scene.push("ann", *reversed(records))
    assert told == [("waiting", "sequence-gap")] * (len(records) - 1) + [("accepted", "")]
    assert len(records_of(scene.nodes.hub)) == 2  # the member list and the first: nothing counts before its turn
    assert scene.push("ben", held_back) == [("accepted", "")], "anybody may bring what its origin has signed"
    heal(scene)
    check_healed(scene.nodes)


def test_one_who_says_two_things_in_one_place_is_shown_by_nobody(scene: Scene) -> None:
    heal(scene)
    last = scene.records("ann")[-1]
    payload = json.loads(read_envelope(last).payload)
    other = scene.forge(last, scene.opened["ann"], content={**payload["content"], "title": "另一个"})
    assert scene.push("ann", other) == [("refused", "equivocation")]
    with scene.nodes.hub.opened() as hub, hub.database.read() as session:
        from node.activities.models import Notice
        from node.stream.models import Equivocation

        states = {row.id: row.state for row in session.exec(select(StoredRecord)).all()}
        [proof] = session.exec(select(Equivocation)).all()
        shown = {row.record_id for row in session.exec(select(Notice)).all() if row.state == "published"}
    assert (proof.first_id, proof.id) == (read_envelope(last).id, read_envelope(other).id)
    assert states[proof.first_id] == "equivocal"
    assert proof.first_id not in shown


def test_a_poisoned_record_in_mid_stream_holds_nothing_up(scene: Scene) -> None:
    """Signed by a node whose gate was taken out: it keeps its place, counts nowhere, and a correction mends it."""
    heal(scene)
    before = rollup_of(scene.nodes.hub)
    ann = scene.opened["ann"]
    small = content([count("MEM_CNT", 40), count("MEM_CNT", 4, G="2")], period="2024U")
    with ann.database.write() as session:
        poison = write_release(session, ann, scene.federation, small)
    for number in (51, 52):
        publish_notice(ann, number)
    heal(scene)
    places = {}
    for folder in (scene.nodes.hub, scene.nodes["ben"]):
        with folder.opened() as node, node.database.read() as session:
            rows = session.exec(select(StoredRecord).where(StoredRecord.origin == ann.node_id)).all()
        places[folder.name] = {row.sequence: (row.state, row.code) for row in rows}
    after = dict.fromkeys((poison.sequence + 1, poison.sequence + 2), ("current", ""))
    assert places["hub"].items() >= {poison.sequence: ("quarantined", "cell-too-small"), **after}.items()
    assert places["ben"].items() >= {poison.sequence: ("placeholder", "cell-too-small"), **after}.items()
    assert rollup_of(scene.nodes.hub) == rollup_of(scene.nodes["ben"]) == before
    with ann.database.write() as session:
        mended = write_release(session, ann, scene.federation, content([count("MEM_CNT", 30)], period="2024U"))
    heal(scene)
    for folder in (scene.nodes.hub, scene.nodes["ben"]):
        with folder.opened() as node, node.database.read() as session:
            assert session.get_one(StoredRecord, mended.id).state == "current"
