"""Sticks: lost, doubled, disordered, cut off; and the way over the hub between two colleges."""

import hashlib
import io
import json
from pathlib import Path

import pytest
from sqlmodel import col, select

from federation.envelope import RECORD_TYPE, join_page, read_envelope, sign, split_page
from federation.errors import InputRefused, NotPermitted, TrustError
from federation.spoken import spoken
from node.access.permissions import SYSTEM, Actor
from node.context import Node
from node.exchange import mailbox, parcels
from node.exchange.bundles import export_bundle, import_bundle, show_bundle, summary_of, titles_of, write_parts
from node.exchange.models import MailboxParcel
from node.stream.models import OutboxItem, StoredRecord
from node.stream.outbox import retry_items
from tests.exchange.conftest import World, stranger
from tests.sync.conftest import Net

from .conftest import carry


def _items(node: Node) -> list[tuple[str, str]]:
    with node.database.read() as session:
        rows = session.exec(select(OutboxItem).order_by(col(OutboxItem.id))).all()
    return [(row.state, row.verdict) for row in rows]


def _held(node: Node, origin: Node) -> list[int]:
    with node.database.read() as session:
        statement = select(StoredRecord.sequence).where(StoredRecord.origin == origin.node_id)
        return list(session.exec(statement.order_by(col(StoredRecord.sequence))).all())


@pytest.fixture
def pair(net: Net) -> tuple[Node, Node]:
    return net.college(), net.college()


def test_a_stick_there_and_back_delivers_and_receipts(world: World, pair: tuple[Node, Node]) -> None:
    college, other = pair
    for n in (1, 2):
        world.append(college, n)
    world.append(college, 3, stream="hub", refuse=True)
    taken = carry(world, college, world.hub)
    assert dict(taken.records) == {"accepted": 2, "quarantined": 1}
    assert [state for state, _ in _items(college)] == ["waiting"] * 3
    taken = carry(world, world.hub, college)
    assert (taken.receipts, taken.records["accepted"]) == (3, 2)  # two member lists
    assert _items(college) == [("delivered", "accepted")] * 2 + [("delivered", "quarantined")]
    carry(world, world.hub, other)
    assert _held(other, college) == [1, 2]
    # the next trip repeats nothing that was receipted or taken
    assert export_bundle(college, SYSTEM, world.hub.node_id).records == 0
    carry(world, college, world.hub)
    again = export_bundle(world.hub, SYSTEM, college.node_id)
    assert (again.records, again.receipts) == (0, 0)


def test_lost_and_doubled_sticks_cost_a_trip_and_nothing_else(world: World, pair: tuple[Node, Node]) -> None:
    college, reader = pair
    for n in range(3):
        world.append(college, n)
        carry(world, college, world.hub, lose=n != 2, times=2)
    assert _held(world.hub, college) == [1, 2, 3]
    assert len(world.seen.taken) == 3
    carry(world, world.hub, college, lose=True)
    carry(world, college, world.hub)
    assert carry(world, world.hub, college).receipts == 3
    carry(world, world.hub, reader, lose=True)
    carry(world, world.hub, reader, times=2)
    assert _held(reader, college) == [1, 2, 3]


def test_sticks_in_any_order(world: World, pair: tuple[Node, Node]) -> None:
    college, reader = pair
    sticks = []
    for n in range(6):
        world.append(college, n)
        if n % 2:
            carry(world, college, world.hub)
            sticks.append(b"".join(export_bundle(world.hub, SYSTEM, reader.node_id).parts()))
            carry(world, world.hub, college)
    for data in [*reversed(sticks), *sticks]:
        import_bundle(reader, SYSTEM, io.BytesIO(data), world.handlers)
    assert _held(reader, college) == [1, 2, 3, 4, 5, 6]
    assert sorted(world.seen.taken.values()) == [0, 1, 2, 3, 4, 5]


