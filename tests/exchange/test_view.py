"""What hub and colleges see of the shared indicators: combined figures, coverage, own value, band, sources."""

from typing import Any

import pytest

from federation.catalogue import load_catalogue
from federation.documents import dump_document
from federation.errors import InputRefused, NotPermitted
from federation.evidence import check_document
from federation.keys import Member
from node.access.permissions import ANALYST, VIEWER, Actor
from node.context import Node
from node.exchange.inbox import take_waiting
from node.exchange.records import export_record
from node.exchange.view import ViewRow, read_periods, read_rollup, read_tables, read_view
from node.stream.listed import keep_listed
from node.stream.models import StoredRecord
from node.web import figures
from tests.exchange.conftest import World
from tests.exchange.releases import count, publish, rate, sign_release, take_releases

ANNA = Actor("a", "anna", ANALYST)


@pytest.fixture(autouse=True)
def handlers(world: World) -> None:
    take_releases(world)


def colleges(world: World, number: int) -> list[Node]:
    """Return so many colleges that all know each other."""
    made = [world.add_college() for _ in range(number)]
    for college in made:
        for other in made:
            if other is not college:
                world.introduce(college, other)
    return made


def tell(
    world: World, college: Node, observations: list[dict[str, Any]], *readers: Node, **changes: Any
) -> StoredRecord:
    record = publish(world, college, observations, **changes)
    for reader in (world.hub, *readers):
        if reader is not college:
            world.receive(reader, record.envelope)
    return record


def total(node: Node, indicator: str = "MEM_CNT", **options: Any) -> ViewRow:
    [row] = read_view(node, ANNA, indicator, "2026U", **options).rows
    return row


def test_counts_add_and_the_coverage_says_who_is_behind_them(world: World) -> None:
    first, second, third = colleges(world, 3)
    one = tell(world, first, [count("MEM_STAFF_CNT", 50), count("MEM_CNT", 40)])
    two = tell(world, second, [count("MEM_STAFF_CNT", 70), count("MEM_CNT", 60)])
    row = total(world.hub)
    assert (row.status, row.value, row.own, row.band) == ("value", 100, None, None)
    assert vars(row.coverage) == {"reported": 2, "expected": 3, "withheld": 0, "persons": 120}
    assert row.sources == tuple(sorted([one.id, two.id]))
    assert read_view(world.hub, ANNA, "MEM_CNT", "2026U").missing == (third.settings.node.name,)


def test_rates_combine_by_their_parts(world: World) -> None:
    first, second = colleges(world, 2)
    tell(world, first, [count("MEM_STAFF_CNT", 10), rate("MEM_DENSITY", 10, 10)])
    tell(world, second, [count("MEM_STAFF_CNT", 990), rate("MEM_DENSITY", 495, 990)])
    row = total(world.hub, "MEM_DENSITY")
    assert (row.value, row.numerator, row.denominator) == ("50.5", 505, 1000)  # the average of rates would be 75.0
    assert [node.value for node in sorted(row.nodes, key=lambda node: str(node.value))] == ["100.0", "50.0"]


def test_a_withheld_part_makes_a_lower_bound_and_marks_a_rate(world: World) -> None:
    first, second, third = colleges(world, 3)
    for college, observations in (
        (first, [count("MEM_CNT", 20, G="2"), rate("MEM_DENSITY", 20, 25, G="2")]),
        (second, [count("MEM_CNT", G="2"), count("MEM_DENSITY", G="2")]),
        (third, [count("MEM_CNT", status="O", G="2")]),
    ):
        tell(world, college, observations)
    rows = {row.dims["G"]: row for row in read_view(world.hub, ANNA, "MEM_CNT", "2026U", tables=[("G",)]).rows}
    assert set(rows) == {"1", "2", "9", "_U"}
    assert (rows["2"].status, rows["2"].value) == ("lower-bound", 20)
    assert vars(rows["2"].coverage) == {"reported": 2, "expected": 3, "withheld": 1, "persons": None}
    assert (rows["1"].status, rows["1"].value, rows["1"].coverage.reported) == ("missing", None, 0)
    rates = {row.dims["G"]: row for row in read_view(world.hub, ANNA, "MEM_DENSITY", "2026U", tables=[("G",)]).rows}
    assert (rates["2"].status, rates["2"].value) == ("partial", "80.0")


