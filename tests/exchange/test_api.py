"""The exchange over HTTP: who may ask, what is served, and that every refusal is a problem with a stable code."""

import gzip
import json
import threading
import time
import tracemalloc
import zlib
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from federation.acceptance import open_receipt
from federation.envelope import join_page, read_envelope, split_page
from federation.errors import StorageError, TrustError
from federation.keys import Member, new_identifier, read_public_key
from federation.validation import check_schema
from node.exchange import inbox
from node.exchange.api import router
from node.stream.models import PeerRead, Receipt, StoredRecord, UsedNonce

from .conftest import World, stranger


def _refused(world: World, response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    check_schema("problem.v1", problem)
    return problem


def test_well_known_names_node_key_and_limits(world: World) -> None:
    from tests.transport import AppTransport

    with httpx.Client(transport=AppTransport(world.app), base_url="http://hub") as client:
        told = client.get("/.well-known/gonghui").json()
    assert (told["node"], told["federation"], told["hub"]) == (world.hub.node_id, world.federation, True)
    assert read_public_key(told["key"]["pem"]).keyid == told["key"]["keyid"] == world.hub.signer.public_key.keyid
    assert told["time"] == "2026-10-10T08:00:00Z"
    assert told["limits"]["page_records"] == 50


def test_ping(world: World) -> None:
    college = world.add_college()
    assert world.ask(college, "ping", {}).body == {"time": "2026-10-10T08:00:00Z", "stated": 0}


def test_push_stores_and_receipts_and_is_repeatable(world: World) -> None:
    college = world.add_college()
    good, bad = world.append(college, 1).envelope, world.append(college, 2, refuse=True).envelope
    first = world.push(college, good, bad)
    assert [(r["verdict"], r["code"]) for r in first.body["results"]] == [
        ("accepted", ""),
        ("quarantined", "sample-refused"),
    ]
    receipts = [json.loads(item.payload) for item in first.enclosed]
    assert [(r["record"]["id"], r["verdict"]) for r in receipts] == [
        (read_envelope(good).id, "accepted"),
        (read_envelope(bad).id, "quarantined"),
    ]
    for receipt in receipts:
        check_schema("receipt.v1", receipt)
    hub = Member(world.hub.node_id, world.federation, world.hub.signer.public_key)
    opened = [open_receipt(item, hub) for item in first.enclosed]
    assert [(r.record_id, r.verdict, r.code) for r in opened] == [
        (read_envelope(good).id, "accepted", ""),
        (read_envelope(bad).id, "quarantined", "sample-refused"),
    ]
    for wrong, code in (
        (Member(college.node_id, world.federation, hub.key), "origin-mismatch"),
        (Member(hub.id, world.federation, college.signer.public_key), "key-not-signer"),
    ):
        with pytest.raises(TrustError, match=code):
            open_receipt(first.enclosed[0], wrong)
    again = world.push(college, good, bad)
    assert [item.raw for item in again.enclosed] == [item.raw for item in first.enclosed]
    assert again.body == first.body


def test_push_tells_each_item_apart(world: World) -> None:
    college, other = world.add_college(), world.add_college()
    one, two, three = (world.append(college, n).envelope for n in (1, 2, 3))
    forged = world.forge(other, one)
    answer = world.push(college, forged, one, three)
    assert [(r["verdict"], r["code"], r["have"]) for r in answer.body["results"]] == [
        ("refused", "origin-mismatch", 0),
        ("accepted", "", 0),
        ("waiting", "sequence-gap", 1),
    ]
    assert len(answer.enclosed) == 1
    assert world.push(college, two).body["results"][0]["verdict"] == "accepted"
    assert len(world.push(college, three).enclosed) == 1


def test_pull_serves_stored_bytes_verbatim_to_their_audience(world: World) -> None:
    college, reader = world.add_college(), world.add_college()
    envelopes = [world.append(college, n).envelope for n in (1, 2)]
    hidden = world.append(college, 3, stream="hub").envelope
    world.push(college, *envelopes, hidden)
    to_reader = world.append(world.hub, 4, stream=f"node:{reader.node_id}").envelope
    to_college = world.append(world.hub, 5, stream=f"node:{college.node_id}").envelope
    to_all = world.append(world.hub, 6).envelope
    assert [item.raw for item in world.ask(reader, "pull", {"cursor": 0}).enclosed] == [*envelopes, to_reader, to_all]
    answer = world.ask(college, "pull", {"cursor": 0})
    assert [item.raw for item in answer.enclosed] == [to_college, to_all]
    for item in answer.enclosed:
        assert world.receive(college, item.raw, inbox.PULL).verdict == "accepted"
    assert world.ask(college, "pull", {"cursor": answer.cursor}).enclosed == ()
    with world.hub.database.read() as session:
        read = session.get_one(PeerRead, (world.federation, college.node_id))
        assert (read.pulls, read.cursor) == (2, answer.cursor)


def test_pages_are_bounded_and_complete(world: World) -> None:
    college, reader = world.add_college(), world.add_college()
    for start in (0, 50):
        world.push(college, *(world.append(college, start + n).envelope for n in range(50)))
    cursor, seen, sizes = 0, [], []
    while True:
        answer = world.ask(reader, "pull", {"cursor": cursor, "limit": 40})
        sizes.append(len(answer.enclosed))
        seen += [json.loads(item.payload)["sequence"] for item in answer.enclosed]
        cursor = answer.cursor
        if not answer.more:
            break
    assert sizes == [40, 40, 20]
    assert seen == list(range(1, 101))


def test_a_page_stays_within_its_bytes_and_always_moves_on(world: World) -> None:
    college, reader = world.add_college(), world.add_college()
    world.introduce(reader, college)
    world.push(college, *(world.append(college, n).envelope for n in range(5)))
    with world.hub.database.write() as session:
        for row in session.exec(select(StoredRecord)).all():
            row.envelope = row.envelope[:-1] + b" " * 600_000 + b"}"  # only sizes matter here
    sizes = []
    cursor = 0
    for _ in range(5):
        body = join_page([world.request(reader, "pull", {"cursor": cursor})])
        parts = split_page(world.post("pull", body).content)
        sizes.append(len(parts) - 1)
        cursor = json.loads(read_envelope(parts[0]).payload)["cursor"]
    assert sizes == [1] * 5


def test_the_hub_serves_its_refusal_in_place_of_what_it_quarantined(world: World) -> None:
    college, reader = world.add_college(), world.add_college()
    world.introduce(reader, college)
    envelopes = [world.append(college, n, refuse=n == 5).envelope for n in range(1, 11)]
    world.push(college, *envelopes)
    answer = world.ask(reader, "pull", {"cursor": 0})
    assert [item.raw for item in answer.enclosed if item.raw in envelopes] == envelopes[:4] + envelopes[5:]
    for item in answer.enclosed:
        world.receive(reader, item.raw, inbox.PULL)
    states = world.states(reader)
    assert [state for _, state, _ in states] == ["current"] * 4 + ["placeholder"] + ["current"] * 5
    assert states[4] == (5, "placeholder", "sample-refused")
    # once the hub takes it, readers that have passed it get it, and it takes its own place
    world.seen.allow_all = True
    from node.access.permissions import SYSTEM

    inbox.retry(world.hub, SYSTEM, read_envelope(envelopes[4]).id, world.handlers)
    later = world.ask(reader, "pull", {"cursor": answer.cursor})
    assert [item.raw for item in later.enclosed] == [envelopes[4]]
    assert world.receive(reader, envelopes[4], inbox.PULL).verdict == "accepted"
    assert {state for _, state, _ in world.states(reader)} == {"current"}


def test_only_the_hub_may_stand_in_for_a_record(world: World) -> None:
    college, other = world.add_college(), world.add_college()
    world.introduce(other, college)
    receipt = world.push(college, world.append(college, 1, refuse=True).envelope).enclosed[0]
    payload = {**json.loads(receipt.payload), "issuer": college.node_id}
    from federation.envelope import RECEIPT_TYPE, sign
    from federation.grants import NO_GRANT

    forged = sign(json.dumps(payload).encode(), RECEIPT_TYPE, college.signer)
    assert world.receive(other, forged, inbox.PULL).code == "origin-mismatch"
    not_for_us = sign(json.dumps({**payload, "code": NO_GRANT}).encode(), RECEIPT_TYPE, college.signer)
    assert world.receive(other, not_for_us, inbox.PULL).code == NO_GRANT
    accepted = {**json.loads(receipt.payload), "verdict": "accepted"}
    forged = sign(json.dumps(accepted).encode(), RECEIPT_TYPE, world.hub.signer)
    assert world.receive(other, forged, inbox.PULL).code == "audience-mismatch"


def test_missing_serves_a_range_and_a_nodes_own_records_back(world: World) -> None:
    college, reader = world.add_college(), world.add_college()
    own = [world.append(college, n, stream="hub").envelope for n in range(1, 6)]
    world.push(college, *own)
    wanted = {"origin": college.node_id, "stream": "hub", "first": 2, "last": 4}
    assert [item.raw for item in world.ask(college, "missing", wanted).enclosed] == own[1:4]
    assert world.ask(reader, "missing", wanted).enclosed == ()


def test_a_college_serves_only_what_it_signed_itself(world: World) -> None:
    college, other, third = world.add_college(), world.add_college(), world.add_college()
    world.introduce(other, college)
    world.introduce(other, third)
    assert world.receive(other, world.append(college, 1).envelope, inbox.PULL).verdict == "accepted"
    mine = world.append(other, 2).envelope
    world.app.state.node = other
    body = join_page([world.request(third, "pull", {"cursor": 0}, audience=other.node_id)])
    assert split_page(world.post("pull", body).content)[1:] == [mine]


# -- refusals ------------------------------------------------------------------------------------------------------


def test_a_replayed_request_is_refused(world: World) -> None:
    college = world.add_college()
    body = join_page([world.request(college, "pull", {"cursor": 0})])
    assert world.post("pull", body).status_code == 200
    _refused(world, world.post("pull", body), 409, "request-replayed")
    other = world.add_college()  # the same nonce of another node is another nonce
    assert world.post("pull", join_page([world.request(other, "pull", {"cursor": 0}, nonce="n" * 20)])).is_success
    assert world.post("pull", join_page([world.request(college, "pull", {"cursor": 0}, nonce="n" * 20)])).is_success


def test_a_request_meant_for_another_node_is_refused(world: World) -> None:
    college = world.add_college()
    body = join_page([world.request(college, "pull", {"cursor": 0}, audience=new_identifier("n"))])
    _refused(world, world.post("pull", body), 403, "audience-mismatch")


def test_a_request_to_another_endpoint_is_refused(world: World) -> None:
    college = world.add_college()
    _refused(world, world.post("pull", join_page([world.request(college, "ping", {})])), 403, "op-mismatch")


def test_a_clock_forty_minutes_off_is_told_time_and_skew(world: World) -> None:
    college = world.add_college()
    body = join_page([world.request(college, "ping", {}, at=world.clock())])
    world.clock.forward(minutes=40)
    problem = _refused(world, world.post("ping", body), 403, "clock-skew")
    assert (problem["server_time"], problem["skew_seconds"]) == ("2026-10-10T08:40:00Z", -2400)
    with world.hub.database.read() as session:
        assert session.exec(select(UsedNonce)).all() == []


def test_strangers_and_suspended_members_are_refused(world: World) -> None:
    college = world.add_college(known_to_hub=False)
    body = join_page([world.request(college, "pull", {"cursor": 0})])
    _refused(world, world.post("pull", body), 403, "key-unknown")
    world.introduce(world.hub, college, status="suspended")
    _refused(world, world.post("pull", body), 403, "member-suspended")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "page-shape"),
        (b"<html></html>", 400, "page-shape"),
        (b'[{"a":1}]', 400, "envelope-shape"),
        (b"[{" + b"[" * 10_000 + b"}]", 400, "envelope-shape"),
        (b"x" * 2_200_000, 413, "body-too-large"),
        (b'[{"' + b"x" * 70_000 + b'"}]', 413, "envelope-too-large"),
    ],
)
def test_bodies_that_are_no_page(world: World, body: bytes, status: int, code: str) -> None:
    world.add_college()
    _refused(world, world.post("pull", body), status, code)