def test_a_large_bundle_is_cut_into_parts_that_stand_alone(
    world: World, pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    college, reader = pair
    for n in range(40):
        world.append(college, n)
    carry(world, college, world.hub)
    monkeypatch.setattr(parcels, "MAX_ITEMS", 7)
    monkeypatch.setattr(parcels.Size, "__init__", lambda self: self.__dict__.update(items=7, bytes=10_000_000))
    world.hub.settings.exchange.__dict__["page_records"] = 5
    bundle = export_bundle(world.hub, SYSTEM, reader.node_id)
    parts = write_parts(Path("to.bundle"), bundle, 20_000)
    assert len(bundle.parcels) > 5
    assert len(parts) > 2
    assert [path.name for path, _ in parts[:2]] == ["to.1.bundle", "to.2.bundle"]
    for _, data in reversed(parts):
        import_bundle(reader, SYSTEM, io.BytesIO(data), world.handlers)
    assert _held(reader, college) == list(range(1, 41))


def test_changing_over_between_stick_and_network_repeats_nothing(net: Net, world: World) -> None:
    college, reader = net.college(), net.college()
    for n in range(3):
        world.append(college, n)
        if n % 2:
            assert net.run(college)[0].delivered == 2
        else:
            carry(world, college, world.hub)
            carry(world, world.hub, reader)
    world.append(college, 3)
    net.run(college)
    before = net.peer(reader, world.hub).cursor
    assert before > 0
    net.run(reader)
    assert _held(reader, college) == [1, 2, 3, 4]
    assert net.peer(reader, world.hub).cursor > before
    assert export_bundle(world.hub, SYSTEM, reader.node_id).records <= 1
    assert all(state == "delivered" for state, _ in _items(college))


def test_between_colleges_over_the_hub(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    sender, reader = pair
    net.run(sender)
    net.run(reader)
    world.append(sender, 1, stream=f"node:{reader.node_id}")
    assert carry(world, sender, world.hub).passed_on == 1
    carry(world, sender, world.hub)  # the same records again: the mailbox holds both parcels, the reader one record
    assert dict(carry(world, world.hub, reader).records)["accepted"] == 1
    assert _held(reader, sender) == [1]
    assert _held(world.hub, sender) == []  # never the hub's own
    carry(world, reader, world.hub)
    assert _items(sender) == [("waiting", "")]
    back = export_bundle(reader, SYSTEM, sender.node_id)
    assert back.receipts == 1
    carry(world, reader, sender)
    assert _items(sender) == [("delivered", "accepted")]


def test_what_one_member_spoils_is_passed_over_and_the_rest_is_taken(
    net: Net, world: World, pair: tuple[Node, Node]
) -> None:
    liar, reader = pair
    for node in (liar, reader, liar):
        net.run(node)
    world.append(liar, 1, stream=f"node:{reader.node_id}")
    carry(world, liar, world.hub)
    with world.hub.database.write() as session:  # what it names lies not behind it
        kept = session.exec(select(MailboxParcel)).one()
        kept.data = join_page(split_page(kept.data)[:1])
        session.add(kept)
    world.append(world.hub, 5)
    taken = carry(world, world.hub, reader)
    assert taken.codes["enclosed-mismatch"] == 1
    assert _held(reader, world.hub)[-1:] != []
    assert _held(reader, liar) == []


def test_a_suspended_member_gets_nothing_by_stick_or_mailbox(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    sender, gone = pair
    for node in (sender, gone, sender):
        net.run(node)
    world.append(sender, 7, stream=f"node:{gone.node_id}")
    world.introduce(world.hub, gone, "suspended")
    with pytest.raises(InputRefused, match="member-suspended"):
        export_bundle(world.hub, SYSTEM, gone.node_id)
    assert carry(world, sender, world.hub).codes["member-suspended"] == 1
    with world.hub.database.read() as session:
        assert session.exec(select(MailboxParcel)).all() == []


def test_who_never_fetches_leaves_room_for_other_recipients(
    net: Net, world: World, pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, idle = pair
    other = net.college()
    for node in (sender, idle, other, sender):
        net.run(node)
    monkeypatch.setattr(mailbox, "MAX_FOR_ONE", 1)
    with world.hub.database.write() as session:
        mailbox.put(session, world.hub, sender.node_id, idle.node_id, "1", b"x")
        with pytest.raises(mailbox.MailboxFull):
            mailbox.put(session, world.hub, sender.node_id, idle.node_id, "2", b"x")
        mailbox.put(session, world.hub, sender.node_id, other.node_id, "3", b"x")


def test_for_everybody_goes_what_not_everybody_has(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    college, reader = pair
    net.run(reader)
    world.append(college, 1)
    world.append(college, 2, stream="hub")
    net.run(college)
    bundle = export_bundle(world.hub, SYSTEM, "*")
    data = b"".join(bundle.parts())
    import_bundle(reader, SYSTEM, io.BytesIO(data), world.handlers)
    assert _held(reader, college) == [1]
    paper = summary_of(bundle, [("x", data)], titles_of(world.hub))
    assert "every member" in paper
    assert spoken(hashlib.sha256(data).hexdigest()) in paper


def test_what_is_no_bundle_for_us_changes_nothing(world: World, pair: tuple[Node, Node]) -> None:
    college, other = pair
    world.append(college, 1)
    data = b"".join(export_bundle(college, SYSTEM, world.hub.node_id).parts())
    forged = data.replace(b'"sig":"', b'"sig":"AAAA', 1)
    for node, what, code in (
        (world.hub, data[:-30], "bundle-truncated"),
        (world.hub, data + data[:50], "bundle-truncated"),
        (world.hub, forged, "signature-invalid"),
        (world.hub, b"PK\x03\x04 and so on", "bundle-shape"),
        (other, data, "key-unknown"),
    ):
        with pytest.raises(TrustError) as caught:
            import_bundle(node, SYSTEM, io.BytesIO(what), world.handlers)
        assert caught.value.code == code
    with pytest.raises(InputRefused, match="bundle-empty"):
        import_bundle(world.hub, SYSTEM, io.BytesIO(b""), world.handlers)
    with pytest.raises(InputRefused, match="peer-unknown"):
        export_bundle(college, SYSTEM, "n-" + "x" * 26)
    with pytest.raises(NotPermitted):
        import_bundle(world.hub, Actor("a", "ann", "viewer"), io.BytesIO(data), world.handlers)
    assert _held(world.hub, college) == []
    preview = show_bundle(other, SYSTEM, io.BytesIO(data))
    assert (preview.size_bytes, preview.parcels[0]["code"], preview.parcels[0]["items"]) == (
        len(data),
        "key-unknown",
        3,  # the record, what its origin says of the stream, and its checkpoint
    )
    with world.hub.database.read() as session:
        assert session.exec(select(MailboxParcel)).all() == []


def test_a_stranger_in_the_middle_cannot_speak_for_the_origin(world: World, pair: tuple[Node, Node]) -> None:
    from dataclasses import replace

    college, _ = pair
    world.append(college, 1)
    with pytest.raises(TrustError, match="key-unknown"):
        carry(world, replace(college, signer=stranger()), world.hub)


def test_a_refusal_by_stick_is_a_dead_letter_at_once_and_may_be_tried_again(
    world: World, pair: tuple[Node, Node]
) -> None:
    college, _ = pair
    payload = json.loads(read_envelope(world.append(college, 1).envelope).payload)
    other = sign(json.dumps({**payload, "content": {"n": 2}}).encode(), RECORD_TYPE, college.signer)
    assert world.receive(world.hub, other).verdict == "accepted"  # as after a restore: the hub has another record there
    assert carry(world, college, world.hub).records["refused"] == 1
    carry(world, world.hub, college, lose=True)  # then the record comes again, and is refused again
    carry(world, college, world.hub)
    assert _items(college) == [("waiting", "")]
    carry(world, world.hub, college)
    assert _items(college) == [("refused", "refused")]
    assert export_bundle(college, SYSTEM, world.hub.node_id).records == 0
    with college.database.write() as session:
        retry_items(session, [1], world.clock())
    carry(world, world.hub, college)  # what was told once is not told again
    assert _items(college) == [("waiting", "")]
    assert export_bundle(college, SYSTEM, world.hub.node_id).records == 1


def test_an_old_stick_makes_nothing_look_fresh(net: Net, world: World, pair: tuple[Node, Node]) -> None:
    college, _ = pair
    made_at = world.clock()
    data = b"".join(export_bundle(world.hub, SYSTEM, college.node_id).parts())
    world.clock.forward(days=180)
    for _ in range(2):
        import_bundle(college, SYSTEM, io.BytesIO(data), world.handlers)
        assert net.peer(college, world.hub).last_success_at == made_at
