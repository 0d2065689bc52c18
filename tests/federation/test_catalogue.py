"""The catalogue says what the project's list of indicators says, and refuses what would let too much leave."""

import csv
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from federation.catalogue import Catalogue, dims_key, load_catalogue, read_catalogue, read_dims
from federation.errors import GonghuiError, InputRefused, TrustError
from schemas import load_data

FACTS = Path(__file__).parents[1] / "data" / "indicators.tsv"


def facts() -> list[dict[str, str]]:
    with FACTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def changed(change: Callable[[dict[str, Any]], object]) -> Catalogue:
    """Read the program's catalogue after `change` was made to its indicators by code."""
    value = json.loads(load_data("catalogue"))
    change({item["code"]: item for item in value["indicators"]})
    return read_catalogue(json.dumps(value).encode(), load_data("codelists"))


def test_it_holds_the_eighty_indicators_as_listed() -> None:
    known = load_catalogue().indicators
    rows = facts()
    assert [row["code"] for row in rows] == [i.code for i in known.values() if not i.internal]
    assert len(rows) == 80
    for row in rows:
        indicator = known[row["code"]]
        assert (indicator.name.zh, indicator.name.en) == (row["zh"], row["en"])
        assert indicator.unit.zh in {row["unit"], "是/否"}
        assert (indicator.unit.zh == "是/否") == (row["unit"] == "布尔") == (indicator.rollup == "count_yes")
        assert set(indicator.frequencies) == set(row["freq"].split(","))
        assert indicator.sensitivity >= row["sens"], "a class may be raised, never lowered"
        assert (indicator.mode, indicator.report) == (row["mode"], row["basis"])
        assert set(indicator.sources) <= set(row["tables"].split(","))
        letters = {"table": "Y", "mode(线上/线下)": "M"}
        dims = set() if row["dims"] == "-" else {letters.get(d, d) for d in row["dims"].split(",")}
        assert set(indicator.dims) == dims
        if indicator.kind in {"stock", "ratio", "flow"} and indicator.code != "DQ_COMPLETE_RATE":
            assert {(letter,) for letter in dims} <= set(indicator.tables), "a table for every dimension listed"


def test_two_way_tables_stand_where_they_were_agreed() -> None:
    known = load_catalogue().indicators
    for code in ("MEM_STAFF_CNT", "MEM_CNT"):
        assert {t for t in known[code].tables if len(t) == 2} == {("G", "T"), ("G", "A"), ("G", "K")}
        assert known[code].released == known[code].tables
        assert known[code].total_public
    assert known["MEM_JOIN_CNT"].released == ((), ("G",), ("A",), ("C",))
    assert known["MEM_LEAVE_CNT"].released == ((), ("G",))
    for flow in ("MEM_JOIN_CNT", "MEM_LEAVE_CNT"):
        assert set(known["MEM_CNT"].tables) <= set(known[flow].tables), "computed in all dimensions of the stock"


def test_a_rate_takes_the_strictest_class_of_its_parts() -> None:
    known = load_catalogue().indicators
    for code, class_ in {
        "FIN_ALLOC_DUE": "S2", "FIN_ALLOC_RATE": "S2", "MEM_REALNAME_RATE": "S1", "CPL_OVERDUE_RATE": "S2",
        "MUT_PAYOUT_RATIO": "S2", "DEM_PROPOSAL_FILED_RATE": "S1", "MEM_DENSITY": "S1", "ORG_GROUP_CNT": "S0",
    }.items():  # fmt: skip
        assert known[code].sensitivity == class_, code
    assert known["FIN_ALLOC_RATE"].dataflow == "FIN.hub"
    assert known["MEM_CNT"].dataflow == "MEM.all"
    assert known["MEM_ON_STAFF_CNT"].dataflow == ""
    for indicator in known.values():
        assert indicator.sensitivity == max([indicator.sensitivity, *(known[p].sensitivity for p in indicator.parts)])


def test_filters_leave_codes_that_can_occur() -> None:
    catalogue = load_catalogue()
    nonstd = catalogue.get("MEM_NONSTD_CNT")
    assert nonstd.possible == {"C": ("AGENCY", "CONTRACT", "DISPATCH", "EXTERNAL")}
    assert catalogue.dimension(nonstd, "C").codes[0].code == "ESTAB"
    leave = catalogue.dimension(catalogue.get("MEM_LEAVE_CNT"), "Y")
    assert (leave.field, leave.codes[-1].code) == ("leave_reason", "_U")
    with pytest.raises(InputRefused, match="indicator-unknown"):
        catalogue.get("MEM_NOBODY")


