"""Position and content are believed separately; a crash, a repetition or a poisoned record loses and blocks nothing."""

import json
from typing import Any

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.envelope import RECORD_TYPE, read_envelope, sign, signed_by, with_signatures
from federation.errors import Conflict, InputRefused
from federation.keys import public_pem
from node.access.permissions import SYSTEM
from node.db import last_number
from node.exchange import inbox, refused, waiting
from node.stream.models import (
    Equivocation,
    OutboxItem,
    PeerKey,
    Receipt,
    RefusedDocument,
    StoredRecord,
    WaitingDocument,
)
from node.stream.service import append_record

from .conftest import World, stranger


def _count(world: World, table: Any) -> int:
    with world.hub.database.read() as session:
        return len(session.exec(select(table)).all())


def _refused(world: World, envelope: bytes, code: str) -> None:
    """The document leaves digest, reason and count, and nothing else changes."""
    before = world.states(world.hub)
    with world.hub.database.read() as session:
        log = last_number(session, "log")
    outcome = world.receive(world.hub, envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.REFUSED, code)
    assert world.states(world.hub) == before
    with world.hub.database.read() as session:
        assert last_number(session, "log") == log
        assert session.exec(select(RefusedDocument.code)).all()[-1] == code


def test_records_take_their_places(world: World) -> None:
    college = world.add_college()
    for n in (1, 2, 3):
        outcome = world.receive(world.hub, world.append(college, n).envelope)
        assert (outcome.verdict, outcome.code) == (Verdict.ACCEPTED, "")
    assert world.states(world.hub) == [(1, "current", ""), (2, "current", ""), (3, "current", "")]
    assert sorted(world.seen.taken.values()) == [1, 2, 3]
    with college.database.read() as session:
        assert [item.state for item in session.exec(select(OutboxItem)).all()] == ["waiting"] * 3


def test_junk_beyond_the_room_for_digests_is_counted_in_one_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MAX_REFUSED", 2)
    for junk in (b"a", b"b", b"b", b"c", b"d", b"a"):
        assert world.receive(world.hub, junk).code == "envelope-shape"
    with world.hub.database.read() as session:
        rows = session.exec(select(RefusedDocument.digest, RefusedDocument.count)).all()
    assert sorted(count for _, count in rows) == [2, 2, 2]
    assert dict(rows)[refused.MORE] == 2


def test_the_content_bytes_stand_in_the_record_as_approved(world: World) -> None:
    college = world.add_college()
    content = b'{"n" : 1}'
    with college.database.write() as session:
        stored = append_record(
            session,
            college,
            federation=world.federation,
            stream="hub",
            kind="sample",
            subject="x",
            revision=1,
            supersedes="",
            schema="sample.v1",
            content=content,
        )
    assert read_envelope(stored.envelope).payload.endswith(b'"content":' + content + b"}")
    assert world.receive(world.hub, stored.envelope).verdict is Verdict.ACCEPTED


def test_we_do_not_sign_what_we_would_refuse(world: World) -> None:
    college = world.add_college()
    for bad, code in ((b'{"n":1,"n":2}', "json-duplicate-key"), (b'{"n":-1}', "schema-invalid"), (b"[]", None)):
        with pytest.raises(InputRefused) as caught, college.database.write() as session:
            append_record(
                session,
                college,
                federation=world.federation,
                stream="all",
                kind="sample",
                subject="x",
                revision=1,
                supersedes="",
                schema="sample.v1",
                content=bad,
            )
        assert code in {caught.value.code, None}
    with college.database.read() as session:
        assert last_number(session, "log") == 0
    world.append(college, 1, subject="x")
    with pytest.raises(Conflict, match="revision-taken"), college.database.write() as session:
        append_record(
            session,
            college,
            federation=world.federation,
            stream="all",
            kind="sample",
            subject="x",
            revision=3,
            supersedes="",
            schema="sample.v1",
            content=b'{"n":1}',
        )