def test_a_body_of_the_wrong_shape_is_refused(world: World) -> None:
    college = world.add_college()
    for op, body in (
        ("pull", {"cursor": -1}),
        ("pull", {}),
        ("pull", {"cursor": 0, "limit": 51}),
        ("missing", {"origin": "x"}),
        ("push", {"records": []}),
    ):
        _refused(world, world.post(op, join_page([world.request(college, op, body)])), 403, "schema-invalid")
    lonely = join_page([world.request(college, "push", {"records": ["0" * 64]})])
    _refused(world, world.post("push", lonely), 403, "enclosed-mismatch")


def test_gzip_is_taken_and_a_bomb_is_not(world: World) -> None:
    college = world.add_college()
    good = gzip.compress(join_page([world.request(college, "ping", {})]))
    assert world.post("ping", good, **{"content-encoding": "gzip"}).status_code == 200
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * 10_000_000) for _ in range(20)) + packer.flush()
    assert len(bomb) < 300_000
    tracemalloc.start()
    _refused(world, world.post("ping", bomb, **{"content-encoding": "gzip"}), 413, "body-too-large")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    _refused(world, world.post("ping", good[:-9], **{"content-encoding": "gzip"}), 422, "encoding-broken")
    _refused(world, world.post("ping", b"xx", **{"content-encoding": "gzip"}), 422, "encoding-broken")
    _refused(world, world.post("ping", good, **{"content-encoding": "br"}), 415, "encoding-unsupported")


