"""Grants where they count: at the sender, at each reader, in a page that is served, in catalogue and shared figures."""

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.catalogue import load_catalogue
from federation.envelope import RECEIPT_TYPE
from federation.errors import InputRefused
from federation.grants import default_grants, write_grants
from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange import inbox
from node.exchange.view import read_view
from node.stream.models import StoredRecord

from . import releases
from .club import Club
from .conftest import World

DEFAULT = default_grants(load_catalogue())
FIGURES = [releases.count("MEM_STAFF_CNT", 800), releases.count("MEM_CNT", 700)]


@pytest.fixture
def club(world: World) -> Club:
    releases.take_releases(world)
    return Club(world)


def grants(readers: list[str], *, level: str = "nodes", by: list[str] | None = None) -> bytes:
    lines = [{"dataflow": "MEM.all", "readers": readers, "level": level}]
    if level == "totals":
        lines.append({"dataflow": "MEM.all", "readers": ["hub"], "level": "nodes"})
    return write_grants(lines, [{"kind": "release", "by": by or ["all"]}, {"kind": "sample", "by": ["all"]}])


def _pulled(club: Club, reader: Node) -> list[tuple[Verdict, str]]:
    answer = club.world.ask(reader, "pull", {"cursor": 0})
    outcomes = [club.world.receive(reader, item.raw, inbox.PULL) for item in answer.enclosed]
    return [(outcome.verdict, outcome.code) for outcome in outcomes]


def test_with_the_default_grants_everything_goes_as_before(club: Club) -> None:
    one, two = club.add(), club.add()
    club.list_documents(grants_json=DEFAULT)
    release = releases.sign_release(club.world, one, FIGURES)
    assert club.world.receive(club.world.hub, release.envelope).verdict is Verdict.ACCEPTED
    assert _pulled(club, two) == [(Verdict.ACCEPTED, "")]


def test_nobody_signs_what_the_grants_do_not_let_it_say(club: Club) -> None:
    one = club.add()
    club.list_documents(grants_json=grants(["group:told"]))
    with pytest.raises(InputRefused, match="grant-missing"):
        releases.sign_release(club.world, one, FIGURES)
    club.list_documents(grants_json=grants(["all"], by=["hub"]))
    with pytest.raises(InputRefused, match="grant-missing"):
        releases.sign_release(club.world, one, FIGURES)


def test_whoever_says_it_all_the_same_is_not_heard(club: Club) -> None:
    one = club.add()
    release = releases.sign_release(club.world, one, FIGURES)  # before it heard of the grants
    club.list_documents(grants_json=grants(["group:told"]))
    outcome = club.world.receive(club.world.hub, release.envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, "grant-missing")
    assert releases.shown(club.world.hub) == {}
    club.list_documents(grants_json=DEFAULT)  # the next list lets it: taken without a hand
    with club.world.hub.database.write() as session:
        assert inbox.take_waiting(session, club.world.hub, club.world.handlers) == 1
    assert releases.shown(club.world.hub) == {(one.node_id, ""): "700"}


def test_a_reader_without_a_grant_gets_a_refusal_in_its_place_and_goes_on(club: Club) -> None:
    one, two = club.add(), club.add()
    release = releases.sign_release(club.world, one, FIGURES)
    after = club.world.append(one, 7)
    for record in (release, after):
        assert club.world.receive(club.world.hub, record.envelope).verdict is Verdict.ACCEPTED
    club.list_documents(grants_json=grants(["hub"]))
    first, second = (club.world.ask(two, "pull", {"cursor": 0}) for _ in range(2))
    assert [item.payload_type == RECEIPT_TYPE for item in first.enclosed] == [True, False]
    assert first.enclosed[0].id == second.enclosed[0].id, "the same refusal on repeat"
    assert b"700" not in first.enclosed[0].payload
    assert _pulled(club, two) == [(Verdict.QUARANTINED, "grant-missing"), (Verdict.ACCEPTED, "")]
    assert releases.shown(two) == {}
    missing = club.world.ask(two, "missing", {"origin": one.node_id, "stream": "all", "first": 1, "last": 2})
    assert [item.id for item in missing.enclosed] == [item.id for item in first.enclosed]