def test_the_same_record_twice_changes_nothing_and_gets_the_same_receipt(world: World) -> None:
    college = world.add_college()
    envelope = world.append(college).envelope
    world.receive(world.hub, envelope)
    with world.hub.database.read() as session:
        first = session.exec(select(Receipt)).one().envelope
    world.clock.forward(days=1)
    assert world.receive(world.hub, envelope).verdict is Verdict.DUPLICATE
    with world.hub.database.read() as session:
        assert session.exec(select(Receipt)).one().envelope == first
    assert world.states(world.hub) == [(1, "current", "")]


# -- outer steps ---------------------------------------------------------------------------------------------------


def test_one_byte_changed_at_the_origin_is_refused(world: World) -> None:
    college = world.add_college()
    envelope = bytearray(world.append(college, 120).envelope)
    payload = json.loads(envelope)["payload"]
    place = len('{"payload":"') + len(payload) // 2
    envelope[place] = ord("A") if envelope[place] != ord("A") else ord("B")
    _refused(world, bytes(envelope), "signature-invalid")
    assert world.seen.taken == {}


def test_a_record_in_another_nodes_name_is_refused(world: World) -> None:
    college, other = world.add_college(), world.add_college()
    base = world.append(college).envelope
    _refused(world, world.forge(other, base), "origin-mismatch")


def test_a_record_by_a_wrong_key_waits_unread_for_a_key(world: World) -> None:
    college = world.add_college()
    base = world.append(college).envelope
    forged = sign(read_envelope(base).payload, RECORD_TYPE, stranger())
    assert world.receive(world.hub, forged).code == "key-unknown"
    claimed = forged.replace(
        read_envelope(forged).keyids[0].encode(), college.signer.public_key.keyid.encode()
    )  # claims the key of the college
    _refused(world, claimed, "signature-invalid")
    assert world.states(world.hub) == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"version":1,"version":1}', "json-duplicate-key"),
        (b'{"version":NaN}', "json-constant"),
        (b'{"version":9007199254740993}', "json-number-too-large"),
        (b"[" * 10_000 + b"]" * 10_000, "json-too-deep"),
        (b'{"version":2}', "version-unknown"),
        (b'{"version":1}', "schema-invalid"),
        (b'{"version":1,"content":{}}', "schema-invalid"),
        (b"<html>", "json-syntax"),
    ],
)
def test_a_payload_that_cannot_be_read_one_way_is_refused(world: World, payload: bytes, code: str) -> None:
    college = world.add_college()
    _refused(world, sign(payload, RECORD_TYPE, college.signer), code)


def test_unknown_and_foreign_types_are_refused(world: World) -> None:
    college = world.add_college()
    payload = read_envelope(world.append(college).envelope).payload
    _refused(world, sign(payload, RECORD_TYPE.replace("v1", "v2"), college.signer), "type-unknown")
    _refused(world, world.request(college, "ping", {}), "type-mismatch")
    _refused(world, b"<html>" * 10, "envelope-shape")
    _refused(world, b"x" * 1_000_001, "envelope-too-large")


def test_a_record_for_somebody_else_is_refused(world: World) -> None:
    college, other = world.add_college(), world.add_college()
    base = world.append(college).envelope
    for_other = {
        "audience": {"federation": world.federation, "readers": f"node:{other.node_id}"},
        "stream": f"node:{other.node_id}",
    }
    _refused(world, world.forge(college, base, **for_other), "audience-mismatch")
    elsewhere = {"audience": {"federation": "f-" + "a" * 26, "readers": "all"}}
    _refused(world, world.forge(college, base, **elsewhere), "audience-mismatch")
    _refused(world, world.forge(college, base, stream="hub"), "stream-audience")
    world.introduce(other, college)
    to_hub = world.append(college, 1, stream="hub").envelope
    assert world.receive(other, to_hub).code == "audience-mismatch"
    assert world.receive(world.hub, to_hub).verdict is Verdict.ACCEPTED