def test_a_key_has_one_spelling() -> None:
    assert dims_key({}) == ""
    assert dims_key({"T": "NONE", "G": "2"}) == dims_key({"G": "2", "T": "NONE"}) == "G=2;T=NONE"
    for dims in ({}, {"G": "_U"}, {"G": "1", "A": "Y_LT35"}):
        assert read_dims(dims_key(dims)) == dims


@pytest.mark.parametrize(
    "change",
    [
        lambda known: known["FIN_WAGE_BASE"].update(tables=[[], ["G"]], released=[[], ["G"]], kind="stock"),
        lambda known: known["MEM_CNT"].update(sensitivity="S2"),
        lambda known: known["MEM_CNT"].update(sensitivity="S3"),
        lambda known: known["MEM_LEAVE_CNT"].update(released=[[], ["Y"]]),
        lambda known: known["MEM_JOIN_CNT"].update(released=[["G", "T"]]),
        lambda known: known["MEM_CNT"].update(released=[[], ["G"]]),
        lambda known: known["MEM_ON_STAFF_CNT"].update(released=[[]]),
        lambda known: known["MEM_ON_STAFF_CNT"].update(part_of=["MEM_CNT"]),
        lambda known: known["MEM_NONSTD_CNT"].update(part_of=["MEM_NOBODY"]),
        lambda known: known["MEM_DENSITY"].update(tables=[[], ["G"], ["A"], ["C"], ["K"], ["E"]]),
        lambda known: known["MEM_DENSITY"].update(numerator="MEM_NOBODY"),
        lambda known: known["MEM_CNT"].update(tables=[["G"], []]),
        lambda known: known["MEM_CNT"].update(tables=[[], ["T", "G"]]),
        lambda known: known["MEM_CNT"].update(tables=[[], ["X"]]),
        lambda known: known["MEM_NONSTD_CNT"]["filters"][0].update({"in": ["NOBODY"]}),
        lambda known: known["FIN_ALLOC_DUE"].update(formula=[{"indicator": "FIN_ALLOC_DUE", "factor": "1"}]),
        lambda known: known["MEM_CNT"].pop("measure"),
        lambda known: known["ORG_GROUP_CNT"].pop("lacks"),
        lambda known: known["MEM_DENSITY"].update(total_public=True),
        lambda known: known["MEM_JOIN_CNT"].update(stock="MEM_NOBODY"),
    ],
)  # fmt: skip
def test_a_catalogue_that_contradicts_itself_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(InputRefused, match="catalogue-refused"):
        changed(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda known: known["MEM_CNT"].update(sql="SELECT 1"),
        lambda known: known["MEM_CNT"].update(filters=[{"field": "name", "in": ["A"]}]),
        lambda known: known["MEM_CNT"].update(filters=[{"field": "gender", "like": "2"}]),
        lambda known: known["MEM_CNT"].update(measure="wages"),
        lambda known: known["MEM_CNT"].update(frequencies=["Y"]),
    ],
)
def test_a_word_outside_the_vocabulary_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(TrustError, match="schema-invalid"):
        changed(change)


def test_the_unchanged_catalogue_is_read_and_an_edited_one_is_another() -> None:
    assert changed(dict).indicators == load_catalogue().indicators
    edited = changed(lambda known: known["MEM_CNT"]["name"].update(en="Members"))
    assert edited.digest != load_catalogue().digest


def test_code_lists_hold_every_code_that_rosters_are_mapped_to() -> None:
    lists = load_catalogue().codelists
    fields = json.loads((resources.files("schemas") / "value-aliases.v1.json").read_bytes())["fields"]
    for name, entry in fields.items():
        if "list" not in entry:
            assert name == "is_member"
            continue
        codes = [code.code for code in lists[entry["list"]].codes]
        extra = set(codes) - set(entry["codes"])
        assert set(entry["codes"]) <= set(codes), name
        assert extra <= {"_U"}, name
        assert ("_U" in codes) == (name != "status"), "whoever has no status cannot be counted"


def test_age_bands_follow_one_another() -> None:
    bands = load_catalogue().codelists["CL_AGE_BAND"].codes[:-1]
    assert [band.at_least for band in bands] == [0, 35, 45, 55]
    assert [band.below for band in bands[:-1]] == [band.at_least for band in bands[1:]]


def test_a_dimension_whose_list_does_not_end_with_unknown_is_refused() -> None:
    lists = json.loads(load_data("codelists"))
    next(item for item in lists["lists"] if item["id"] == "CL_GENDER")["codes"].pop()
    with pytest.raises(GonghuiError, match="catalogue-refused"):
        read_catalogue(load_data("catalogue"), json.dumps(lists).encode())
