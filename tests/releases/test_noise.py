"""A dataflow that the federation protects by cell keys: prepared, approved, taken, audited."""

import json
from typing import Any

import pytest
from sqlmodel import select

from federation.catalogue import load_catalogue
from federation.cellkey import possible_counts
from federation.documents import dump_document
from federation.errors import InputRefused
from federation.history import audit_history, group_contents
from federation.validation import check_schema
from node.exchange.models import SharedFigure
from node.indicators import ledger
from node.indicators.models import Figure
from node.indicators.past import list_published
from node.stream.listed import keep_listed
from node.stream.service import read_content
from tests.releases.conftest import BEN, Office


def agree(office: Office, *choices: dict[str, str], year_epsilon: str = "2") -> None:
    """Let the federation's list say by which noise dataflows are protected."""
    listed = dump_document({"version": 1, "year_epsilon": year_epsilon, "dataflows": list(choices)})
    with office.node.database.write() as session:
        keep_listed(session, office.federation, 2, {"protection.json": listed})


CELLS = {"dataflow": "MEM.all", "method": "cell-key"}


def contents(office: Office) -> list[dict[str, Any]]:
    with office.node.database.read() as session:
        return [read_content(record) for record in list_published(session, office.node)]


def test_every_count_is_told_with_noise_that_says_so(office: Office) -> None:
    agree(office, CELLS)
    office.approve(office.prepare())
    told = {content["dataflow"]: content for content in contents(office)}
    moved = told["MEM.all"]
    assert moved["noise"] == {"method": "cell-key", "bound": 5, "variance": "6"}
    check_schema("release.v2", moved)
    assert "noise" not in told["CON.all"]
    with office.node.database.read() as session:
        true = {(f.indicator, f.dims): f for f in session.exec(select(Figure)).all()}
        shared = session.exec(select(SharedFigure).where(SharedFigure.dataflow == "MEM.all")).all()
    counts = [f for f in shared if f.status == "A" and f.value]
    assert len(counts) > 100
    assert {f.method for f in shared} == {"cell-key"}
    away = [int(f.value) - int(true[f.indicator, f.dims].value) for f in counts]
    assert all(
        low <= int(true[f.indicator, f.dims].value) <= high
        for f in counts
        for low, high in [possible_counts(int(f.value), 5)]
    )
    assert any(away)
    assert not any(0 < int(f.value) < 5 for f in counts)


def test_the_same_persons_are_told_the_same_again(office: Office) -> None:
    agree(office, CELLS)
    first = office.prepare()
    one = {flow.dataflow: flow.digest for flow in office.look(first).flows}
    again = {flow.dataflow: flow.digest for flow in office.look(office.prepare()).flows}
    assert one == again
    office.approve(office.prepare())
    office.approve(office.prepare("2025-Q3"))  # the quarter ends on the same day as the union year
    year, quarter = (
        {
            (o["indicator"], json.dumps(o["dims"])): o.get("value")
            for o in content["observations"]
            if o["indicator"] == "MEM_CNT"
        }
        for content in contents(office)
        if content["dataflow"] == "MEM.all"
    )
    assert year == quarter


def test_the_outside_audit_takes_a_moved_figure_for_what_it_leaves_open(office: Office) -> None:
    agree(office, CELLS)
    office.approve(office.prepare())
    assert not ledger.audit_own(office.node, BEN).findings
    exact = [dict(content) for content in contents(office)]
    for content in exact:
        content.pop("noise", None)
    catalogue = load_catalogue()
    assert audit_history(catalogue, group_contents(catalogue, exact)).findings, "taken for exact, nothing adds up"


def test_a_node_that_moves_what_nobody_agreed_on_is_refused(office: Office) -> None:
    agree(office, CELLS)
    draft = office.prepare()
    agree(office)
    with pytest.raises(InputRefused, match="noise-not-agreed"):
        office.approve(draft)