def test_a_suspended_member_is_refused(world: World) -> None:
    college = world.add_college()
    world.introduce(world.hub, college, status="suspended")
    _refused(world, world.append(college).envelope, "member-suspended")


def test_a_gap_waits_and_is_asked_for(world: World) -> None:
    college = world.add_college()
    one, two, three, four = (world.append(college, n).envelope for n in (1, 2, 3, 4))
    world.receive(world.hub, one)
    for early in (four, three):
        outcome = world.receive(world.hub, early)
        assert (outcome.verdict, outcome.code, outcome.have) == (Verdict.WAITING, "sequence-gap", 1)
    with world.hub.database.read() as session:
        assert waiting.find_gaps(session, world.federation) == [waiting.Gap(college.node_id, "all", 2, 2)]
    world.receive(world.hub, two)
    assert [state for _, state, _ in world.states(world.hub)] == ["current"] * 4
    assert _count(world, WaitingDocument) == 0
    assert _count(world, Receipt) == 4


def test_junk_of_unknown_keys_fills_nobody_elses_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_UNKNOWN", 3)
    liar, honest = world.add_college(), world.add_college()
    base = read_envelope(world.append(liar, 1).envelope)
    junk = [sign(b"%d" % n, base.payload_type, stranger()) for n in range(5)]
    codes = [result["code"] for result in world.push(liar, *junk).body["results"]]
    assert codes == ["key-unknown"] * 3 + ["waiting-room-full"] * 2
    [result] = world.push(honest, sign(b"9", base.payload_type, stranger())).body["results"]
    assert result["code"] == "key-unknown", "who brings nothing of the kind has room"
    records = [world.append(honest, n).envelope for n in (1, 2)]
    assert world.push(honest, records[1]).body["results"][0]["code"] == "sequence-gap"
    world.push(honest, records[0])
    assert [state for _, state, _ in world.states(world.hub)] == ["current"] * 2
    world.clock.forward(days=46)
    world.push(liar, sign(b"10", base.payload_type, stranger()))
    assert _count(world, WaitingDocument) == 1, "what no list names any more is gone"


def test_where_an_origins_room_is_full_the_gap_is_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_OF_ORIGIN", 2)
    college = world.add_college()
    records = [world.append(college, n).envelope for n in range(1, 6)]
    codes = [world.receive(world.hub, envelope).code for envelope in records[1:]]
    assert codes == ["sequence-gap"] * 2 + ["waiting-room-full"] * 2

    def gaps() -> list[waiting.Gap]:
        with world.hub.database.read() as session:
            return waiting.find_gaps(session, world.federation)

    assert gaps() == [waiting.Gap(college.node_id, "all", 1, 1)]
    world.receive(world.hub, records[0])
    assert gaps() == [waiting.Gap(college.node_id, "all", 4, 5)], "what had no room is asked for"
    for envelope in records[3:]:
        world.receive(world.hub, envelope)
    assert gaps() == []


def test_signatures_under_one_record_are_joined_and_move_it_once(world: World) -> None:
    member, bearer = world.add_college(), world.add_college()
    record = read_envelope(world.append(member, 1).envelope)
    second = stranger()
    key = second.public_key
    with world.hub.database.write() as session:
        for listed in (member.signer.public_key, key):
            row = PeerKey(federation=world.federation, keyid=listed.keyid, peer_id=member.node_id, public_key="")
            row.public_key = public_pem(listed)
            session.merge(row)
    junk = with_signatures(record, [*record.signatures, (key.keyid, b"junk" * 16), ("00" * 32, b"junk" * 16)])
    other = sign(record.payload, record.payload_type, second)
    positions = []
    for envelope in (junk, other, record.raw, other, record.raw, junk):
        world.push(bearer, envelope)
        with world.hub.database.read() as session:
            stored = session.get_one(StoredRecord, record.id)
            positions.append(stored.position)
    assert len(set(positions)) == 2, "once, for the signature that was new"
    held = read_envelope(stored.envelope)
    assert set(held.keyids) == {member.signer.public_key.keyid, key.keyid}
    assert all(signed_by(held, listed) for listed in (member.signer.public_key, key))