def test_a_revision_replaces_and_a_suspended_member_no_longer_counts(world: World) -> None:
    first, second = colleges(world, 2)
    tell(world, first, [count("MEM_CNT", 40)])
    tell(world, second, [count("MEM_CNT", 60)])
    tell(world, first, [count("MEM_CNT", 41)])
    assert total(world.hub).value == 101
    world.introduce(world.hub, second, "suspended")
    row = total(world.hub)
    assert (row.value, row.coverage.reported, row.coverage.expected) == (41, 1, 1)


def test_every_college_sees_its_own_value_within_the_band_of_at_least_five_others(world: World) -> None:
    made = colleges(world, 6)
    for number, college in enumerate(made[:5]):
        tell(world, college, [count("MEM_CNT", 100 + 10 * number)], *made)
    row = total(made[0])
    assert row.own is not None
    assert (row.own.value, row.own.own, row.band) == (100, True, None)  # four others
    assert total(made[5]).band is not None
    assert total(made[5]).own is None
    tell(world, made[5], [count("MEM_CNT", 131)], *made)
    band = total(made[0]).band
    assert band is not None
    assert vars(band) == {"lower": "120", "median": "130", "upper": "131", "peers": 5, "place": "below"}
    band = total(made[2]).band
    assert band is not None
    assert (band.lower, band.upper, band.place) == ("110", "131", "within")
    band = total(made[4]).band
    assert band is not None
    assert (band.upper, band.place) == ("130", "above")
    assert total(world.hub).band is not None  # of all six
    assert total(world.hub).value == total(made[3]).value == 731


def test_withheld_and_missing_are_no_peers(world: World) -> None:
    made = colleges(world, 7)
    for college in made[:4]:
        tell(world, college, [count("MEM_CNT", 50, G="1")], *made)
    tell(world, made[4], [count("MEM_CNT", G="1")], *made)
    tell(world, made[5], [count("MEM_CNT", status="O", G="1")], *made)
    rows = read_view(made[6], ANNA, "MEM_CNT", "2026U", tables=[("G",)]).rows
    assert [row.band for row in rows] == [None] * 4


def test_what_a_figure_rests_on_can_be_verified(world: World) -> None:
    first, second = colleges(world, 2)
    tell(world, first, [count("MEM_CNT", 40)])
    tell(world, second, [count("MEM_CNT")])
    row = total(world.hub)
    assert len(row.sources) == 2
    keys = {college.node_id: college.signer.public_key for college in (first, second)}
    owners = {key.keyid: Member(identity, world.federation, key) for identity, key in keys.items()}
    for identity in row.sources:
        envelope = export_record(world.hub, ANNA, identity)
        owners = {
            c.signer.public_key.keyid: Member(c.node_id, world.federation, c.signer.public_key) for c in (first, second)
        }
        evidence = check_document(envelope, owners.get)
        assert (evidence.id, evidence.content_schema) == (identity, "valid")


def test_the_whole_period_at_once(world: World) -> None:
    first, second = colleges(world, 2)
    tell(world, first, [count("MEM_CNT", 40), count("MEM_CNT", 25, G="1"), count("MEM_JOIN_CNT", status="O")])
    tell(world, second, [count("MEM_CNT", 60), count("MEM_STAFF_CNT", 70)])
    tell(world, second, [rate("DQ_COMPLETE_RATE", 3, 4)], dataflow="DQ.all", period="2026-09")
    rows = read_rollup(world.hub, ANNA, "2026U")
    assert [(row.indicator, row.dims, row.value) for row in rows] == [
        ("MEM_STAFF_CNT", {}, 70),
        ("MEM_CNT", {}, 100),
        ("MEM_CNT", {"G": "1"}, 25),
    ]
    assert rows[1].as_json() == {
        "indicator": "MEM_CNT",
        "period": "2026U",
        "dims": {},
        "value": 100,
        "status": "value",
        "coverage": {"reported": 2, "expected": 2, "withheld": 0, "persons": None},
        "own": None,
        "band": None,
    }
    assert read_periods(world.hub, ANNA) == ["2026U", "2026-09"]
    assert read_periods(world.hub, ANNA, "MEM_CNT") == ["2026U"]


def test_what_there_is_not_says_so(world: World) -> None:
    for code, words in (
        ("indicator-unknown", ("MEM_SECRET", "2026U")),
        ("indicator-local", ("MEM_ON_STAFF_CNT", "2026U")),
        ("period-unknown", ("MEM_CNT", "2026-Q5")),
    ):
        with pytest.raises(InputRefused, match=code):
            read_view(world.hub, ANNA, *words)
    with pytest.raises(InputRefused, match="table-not-released"):
        read_view(world.hub, ANNA, "MEM_CNT", "2026U", tables=[("T", "K")])
    with pytest.raises(NotPermitted):
        read_view(world.hub, Actor("x", "x", "nobody"), "MEM_CNT", "2026U")
    assert total(world.hub).status == "missing"
    assert read_rollup(world.hub, Actor("v", "v", VIEWER), "2026U") == []


