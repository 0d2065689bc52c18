"""Grants deny by default: what no line allows is not allowed, whatever the stream says."""

from datetime import UTC, datetime

import pytest

from federation.catalogue import load_catalogue
from federation.errors import InputRefused, TrustError
from federation.grants import TOTALS, Grants, dataflow_of, default_grants, read_grants, write_grants
from federation.keys import Member, new_identifier, new_private_pem, read_signer

KEY = read_signer(new_private_pem()).public_key
FEDERATION = new_identifier("f")
COLLEGE, HUB_NODE = "n-" + "c" * 26, "n-" + "h" * 26  # fixed: they stand in the names of tests


def member(
    identity: str = COLLEGE, *, is_hub: bool = False, groups: tuple[str, ...] = (), active: bool = True
) -> Member:
    return Member(identity, FEDERATION, KEY, active=active, is_hub=is_hub, groups=frozenset(groups))


HUB = member(HUB_NODE, is_hub=True)


def grants(**readers: list[str]) -> Grants:
    lines = [{"dataflow": f"{name}.all", "readers": said, "level": "nodes"} for name, said in readers.items()]
    return read_grants(write_grants(lines, [{"kind": "release", "by": ["group:told"]}]))


def test_the_default_follows_the_catalogues_audiences() -> None:
    found = read_grants(default_grants(load_catalogue()))
    flows = {item.dataflow for item in load_catalogue().indicators.values()} - {""}
    assert set(found.readers) == flows
    for dataflow in flows:
        assert found.may_read(HUB, dataflow) == (dataflow.endswith(("hub", "all")))
        assert found.may_read(member(), dataflow) == dataflow.endswith("all")
        assert found.may_go(dataflow, "hub")
        assert found.may_go(dataflow, "all") == dataflow.endswith("all")
    assert found.may_say(member(), "release")
    assert found.may_say(HUB, "review")
    assert not found.may_say(member(), "review")
    assert default_grants(load_catalogue()) == default_grants(load_catalogue())


def test_what_no_line_allows_is_denied() -> None:
    found = grants(MEM=["group:told"])
    assert not found.may_read(member(), "MEM.all")
    assert not found.may_read(HUB, "MEM.all")
    assert not found.may_read(member(), "FIN.all")
    assert not found.may_say(member(), "release")
    assert not found.may_say(member(groups=("told",)), "notice")
    assert found.may_read(member(groups=("told",)), "MEM.all")
    assert found.may_say(member(groups=("told",)), "release")
    assert not found.may_read(member(groups=("told",), active=False), "MEM.all")


def test_a_grant_to_say_what_only_the_hub_says_is_no_grant() -> None:
    found = read_grants(write_grants([], [{"kind": "member-list", "by": ["all"]}]))
    assert not found.may_say(member(), "member-list")
    assert found.may_say(HUB, "member-list")


def test_totals_are_less_than_each_nodes_figures() -> None:
    lines = [
        {"dataflow": "PSY.hub", "readers": ["hub"], "level": "nodes"},
        {"dataflow": "PSY.hub", "readers": ["all"], "level": "totals"},
    ]
    found = read_grants(write_grants(lines, []))
    assert found.may_read(HUB, "PSY.hub")
    assert found.may_read(HUB, "PSY.hub", TOTALS)
    assert not found.may_read(member(), "PSY.hub")
    assert found.may_read(member(), "PSY.hub", TOTALS)
    assert not found.may_go("PSY.hub", "all")


@pytest.mark.parametrize(
    ("readers", "stream", "goes"),
    [
        (["all"], "group:told", "yes"),
        (["group:told"], "all", "no"),
        (["group:told"], "group:told", "yes"),
        (["group:told"], "group:other", "no"),
        (["hub"], "hub", "yes"),
        (["hub"], f"node:{COLLEGE}", "no"),
        ([f"node:{COLLEGE}"], f"node:{COLLEGE}", "yes"),
    ],
)
def test_a_dataflow_goes_only_where_everybody_may_read_it(readers: list[str], stream: str, goes: str) -> None:
    assert grants(MEM=readers).may_go("MEM.all", stream) is (goes == "yes")


def test_two_versions_of_a_schema_overlap_for_a_time() -> None:
    terms = [
        {"schema": "release.v1", "until": "2027-03-31T16:00:00Z"},
        {"schema": "release.v2", "from": "2026-12-31T16:00:00Z"},
    ]
    found = read_grants(write_grants([], [{"kind": "release", "by": ["all"], "schemas": terms}]))
    before, between, after = (datetime(2026 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in (9, 13, 16))
    assert [found.required_schema("release", at) for at in (before, between, after)] == ["", "release.v2", "release.v2"]
    for at in (before, between):
        found.check_term("release", "release.v1", at)
    for at in (before, between, after):
        found.check_term("release", "release.v2", at)
    with pytest.raises(TrustError, match="schema-retired"):
        found.check_term("release", "release.v1", after)
    with pytest.raises(TrustError, match="schema-unlisted"):
        found.check_term("release", "release.v3", between)
    found.check_term("notice", "notice.v7", after)  # a kind without terms is bound by its schemas alone


def test_grants_that_contradict_themselves_are_refused() -> None:
    line = {"kind": "release", "by": ["all"]}
    with pytest.raises(InputRefused, match="grants-double"):
        write_grants([], [line, line])
    for bad in (b"[]", b'{"version":2,"dataflows":[],"kinds":[]}', b'{"version":1,"dataflows":[]}'):
        with pytest.raises(TrustError):
            read_grants(bad)


def test_only_releases_carry_a_dataflow() -> None:
    assert dataflow_of("release", "MEM.all/2026U") == "MEM.all"
    assert dataflow_of("notice", "MEM.all/2026U") == ""