def test_the_largest_numbers_a_record_may_say_are_storable(world: World) -> None:
    college = world.add_college()
    base = world.append(college).envelope
    far = world.forge(college, base, sequence=2**53)
    assert world.receive(world.hub, far).code == "sequence-gap"
    with world.hub.database.read() as session:
        assert waiting.find_gaps(session, world.federation) == [waiting.Gap(college.node_id, "all", 1, 2**53 - 1)]
    assert world.ask(college, "pull", {"cursor": 2**53}).enclosed == ()


def test_an_unknown_key_waits_until_the_member_list_names_it(world: World) -> None:
    college = world.add_college(known_to_hub=False)
    outcome = world.receive(world.hub, world.append(college).envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.WAITING, "key-unknown")
    world.introduce(world.hub, college)
    with world.hub.database.write() as session:
        assert inbox.take_waiting(session, world.hub, world.handlers) == 1
    assert world.states(world.hub) == [(1, "current", "")]


def test_a_record_that_follows_another_chain_is_refused(world: World) -> None:
    college = world.add_college()
    world.receive(world.hub, world.append(college, 1).envelope)
    second = world.append(college, 2).envelope
    outcome = world.receive(world.hub, world.forge(college, second, previous="0" * 64))
    assert (outcome.verdict, outcome.code) == (Verdict.REFUSED, "previous-mismatch")
    assert world.states(world.hub) == [(1, "equivocal", "equivocation")], "its origin names another one at that place"


# -- inner steps ---------------------------------------------------------------------------------------------------


def test_a_poisoned_record_at_five_of_ten_blocks_nothing(world: World) -> None:
    college = world.add_college()
    envelopes = [world.append(college, n, refuse=n == 5).envelope for n in range(1, 11)]
    outcomes = [world.receive(world.hub, envelope) for envelope in envelopes]
    assert [outcome.verdict for outcome in outcomes].count(Verdict.ACCEPTED) == 9
    assert (outcomes[4].verdict, outcomes[4].code) == (Verdict.QUARANTINED, "sample-refused")
    assert world.states(world.hub)[4] == (5, "quarantined", "sample-refused")
    assert 5 not in world.seen.taken.values()
    with world.hub.database.read() as session:  # what the handler wrote before it refused is gone
        from node.stream.models import Peer

        assert session.get(Peer, ("scratch", outcomes[4].record_id)) is None


def test_quarantine_is_retried_by_hand(world: World) -> None:
    college = world.add_college()
    record_id = world.receive(world.hub, world.append(college, 1, refuse=True).envelope).record_id
    world.receive(world.hub, world.append(college, 2).envelope)
    assert inbox.retry(world.hub, SYSTEM, record_id, world.handlers).verdict is Verdict.QUARANTINED
    world.seen.allow_all = True
    assert inbox.retry(world.hub, SYSTEM, record_id, world.handlers).verdict is Verdict.ACCEPTED
    assert world.states(world.hub) == [(2, "current", ""), (1, "current", "")]
    with world.hub.database.read() as session:
        assert session.get_one(Receipt, record_id).verdict == "accepted"
    with pytest.raises(Conflict, match="record-not-quarantined"):
        inbox.retry(world.hub, SYSTEM, record_id, world.handlers)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"content": {"n": -1}}, "schema-invalid"),
        ({"content": {"n": 1, "x": 1}}, "schema-invalid"),
        ({"schema": {"id": "sample", "version": 9, "sha256": "0" * 64}}, "schema-unknown"),
        ({"schema": {"id": "sample", "version": 1, "sha256": "0" * 64}}, "schema-digest"),
        ({"kind": "notice"}, "schema-kind"),
        ({"revision": 3}, "revision-skips"),
        ({"revision": 2**53}, "revision-skips"),
        ({"supersedes": "0" * 64}, "supersedes-mismatch"),
    ],
)
def test_content_faults_keep_their_place_in_quarantine(world: World, changes: dict[str, Any], code: str) -> None:
    college = world.add_college()
    base = world.append(college).envelope
    outcome = world.receive(world.hub, world.forge(college, base, **changes))
    assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, code)
    assert world.states(world.hub) == [(1, "quarantined", code)]
    assert world.seen.taken == {}