def test_a_fault_inside_is_a_problem_without_details(world: World, caplog: pytest.LogCaptureFixture) -> None:
    college = world.add_college()

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    world.handlers["sample"] = broken
    envelope = world.append(college).envelope
    body = join_page([world.request(college, "push", {"records": [read_envelope(envelope).id]}), envelope])
    problem = _refused(world, world.post("push", body), 500, "internal")
    assert "secret" not in json.dumps(problem)
    assert world.states(world.hub) == []

    def full(*_: object) -> None:
        raise StorageError("disk-full", "磁盘已满。", "The disk is full.")

    world.handlers["sample"] = full
    body = join_page([world.request(college, "push", {"records": [read_envelope(envelope).id]}), envelope])
    _refused(world, world.post("push", body), 503, "disk-full")
    world.handlers["sample"] = world.seen.take
    assert world.push(college, envelope).body["results"][0]["verdict"] == "accepted"


def test_a_commit_that_fails_is_never_answered_as_done(world: World) -> None:
    college = world.add_college()
    envelope = world.append(college).envelope
    stored = {"there": False}

    def fail_late(session: Session, record: StoredRecord, content: dict[str, Any]) -> None:
        world.seen.take(session, record, content)
        stored["there"] = True

        def fail(_: Session) -> None:
            raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

        event.listen(session, "before_commit", fail, once=True)

    world.handlers["sample"] = fail_late
    body = join_page([world.request(college, "push", {"records": [read_envelope(envelope).id]}), envelope])
    _refused(world, world.post("push", body), 503, "disk-full")
    assert stored["there"]
    assert world.states(world.hub) == []
    with world.hub.database.read() as session:
        assert session.exec(select(Receipt)).all() == []
    world.handlers["sample"] = world.seen.take
    assert world.push(college, envelope).body["results"][0]["verdict"] == "accepted"


def test_a_node_in_no_federation_says_so(world: World) -> None:
    college = world.add_college()
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(router)
    app.state.node, app.state.handlers = world.make("独立"), {}
    world.app = app
    _refused(world, world.post("ping", join_page([world.request(college, "ping", {})])), 409, "federation-missing")
    assert stranger()


def test_over_a_real_socket(world: World) -> None:
    college = world.add_college()
    server = uvicorn.Server(uvicorn.Config(world.app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        envelope = world.append(college).envelope
        body = join_page([world.request(college, "push", {"records": [read_envelope(envelope).id]}), envelope])
        response = httpx.post(f"http://127.0.0.1:{port}/exchange/v1/push", content=body, trust_env=False)
        assert response.status_code == 200
        assert len(split_page(response.content)) == 2
    finally:
        server.should_exit = True
        thread.join(timeout=10)
    assert world.states(world.hub) == [(1, "current", "")]