def test_tables_are_read_in_any_order() -> None:
    members = load_catalogue().get("MEM_CNT")
    assert read_tables(members, "") == ((),)
    assert read_tables(members, "g") == (("G",),)
    assert read_tables(members, "T,G") == read_tables(members, "GT") == (("G", "T"),)
    assert read_tables(members, "G;;GT") == (("G",), (), ("G", "T"))
    assert read_tables(members, "all") is None
    for wrong in ("X", "GG", "TK", "G=2"):
        with pytest.raises(InputRefused, match="table-not-released"):
            read_tables(members, wrong)


CELLS = {"noise": {"method": "cell-key", "bound": 5, "variance": "6"}}


def agree(*nodes: Node, federation: str) -> None:
    listed = {"version": 1, "year_epsilon": "1", "dataflows": [{"dataflow": "MEM.all", "method": "cell-key"}]}
    for node in nodes:
        with node.database.write() as session:
            keep_listed(session, federation, 2, {"protection.json": dump_document(listed)})


def test_a_sum_of_moved_figures_says_so_and_adds_up_their_variances(world: World) -> None:
    first, second, _ = colleges(world, 3)
    agree(world.hub, first, second, federation=world.federation)
    tell(
        world,
        first,
        [count("MEM_STAFF_CNT", 50), count("MEM_CNT", 40), rate("MEM_DENSITY", 41, 50), count("MEM_JOIN_CNT", 7)],
        **CELLS,
    )
    tell(world, second, [count("MEM_CNT", 70), rate("MEM_DENSITY", 68, 70), count("MEM_JOIN_CNT")], **CELLS)
    row = total(world.hub)
    assert (row.status, row.value, row.error, row.methods) == ("noisy", 110, "3.5", ("cell-key",))
    assert row.coverage.persons is None, "a moved total is not passed off as how many are covered"
    assert [(node.status, node.error) for node in row.nodes] == [("noisy", "2.4")] * 2
    density = total(world.hub, "MEM_DENSITY")
    assert (density.status, density.value, density.error) == ("noisy", "90.8", "3.9")
    assert total(world.hub, "MEM_JOIN_CNT").status == "lower-bound"
    view = read_view(world.hub, ANNA, "MEM_CNT", "2026U")
    assert figures.show_row(view.rows[0], view.indicator, "zh").text == "≈ 110 ± 3.5"
    sheet = figures.sheet_of(view, view.rows, "en", own=False)
    told = dict(zip(sheet.header, sheet.rows[0], strict=True))
    assert (told["OBS_STATUS"], told["Method"], told["Expected error"]) == ("E", "cell-key", 3.5)
    assert "± 3.5" in figures.bars_of(view, view.rows, "zh")
    assert [status.id for status in figures.legend_of(view.rows)] == ["noisy"]


@pytest.mark.parametrize("noise", [CELLS["noise"], CELLS["noise"] | {"bound": 3}, CELLS["noise"] | {"variance": "0"}])
def test_a_moved_figure_is_shown_only_where_the_list_agreed_on_it(world: World, noise: dict[str, Any]) -> None:
    [one] = colleges(world, 1)
    if noise != CELLS["noise"]:
        agree(world.hub, federation=world.federation)
    record = sign_release(world, one, [count("MEM_CNT", 40)], noise=noise)
    assert world.receive(world.hub, record.envelope).code == "noise-not-agreed"
    assert total(world.hub).status == "missing"
    if noise == CELLS["noise"]:
        agree(world.hub, federation=world.federation)  # its list was older than the origin's
        with world.hub.database.write() as session:
            assert take_waiting(session, world.hub, world.handlers) == 1
        assert total(world.hub).status == "noisy"


def test_a_moved_figure_of_a_small_count_is_refused_like_any_other(world: World) -> None:
    [one] = colleges(world, 1)
    agree(world.hub, federation=world.federation)
    record = sign_release(world, one, [count("MEM_CNT", 40), count("MEM_CNT", 3, G="1")], **CELLS)
    assert world.receive(world.hub, record.envelope).code == "cell-too-small"
