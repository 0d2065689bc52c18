"""A dataflow that the federation protects by cell keys: prepared, approved, taken, audited."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from statistics import fmean
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlmodel import select

from federation.catalogue import dims_key, load_catalogue
from federation.cellkey import possible_counts
from federation.documents import dump_document
from federation.errors import Conflict, InputRefused
from federation.history import audit_history, group_contents
from federation.protection import noise_of_budget
from federation.publications import read_publication
from federation.statuses import STATUSES
from federation.validation import check_schema
from node.access import passwords
from node.access.models import Account
from node.app import create_app
from node.context import Node
from node.exchange.models import SharedFigure
from node.indicators import ledger
from node.indicators.budget import list_spent
from node.indicators.models import Figure, FigureSet, NoiseDraw
from node.indicators.past import list_published
from node.papers import write_paper
from node.stream.listed import keep_listed
from node.stream.service import read_content
from node.totals.released import Released, choose_layout
from tests.access.conftest import PASSWORD
from tests.releases.conftest import BEN, Office, open_office, roster_text
from tests.web.conftest import Browser


def agree(office: Office, *choices: dict[str, str], year_epsilon: str = "2") -> None:
    """Let the federation's list say by which noise dataflows are protected."""
    listed = dump_document({"version": 1, "year_epsilon": year_epsilon, "dataflows": list(choices)})
    with office.node.database.write() as session:
        keep_listed(session, office.federation, 2, {"protection.json": listed})


def without_contracts(text: str) -> str:
    """Return a roster without its last column: all that is left to release is told with noise, so it costs little."""
    return "\n".join(line.rpartition(",")[0] for line in text.splitlines())


@pytest.fixture
def plain_office(make_node: Callable[..., Node]) -> Office:
    opened = open_office(make_node())
    opened.load(without_contracts(roster_text(60, seed=4)))
    return opened


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


def test_the_same_persons_are_told_the_same_again(plain_office: Office) -> None:
    office = plain_office
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
    both = [name for name in year if year[name] is not None and quarter[name] is not None]
    assert len(both) > 50
    assert [year[name] for name in both] == [quarter[name] for name in both]


def test_the_outside_audit_takes_a_moved_figure_for_what_it_leaves_open(plain_office: Office) -> None:
    office = plain_office
    agree(office, CELLS)
    office.approve(office.prepare())
    assert not ledger.audit_own(office.node, BEN).findings
    exact = [dict(content) for content in contents(office)]
    for content in exact:
        content.pop("noise", None)
    catalogue = load_catalogue()
    assert audit_history(catalogue, group_contents(catalogue, exact)).findings, "taken for exact, nothing adds up"


def test_a_node_that_moves_what_nobody_agreed_on_is_refused(plain_office: Office) -> None:
    office = plain_office
    agree(office, CELLS)
    draft = office.prepare()
    agree(office)
    with pytest.raises(InputRefused, match="noise-not-agreed"):
        office.approve(draft)


def budgeted(epsilon: str) -> dict[str, str]:
    return {"dataflow": "MEM.all", "method": "differential-privacy", "epsilon": epsilon}


def digests(office: Office, **options: Any) -> dict[str, str]:
    return {flow.dataflow: flow.digest for flow in office.look(office.prepare(**options)).flows}


def test_noise_is_drawn_once_and_taken_from_the_year_and_a_spent_year_computes_nothing(plain_office: Office) -> None:
    office = plain_office
    agree(office, budgeted("40"), year_epsilon="100")
    assert digests(office) == digests(office), "a second draft has the noise of the first"
    [year] = [found for found in list_spent(office.node, BEN) if found.spent]
    assert (year.year, str(year.spent), str(year.left)) == ("2025U", "40", "60")
    office.approve(office.prepare())
    told = contents(office)[-1]
    assert told["noise"]["epsilon"] == "40"
    check_schema("release.v2", told)
    office.approve(office.prepare("2025-Q3"))
    with office.node.database.read() as session:
        computed = session.exec(select(FigureSet)).all()
    with pytest.raises(Conflict, match="budget-spent") as refused:
        office.prepare("2025-09")
    assert refused.value.params["left"] == "20"
    with office.node.database.read() as session:
        assert len(session.exec(select(FigureSet)).all()) == len(computed), "nothing was computed"
    assert not ledger.audit_own(office.node, BEN).findings
    office.prepare("2025-10")  # in the next union year
    assert [(found.year, str(found.left)) for found in list_spent(office.node, BEN)][-2:] == [
        ("2026U", "60"),
        ("2025U", "20"),
    ]


def test_what_is_told_is_the_count_and_noise_of_the_declared_size(plain_office: Office) -> None:
    office = plain_office
    agree(office, budgeted("20"), year_epsilon="100")
    office.approve(office.prepare())
    [told] = [content for content in contents(office) if content["dataflow"] == "MEM.all"]
    with office.node.database.read() as session:
        true = {(f.indicator, f.dims): f.value for f in session.exec(select(Figure)).all()}
        drawn = session.exec(select(NoiseDraw)).one()
    noise = json.loads(drawn.noise)
    for item in told["observations"]:
        if item.get("value") is not None:
            key = dims_key(item["dims"])
            moved = int(true[item["indicator"], key]) + noise.get(f"{item['indicator']}|{key}", 0)
            assert item["value"] == max(moved, 0)
    spread = fmean(value * value for value in noise.values())
    assert spread == pytest.approx(float(told["noise"]["variance"]), rel=0.6)
    assert noise_of_budget(load_catalogue(), "MEM.all", "A", Decimal(20)) == told["noise"]


def test_the_approvers_page_says_what_chance_did_and_what_is_left(
    plain_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)
    passwords._nobodys_hash.cache_clear()
    office = plain_office
    agree(office, budgeted("30"), year_epsilon="100")
    release = office.prepare()
    with office.node.database.write() as session:
        session.get_one(Account, BEN.account_id).password_hash = quick.hash(PASSWORD)
    browser = Browser(office.node, create_app(office.node))
    assert browser.sign_in(BEN.name).status_code == 303
    page = browser.get(f"/releases/{release.id}").text
    assert "differential-privacy ± " in page
    assert "70 / 100" in page
    assert "≈ " in page
    assert "[≥0]" in page, "what an outsider can exclude: nothing for certain"
    browser.follow(browser.send(browser.get(f"/releases/{release.id}"), f"/releases/{release.id}/approve"))
    board = browser.get("/indicators/MEM_CNT?period=2025U").text
    assert re.search(r"≈ \d+ ± \d", board)
    assert STATUSES["noisy"].means.zh in board
    assert STATUSES["noisy"].means.zh in browser.get("/indicators?period=2025U").text
    assert "± " in browser.get("/indicators/MEM_CNT/chart.svg?period=2025U&table=G").text


def test_no_exact_total_stands_beside_figures_that_were_moved(plain_office: Office) -> None:
    agree(plain_office, CELLS)
    plain_office.approve(plain_office.prepare())
    told = read_publication(load_catalogue(), contents(plain_office), "n")
    with pytest.raises(Conflict, match="family-noisy"):
        choose_layout("staff", "2025U", Released(("r",), {"n": told}), ["n"])


def test_the_papers_say_what_leaves_with_noise(plain_office: Office) -> None:
    agree(plain_office, budgeted("0.5"))
    said = write_paper(plain_office.node, BEN, "assessment").text
    assert "MEM.all：差分隐私加噪，每次发布用去每人 ε 0.5，每工会年度共 2" in said
