"""Records for the hub, one node or a group are read by these alone, block nobody, and say one thing to all."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from federation.acceptance import Verdict
from federation.documents import sha256_hex
from federation.envelope import SEALED_TYPE, read_envelope, sign
from federation.errors import Conflict, NotPermitted, TrustError
from federation.keys import new_sealing_pem, public_pem, read_sealing_key
from federation.sealing import GROUP_KEY, key_id
from node.access.permissions import OFFICER, SYSTEM, Actor
from node.cli import make_app
from node.context import Node
from node.exchange import inbox
from node.exchange.records import export_opened, export_record, seal_again
from node.stream.models import Receipt, StoredRecord
from node.stream.service import read_content

from .club import GROUP, Club
from .conftest import World

ANN = Actor("a1", "ann", OFFICER)


@pytest.fixture
def club(world: World) -> Club:
    return Club(world)


def _held(node: Node, record_id: str) -> StoredRecord:
    with node.database.read() as session:
        return session.get_one(StoredRecord, record_id)


def _states(node: Node) -> list[tuple[str, str]]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).order_by(StoredRecord.position)).all()  # type: ignore[arg-type]
    return [(row.state, row.code) for row in rows]


def test_a_record_for_the_hub_shows_its_place_alone(club: Club) -> None:
    college = club.add()
    record = club.world.append(college, 4711, stream="hub", subject="secret-subject")
    envelope = read_envelope(record.envelope)
    assert envelope.payload_type == SEALED_TYPE
    for word in (b"4711", b"secret-subject", b"sample"):
        assert word not in envelope.payload
    assert set(json.loads(envelope.payload)) == {
        "version", "origin", "audience", "stream", "sequence", "previous", "issued_at", "list", "epoch", "commitment",
        "wraps", "ciphertext",
    }  # fmt: skip
    assert read_content(record) == {"n": 4711}  # our own we read without opening
    assert club.world.receive(club.world.hub, record.envelope).verdict is Verdict.ACCEPTED
    assert club.world.seen.taken == {record.id: 4711}
    held = _held(club.world.hub, record.id)
    assert (held.kind, held.subject, held.revision, read_content(held)) == ("sample", "secret-subject", 1, {"n": 4711})


def test_the_hub_carries_what_it_cannot_read(club: Club) -> None:
    one, two, other = club.add("women"), club.add("women"), club.add()
    record = club.world.append(one, 4711, stream=GROUP, subject="secret-subject")
    outcome = club.world.receive(club.world.hub, record.envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.SEALED, "sealed-to-others")
    held = _held(club.world.hub, record.id)
    assert (held.state, held.code, held.kind, held.subject, held.opened) == ("sealed", "carried", "", "", b"")
    with club.world.hub.database.read() as session:  # delivered, as far as the hub is concerned
        assert session.get_one(Receipt, record.id).verdict == "accepted"
    assert club.world.receive(two, record.envelope).verdict is Verdict.ACCEPTED
    assert read_content(_held(two, record.id)) == {"n": 4711}
    refused = club.world.receive(other, record.envelope)
    assert (refused.verdict, refused.code) == (Verdict.REFUSED, "audience-mismatch")


def test_in_clear_where_a_reader_has_no_listed_key(club: Club) -> None:
    one, two = club.add("women"), club.add("women")
    club.world.introduce(one, two, groups="women")
    assert read_envelope(club.world.append(one, stream=GROUP).envelope).payload_type != SEALED_TYPE
    assert club.world.receive(club.world.hub, club.world.append(one, 2, stream=GROUP).envelope).code in {
        "audience-mismatch",  # nothing in clear lies with whom it is not for
        "sequence-gap",
    }


def test_a_key_that_seals_to_everybody_is_left_out(club: Club) -> None:
    one, two, three = club.add("women"), club.add("women"), club.add("women")
    club.world.introduce(one, three, groups="women", sealing="A" * 43 + "=")  # the point of order one
    record = club.world.append(one, stream=GROUP)
    wraps = {wrap["key"] for wrap in json.loads(read_envelope(record.envelope).payload)["wraps"]}
    assert wraps == {key_id(one.sealing_key), key_id(two.sealing_key)}


def test_a_newcomer_cannot_open_what_came_before_and_is_not_held_up(club: Club) -> None:
    one = club.add("women")
    club.add("women")
    before = [club.world.append(one, n, stream=GROUP, subject="same").envelope for n in (1, 2)]
    late = club.add("women")
    after = [club.world.append(one, n, stream=GROUP, subject="same").envelope for n in (3, 4)]
    outcomes = [club.world.receive(late, envelope) for envelope in (*before, *after)]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.SEALED] * 2 + [Verdict.ACCEPTED] * 2
    assert _states(late) == [("sealed", "sealed-to-others")] * 2 + [("current", "")] * 2
    assert [outcome.record.revision for outcome in outcomes[2:] if outcome.record] == [3, 4]


def test_a_removed_member_reads_nothing_sealed_after_the_sender_refreshed_its_list(club: Club) -> None:
    one, two, out = club.add("women"), club.add("women"), club.add("women")
    first = club.world.append(one, 1, stream=GROUP)
    club.left.add(out.node_id)
    second = club.world.append(one, 2, stream=GROUP)  # the sender does not know yet
    club.refresh()
    third = club.world.append(one, 3, stream=GROUP)
    for node, count in ((two, 3), (out, 2)):
        club.world.introduce(node, one, groups="women", sealing=one.sealing_key)
        verdicts = [club.world.receive(node, record.envelope).verdict for record in (first, second, third)]
        assert verdicts.count(Verdict.ACCEPTED) == count
    assert _held(out, third.id).opened == b""


def test_more_than_32_readers_share_a_key_that_each_change_renews(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.stream.service.MAX_MEMBER_WRAPS", 2)
    one, two = club.add("women"), club.add("women")
    club.add("women")
    records = [club.world.append(one, n, stream=GROUP) for n in (1, 2)]
    late = club.add("women")
    records.append(club.world.append(one, 3, stream=GROUP))
    with one.database.read() as session:
        chain = session.exec(select(StoredRecord).order_by(StoredRecord.sequence)).all()  # type: ignore[arg-type]
    assert [row.kind for row in chain] == [GROUP_KEY, "sample", "sample", GROUP_KEY, "sample"]
    payloads = [json.loads(read_envelope(row.envelope).payload) for row in chain]
    assert [(said["epoch"], len(said["wraps"])) for said in payloads] == [(1, 3), (1, 1), (1, 1), (2, 4), (2, 1)]
    for node, read in ((two, [True] * 5), (late, [False] * 3 + [True] * 2)):
        verdicts = [club.world.receive(node, row.envelope).verdict for row in chain]
        assert [verdict is Verdict.ACCEPTED for verdict in verdicts] == read
    keys = [row.opened for row in chain if row.kind == GROUP_KEY]
    with two.database.read() as session:
        keys += [row.opened for row in session.exec(select(StoredRecord)).all() if row.kind == GROUP_KEY]
    assert set(keys) == {b""}, "no key lies in a database but sealed"


def test_a_rotated_key_still_opens_and_a_lost_one_is_told(club: Club) -> None:
    one, two = club.add(), club.add()
    stream = f"node:{two.node_id}"
    records = [club.world.append(one, n, stream=stream) for n in (1, 2)]
    fresh = read_sealing_key(new_sealing_pem())
    rotated = replace(two, sealing_keys=(fresh, *two.sealing_keys))
    lost = replace(two, sealing_keys=(fresh,))
    assert club.world.receive(rotated, records[0].envelope).verdict is Verdict.ACCEPTED
    outcome = club.world.receive(lost, records[1].envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.SEALED, "sealed-to-others")
    with two.database.read() as session:  # the sender learns it from the receipt: a code, no content
        receipt = session.get_one(Receipt, records[1].id)
    assert (receipt.verdict, receipt.code) == ("quarantined", "sealed-to-others")
    assert read_content(_held(two, records[0].id)) == {"n": 1}  # what was read once needs no key


def test_a_header_that_was_changed_opens_nothing(club: Club) -> None:
    one, two = club.add(), club.add()
    stream = f"node:{two.node_id}"
    payload = json.loads(read_envelope(club.world.append(one, stream=stream).envelope).payload)
    forged = sign(json.dumps(payload | {"issued_at": "2026-10-10T08:00:01Z"}).encode(), SEALED_TYPE, one.signer)
    outcome = club.world.receive(two, forged)
    assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, "sealed-broken")


def test_what_is_retried_is_opened_again(club: Club) -> None:
    one, two = club.add(), club.add()
    record = club.world.append(one, stream=f"node:{two.node_id}")
    lost = replace(two, sealing_keys=())
    assert club.world.receive(lost, record.envelope).verdict is Verdict.SEALED
    assert inbox.retry(two, SYSTEM, record.id, club.world.handlers).verdict is Verdict.ACCEPTED
    assert _held(two, record.id).state == "current"


def test_plaintext_and_record_prove_the_content_to_a_third_person(club: Club, tmp_path: Path) -> None:
    one, two = club.add(), club.add()
    record = club.world.append(one, 4711, stream=f"node:{two.node_id}", subject="told")
    club.world.receive(two, record.envelope)
    (tmp_path / "r.json").write_bytes(export_record(two, ANN, record.id))
    (tmp_path / "plain.json").write_bytes(export_opened(two, ANN, record.id))
    (tmp_path / "key.pem").write_text(public_pem(one.signer.public_key))
    (tmp_path / "other.json").write_bytes(export_opened(two, ANN, record.id).replace(b"4711", b"4712"))

    def verify(*words: str) -> Any:
        paths = [str(tmp_path / word) if word.endswith((".json", ".pem")) else word for word in words]
        nowhere = ["--config", str(tmp_path / "none.toml")]
        return CliRunner().invoke(
            make_app(), [*nowhere, "verify", *paths, "--key", str(tmp_path / "key.pem"), "--json"]
        )

    told = json.loads(verify("r.json").stdout)
    assert (told["type"], told["content_schema"], told["statement"]["stream"]) == (
        "sealed",
        "sealed",
        f"node:{two.node_id}",
    )
    assert "told" not in json.dumps(told["statement"])
    shown = json.loads(verify("r.json", "--opened", "plain.json").stdout)
    assert (shown["content_schema"], shown["statement"]["subject"]) == ("valid", "told")
    assert shown["content_sha256"] == sha256_hex(b'{"n": 4711}')
    refused = verify("r.json", "--opened", "other.json").exception
    assert isinstance(refused, TrustError)
    assert refused.code == "commitment-mismatch"


def test_for_a_reader_that_lost_its_key_the_sender_seals_again(club: Club) -> None:
    one, two = club.add(), club.add()
    record = club.world.append(one, 4711, stream=f"node:{two.node_id}")
    lost = replace(two, sealing_keys=(read_sealing_key(new_sealing_pem()),))
    assert club.world.receive(lost, record.envelope).verdict is Verdict.SEALED
    club.world.introduce(one, two, sealing=lost.sealing_key)  # as the next list names it
    with pytest.raises(NotPermitted):
        seal_again(one, ANN, record.id, {})
    again = seal_again(one, SYSTEM, record.id, club.world.handlers)
    assert (again.revision, again.subject, read_content(again)) == (2, record.subject, {"n": 4711})
    assert club.world.receive(lost, again.envelope).verdict is Verdict.ACCEPTED
    assert club.world.seen.taken[again.id] == 4711
    with pytest.raises(Conflict, match="revision-taken"):
        seal_again(one, SYSTEM, record.id, club.world.handlers)
    with pytest.raises(Conflict, match="record-not-sealed"):
        seal_again(one, SYSTEM, club.world.append(one, 1).id, club.world.handlers)


def test_what_nobody_may_read_now_is_not_said_in_clear(club: Club) -> None:
    one, two = club.add("women"), club.add("women")
    club.left.add(two.node_id)
    club.refresh()
    for stream in (f"node:{two.node_id}", GROUP):
        record = club.world.append(one, 4711, stream=stream, subject="secret-subject")
        assert read_envelope(record.envelope).payload_type == SEALED_TYPE
        assert b"secret-subject" not in read_envelope(record.envelope).payload


def test_a_reader_without_a_key_does_not_open_a_group_to_all(club: Club) -> None:
    one, two, keyless = club.add("women"), club.add("women"), club.add("women")
    club.world.introduce(one, keyless, "active", "women", "")
    record = club.world.append(one, 4711, stream=GROUP, subject="secret-subject")
    assert read_envelope(record.envelope).payload_type == SEALED_TYPE
    assert club.world.receive(two, record.envelope).verdict is Verdict.ACCEPTED
    assert club.world.receive(keyless, record.envelope).verdict is Verdict.SEALED