def test_an_origin_may_refuse_its_own_record_but_no_other_member_may(club: Club) -> None:
    from federation.documents import dump_document, format_time
    from federation.envelope import sign

    one, two, three = club.add(), club.add(), club.add()
    record = club.world.append(one)

    def refusal(issuer: Node) -> bytes:
        named = {"id": record.id, "origin": one.node_id, "stream": "all", "sequence": 1}
        payload = {
            "version": 1,
            "issuer": issuer.node_id,
            "federation": club.world.federation,
            "record": named,
            "verdict": "quarantined",
            "code": "grant-missing",
            "issued_at": format_time(club.world.clock()),
        }
        return sign(dump_document(payload), RECEIPT_TYPE, issuer.signer)

    assert club.world.receive(two, refusal(three)).code == "origin-mismatch"
    assert club.world.receive(two, refusal(one)).verdict is Verdict.QUARANTINED
    assert club.world.receive(two, record.envelope).verdict is Verdict.ACCEPTED, "the record itself may still come"


def test_asking_for_what_one_may_not_read_is_answered_like_asking_for_nothing(club: Club) -> None:
    one, two = club.add(), club.add()
    for n, stream in enumerate(("hub", f"node:{club.world.hub.node_id}"), 1):
        club.world.receive(club.world.hub, club.world.append(one, n, stream=stream).envelope)
    told = [
        club.world.ask(two, "missing", {"origin": origin, "stream": stream, "first": 1, "last": 9})
        for origin, stream in (
            (one.node_id, "hub"),
            (one.node_id, f"node:{club.world.hub.node_id}"),
            (one.node_id, "group:unheard-of"),
            ("n-" + "a" * 26, "all"),
        )
    ]
    assert {(answer.enclosed, answer.cursor, answer.more, str(answer.body)) for answer in told} == {
        ((), 0, False, "{}")
    }


def test_the_catalogue_tells_a_caller_only_of_what_it_may_read(club: Club) -> None:
    one = club.add("told")

    def flows(level: str = "nodes") -> set[str]:
        told = club.world.ask(one, "catalogue", {}).body
        assert all("hub" not in str(item["dataflow"]) for item in told["indicators"]), "S2 goes to the hub alone"
        return {item["dataflow"] for item in told["indicators"] if item["level"] == level}

    everything = {item.dataflow for item in load_catalogue().indicators.values() if item.dataflow.endswith(".all")}
    assert flows() == everything  # no grants are signed: the audiences of the catalogue
    club.list_documents(club.world.hub, grants_json=DEFAULT)
    assert flows() == everything
    club.list_documents(club.world.hub, grants_json=grants(["group:told"]))
    assert flows() == {"MEM.all"}
    club.list_documents(club.world.hub, grants_json=grants(["group:told"], level="totals"))
    assert (flows(), flows("totals")) == (set(), {"MEM.all"})
    club.list_documents(club.world.hub, grants_json=grants(["group:other"]))
    assert flows() == flows("totals") == set()


def test_shared_figures_show_what_the_grants_let_us_read(club: Club) -> None:
    one, two = club.add(), club.add()
    club.list_documents(grants_json=DEFAULT)
    for node, count in ((one, 700), (two, 300)):
        releases.publish(club.world, node, [releases.count("MEM_STAFF_CNT", 800), releases.count("MEM_CNT", count)])
        with node.database.read() as session:
            record = session.exec(select(StoredRecord).where(StoredRecord.origin == node.node_id)).one()
        club.world.receive(club.world.hub, record.envelope)
    assert _pulled(club, two) == [(Verdict.ACCEPTED, "")]

    def seen() -> tuple[object, list[str], list[str]]:
        row = read_view(two, SYSTEM, "MEM_CNT", "2026U").rows[0]
        return row.value, sorted(node.origin for node in row.nodes), list(row.sources)

    assert seen()[:2] == (1000, sorted([one.node_id, two.node_id]))
    club.list_documents(two, grants_json=grants(["all"], level="totals"))
    value, nodes, sources = seen()
    assert (value, nodes, len(sources)) == (1000, [two.node_id], 1)
    club.list_documents(two, grants_json=grants(["group:told"]))
    assert seen()[:2] == (300, [two.node_id])