def test_a_kind_nobody_handles_is_kept_for_later(world: World) -> None:
    college = world.add_college()
    del world.handlers["sample"]
    record_id = world.receive(world.hub, world.append(college).envelope).record_id
    assert world.states(world.hub) == [(1, "quarantined", "kind-unknown")]
    world.handlers["sample"] = world.seen.take
    assert inbox.retry(world.hub, SYSTEM, record_id, world.handlers).verdict is Verdict.ACCEPTED


def test_only_the_hub_speaks_for_the_hub(world: World) -> None:
    college = world.add_college()
    content = json.dumps({"members": []}).encode()
    values: dict[str, Any] = {
        "federation": world.federation,
        "stream": "all",
        "kind": "member-list",
        "subject": "members",
        "revision": 1,
        "supersedes": "",
        "schema": "member-list.v1",
        "content": content,
    }
    with college.database.write() as session:
        forged = append_record(session, college, **values).envelope
    assert world.receive(world.hub, forged).code == "grant-missing"


def test_a_revision_that_skips_one_is_mended_by_the_next(world: World) -> None:
    college = world.add_college()
    first = world.append(college, 1, subject="s").envelope
    world.receive(world.hub, first)
    skipping = world.forge(
        college, first, sequence=2, previous=read_envelope(first).id, revision=3, supersedes=read_envelope(first).id
    )
    assert world.receive(world.hub, skipping).code == "revision-skips"
    sound = world.forge(
        college, first, sequence=3, previous=read_envelope(skipping).id, revision=2, supersedes=read_envelope(first).id
    )
    assert world.receive(world.hub, sound).verdict is Verdict.ACCEPTED


# -- equivocation --------------------------------------------------------------------------------------------------


def test_two_records_in_one_place_are_both_kept_and_neither_shown(world: World) -> None:
    college = world.add_college()
    first = world.append(college, 1).envelope
    world.receive(world.hub, first)
    other = world.forge(college, first, content={"n": 7})
    assert world.receive(world.hub, other).code == "equivocation"
    assert world.states(world.hub) == [(1, "equivocal", "equivocation")]
    assert world.seen.taken == {}
    with world.hub.database.read() as session:
        proof = session.exec(select(Equivocation)).one()
        assert (proof.envelope, proof.first_id) == (other, read_envelope(first).id)
        assert session.exec(select(StoredRecord)).one().envelope == first
    world.receive(world.hub, world.append(college, 2).envelope)
    assert list(world.seen.taken.values()) == [2]


def test_two_records_of_one_revision_are_both_kept_and_neither_shown(world: World) -> None:
    college = world.add_college()
    first = world.append(college, 1, subject="s").envelope
    world.receive(world.hub, first)
    other = world.forge(college, first, sequence=2, previous=read_envelope(first).id, content={"n": 7})
    assert world.receive(world.hub, other).code == "equivocation"
    assert world.states(world.hub) == [(1, "equivocal", "equivocation"), (2, "quarantined", "equivocation")]
    assert world.seen.taken == {}
    assert _count(world, Equivocation) == 1


def test_one_subject_to_two_audiences_may_differ(world: World) -> None:
    college = world.add_college()
    world.receive(world.hub, world.append(college, 1, subject="s").envelope)
    assert world.receive(world.hub, world.append(college, 2, subject="s", stream="hub").envelope).verdict == "accepted"
