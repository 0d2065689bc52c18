"""A poisoned record, a member that joins half-way, one that is removed: ten records, three readers, nobody held up."""

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.envelope import RECEIPT_TYPE, read_envelope
from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange import inbox
from node.stream.models import StoredRecord

from .club import GROUP, Club
from .conftest import World


@pytest.fixture
def club(world: World) -> Club:
    return Club(world)


def _story(club: Club, stream: str) -> tuple[Node, Node, Node, Node, list[StoredRecord]]:
    """Ten records: the fifth is poisoned, one member joins before the sixth, one is removed before the eighth."""
    one, steady, removed = (club.add("women") for _ in range(3))
    records = [club.world.append(one, n, stream=stream, refuse=n == 5) for n in range(1, 6)]
    late = club.add("women")
    records += [club.world.append(one, n, stream=stream) for n in (6, 7)]
    club.left.add(removed.node_id)
    club.refresh()
    records += [club.world.append(one, n, stream=stream) for n in (8, 9, 10)]
    return steady, late, removed, one, records


def _verdicts(club: Club, node: Node, records: list[StoredRecord]) -> list[Verdict]:
    return [club.world.receive(node, record.envelope).verdict for record in records]


GOOD, BAD, SHUT = Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.SEALED


def test_in_a_sealed_stream(club: Club) -> None:
    steady, late, removed, one, records = _story(club, GROUP)
    assert _verdicts(club, steady, records) == [GOOD] * 4 + [BAD] + [GOOD] * 5
    assert _verdicts(club, late, records) == [SHUT] * 5 + [GOOD] * 5
    club.world.introduce(removed, one)
    assert _verdicts(club, removed, records[:7]) == [GOOD] * 4 + [BAD] + [GOOD] * 2
    assert _verdicts(club, removed, records[7:]) == [SHUT] * 3  # were they leaked to it, it reads nothing
    assert _verdicts(club, club.world.hub, records) == [SHUT] * 10
    for node in (steady, late, removed, club.world.hub):
        assert [sequence for sequence, _, _ in club.world.states(node)] == list(range(1, 11)), (
            "everybody holds the chain"
        )


def test_in_a_stream_for_all_the_hubs_refusal_stands_in(club: Club) -> None:
    steady, late, removed, one, records = _story(club, "all")
    assert _verdicts(club, club.world.hub, records) == [GOOD] * 4 + [BAD] + [GOOD] * 5
    for reader in (steady, late):
        answer = club.world.ask(reader, "pull", {"cursor": 0})
        assert [item.payload_type == RECEIPT_TYPE for item in answer.enclosed] == [n == 5 for n in range(1, 11)]
        assert _verdicts_of(club, reader, answer.enclosed) == [GOOD] * 4 + [BAD] + [GOOD] * 5
    refused = club.world.post("pull", _page(club, removed))
    assert (refused.status_code, refused.json()["code"]) == (403, "member-suspended")
    del one


def test_what_was_poisoned_is_mended_by_a_later_revision(club: Club) -> None:
    one, two = club.add("women"), club.add("women")
    bad = club.world.append(one, 5, stream=GROUP, subject="same", refuse=True)
    good = club.world.append(one, 6, stream=GROUP, subject="same")
    assert _verdicts(club, two, [bad, good]) == [BAD, GOOD]
    assert club.world.seen.taken == {good.id: 6}


def test_quarantined_in_a_sealed_stream_is_retried(club: Club) -> None:
    one, two = club.add("women"), club.add("women")
    bad = club.world.append(one, 5, stream=GROUP, refuse=True)
    assert _verdicts(club, two, [bad]) == [BAD]
    club.world.seen.allow_all = True
    assert inbox.retry(two, SYSTEM, bad.id, club.world.handlers).verdict is GOOD
    with two.database.read() as session:
        assert session.exec(select(StoredRecord.state)).one() == "current"


def _verdicts_of(club: Club, node: Node, enclosed: object) -> list[Verdict]:
    return [club.world.receive(node, item.raw, inbox.PULL).verdict for item in enclosed]  # type: ignore[attr-defined]


def _page(club: Club, node: Node) -> bytes:
    request = club.world.request(node, "pull", {"cursor": 0})
    assert read_envelope(request).id
    return b"[" + request + b"]"
