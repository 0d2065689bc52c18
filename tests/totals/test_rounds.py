"""Rounds of twelve colleges and two aggregators: exact totals, or a clear state and never a wrong total."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.catalogue import dims_key
from federation.dossier import read_collected
from federation.errors import Conflict, NotPermitted
from federation.history import OpenedTotal
from federation.rounds import CLOSE, CONTRIBUTE, PARTIAL, TOTAL, VERIFY
from federation.secretsum import OPENED
from node.app import create_app
from node.cli.privacy import _keys
from node.indicators.ledger import audit_collected
from node.totals import service, vault
from node.totals.board import load_board
from node.totals.turns import Turn
from node.totals.words import CONSENT, STATES
from tests.cli.conftest import Gonghui
from tests.conftest import LONG
from tests.releases.conftest import ANN, BEN, Office
from tests.totals.conftest import FAMILY, PERIOD, ROOT, Province
from tests.web.conftest import Browser


def secrets_of(province: Province) -> list[str]:
    return [path.name for node in province.nodes for path in (node.folder / vault.FOLDER).glob("*")]


def test_a_round_ends_in_exact_totals_that_everybody_has_verified(
    province: Province,
    gonghui: Gonghui,
    tmp_path: Path,
    attack: Callable[..., None],
) -> None:
    (tmp_path / "token").write_text(BEN.name, encoding="utf-8")
    token = ("--token-file", tmp_path / "token")
    college = ("--config", province.colleges[0].folder / "config.toml", *token, "privacy")
    assert "不参加" not in gonghui(*college, "contribute", "status").out
    assert "尚未发起" in gonghui(*college, "open", "--period", PERIOD).out
    assert province.begin() == 1
    said = [step for _, step in province.run()]
    assert (said.count(CONTRIBUTE), said.count(VERIFY), said.count(CLOSE), said.count(TOTAL)) == (12, 12, 2, 2)
    truth = province.truth()
    for node in (province.hub, province.second, province.colleges[0], province.colleges[11]):
        look = province.look(node)
        assert (look.state, look.destroyed, len(look.contributors)) == (OPENED, True, 12)
        assert len(look.published) > 30
        assert all(truth[name] == value for name, value in look.published.items()), "error 0"
        assert {*look.withheld}.isdisjoint(look.published)
    assert secrets_of(province) == [], "round keys are destroyed"
    with pytest.raises(Conflict, match="period-frozen"):  # beside a total a correction would tell what it hides
        Office(province.colleges[1], province.federation).prepare(PERIOD, reason="更正")
    said_by_command = gonghui(*college, "open", "--period", PERIOD, "--json")
    assert said_by_command.code == 0, said_by_command.error
    told = {(cell["indicator"], cell["dims"]): cell["value"] for cell in said_by_command.json["published"]}
    assert told == province.look(province.hub).published
    shown = gonghui(*college[:-1], "query", "MEM_STAFF_CNT", "--period", PERIOD, "--dims", "all", "--rollup", "--json")
    rows = {dims_key(row["dims"]): row for row in shown.json}
    exact = {dims: row["value"] for dims, row in rows.items() if row["status"] == "exact"}
    assert len(exact) > 10
    assert all(told["MEM_STAFF_CNT", dims] == value for dims, value in exact.items())
    assert all(rows[dims]["value"] == value for (code, dims), value in told.items() if code == "MEM_STAFF_CNT")
    look_at_pages(province, told)
    if LONG or "GONGHUI_REPORT" in os.environ:
        control = audit_from_outside(province, told, gonghui, tmp_path)
        attack(
            "all signed files of twelve colleges and the totals over them",
            product=f"0 cells, of {len(told)} totals published",
            control=f"{control} cells, every total published",
        )
    assert gonghui(*college, "open", "--period", "2025-09").code == 3
    assert gonghui(*college, "aggregate", "--period", PERIOD).code == 4
    with pytest.raises(Conflict, match="attempt-open"):
        province.begin()


def audit_from_outside(province: Province, told: dict[tuple[str, str], int], gonghui: Gonghui, tmp_path: Path) -> int:
    """Audit everything with the signed files alone: no cell is open; return how many are where all totals are told."""
    hub = ("--config", province.hub.folder / "config.toml", "--token-file", tmp_path / "token", "privacy")
    assert gonghui(*hub, "ledger", "--everybody").code == 2
    assert gonghui(*hub, "ledger", "--everybody", "--out", tmp_path / "files").code == 0
    said = gonghui("privacy", "audit", "--history", tmp_path / "files", "--json")
    assert said.code == 0, said.out
    assert (said.json["releases"], said.json["totals"]) == (12, len(told))
    files = [path.read_bytes() for path in (tmp_path / "files").glob("*.json")]
    collected = read_collected(files, _keys(tmp_path / "files"))
    inside = frozenset(college.node_id for college in province.colleges)
    naive = [OpenedTotal(PERIOD, name, value, inside) for name, value in province.truth().items()]
    found = audit_collected(replace(collected, totals=tuple(naive))).findings
    assert len(found) > 10, "the audit can find: every total is published"
    return len(found)


def look_at_pages(province: Province, told: dict[tuple[str, str], int]) -> None:
    """Let an approver see totals and step back on the page; let the hub's page begin no second one."""
    browser = Browser(province.colleges[0], create_app(province.colleges[0]))
    assert browser.sign_in(BEN.name).status_code == 303
    page = browser.get(f"/indicators/MEM_STAFF_CNT?period={PERIOD}&table=T")
    assert page.text.count("Σ ") > 3
    own_tables = page.text.partition("各校公布的表")[2].partition("</table>")[0]
    assert all(college.settings.node.name in own_tables for college in province.colleges)
    page = browser.get("/totals")
    assert all(f">Σ {value}</td>" in page.text for value in told.values())
    assert STATES[OPENED].zh in page.text
    assert CONSENT.zh in page.text
    page = browser.follow(browser.send(page, "/totals/contribute"))
    assert "参加合计" in page.text, "he has stepped back, and may come again"
    browser.client.close()
    browser = Browser(province.hub, create_app(province.hub))
    assert browser.sign_in(ROOT.name).status_code == 303
    refused = browser.send(browser.get("/totals"), "/totals/begin", period=PERIOD)
    assert refused.status_code == 409
    assert "同一期不得再开" in refused.text
    browser.client.close()


@pytest.mark.skipif(not LONG, reason="long form: make soak")
def test_a_round_is_the_same_on_postgresql(province_on_server: Province) -> None:
    province_on_server.begin()
    province_on_server.run()
    truth = province_on_server.truth()
    for node in province_on_server.nodes[:4]:
        look = province_on_server.look(node)
        assert (look.state, len(look.contributors)) == (OPENED, 12)
        assert len(look.published) > 30
        assert all(truth[name] == value for name, value in look.published.items())


@pytest.mark.skipif(not LONG, reason="long form: make soak")
def test_an_aggregator_that_is_down_between_any_two_steps_holds_the_round_up_and_spoils_nothing(
    province: Province,
) -> None:
    province.begin()
    for _ in range(20):
        province.run(without=(province.second,))
        province.spread()
        if not service.advance(province.second):
            break
        files = [path for path in (province.second.folder / vault.FOLDER).glob("*") if path.is_file()]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    province.run()
    look = province.look(province.colleges[3])
    assert look.state == OPENED
    assert all(province.truth()[name] == value for name, value in look.published.items())


class LiesOfItsSum(Turn):
    """Adds one to a cell of every share before it commits to the sum."""

    def _shares(self, round_: Any, held: vault.Held) -> dict[str, Any]:
        shares = super()._shares(round_, held)
        first = sorted(shares)[0]
        shares[first] = shares[first].copy()
        shares[first][3] += 1
        return shares

    def _values(self, round_: Any, held: vault.Held) -> dict[str, Any] | None:
        self._shares = super()._shares  # type: ignore[method-assign]  # it passes the tests with what was sent
        return super()._values(round_, held)


class ChangesItsMind(Turn):
    """Sends another partial sum than the one it committed to."""

    def _partial(self, round_: Any, held: vault.Held) -> dict[str, Any] | None:
        honest = self._shares

        def shares(*arguments: Any) -> dict[str, Any]:
            found = honest(*arguments)
            first = sorted(found)[0]
            found[first] = found[first].copy()
            found[first][0] += 5
            return found

        self._shares = shares  # type: ignore[method-assign, assignment]
        return super()._partial(round_, held)


@pytest.mark.parametrize(("place", "liar"), [(0, LiesOfItsSum), (1, ChangesItsMind)] if LONG else [(0, LiesOfItsSum)])
def test_a_sum_that_an_aggregator_changed_is_shown_by_nobody(
    province: Province, liar: type[Turn], place: int, attack: Callable[..., None]
) -> None:
    province.begin()
    liars = {province.nodes[place].node_id: liar}
    province.run(liars=liars)
    looks = [province.look(node) for node in province.nodes]
    assert {look.state for look in looks} == {"destroyed"}
    assert all(look.published == {} for look in looks)
    assert secrets_of(province) == []
    with pytest.raises(Conflict, match="attempt-open"):
        province.begin()
    attack(
        "one aggregator of a real federation, which changes its sum",
        product="no node shows a total",
        control="-",
    )


class OwnFigures(Turn):
    """Contributes other counts than those it has released."""

    def _counts(self) -> dict[tuple[str, str], int]:
        return {name: value + 7 for name, value in super()._counts().items()}


@pytest.mark.skipif(not LONG, reason="long form: make soak")
def test_a_contribution_that_contradicts_its_release_is_found_before_anything_is_opened(province: Province) -> None:
    province.begin()
    said = province.run(liars={province.colleges[5].node_id: OwnFigures})
    look = province.look(province.hub)
    assert look.reason == "contribution-contradicts"
    with pytest.raises(Conflict, match="release-unchanged"):  # given up: not frozen any more
        Office(province.colleges[5], province.federation).prepare(PERIOD, reason="更正")
    assert PARTIAL not in {step for _, step in said}


@pytest.mark.skipif(not LONG, reason="long form: make soak")
def test_an_aggregator_that_lost_its_keys_gives_up_and_the_next_attempt_is_exact(province: Province) -> None:
    province.begin()
    province.run(without=tuple(province.colleges[6:]))
    for path in (province.second.folder / vault.FOLDER).glob("*"):
        path.unlink()
    with pytest.raises(Conflict, match="attempt-open"):
        province.begin()
    province.run()
    look = province.look(province.hub)
    assert (look.attempt, look.reason, look.published) == (1, "round-key-lost", {})
    assert province.begin() == 2
    province.run()
    look = province.look(province.colleges[0])
    assert (look.attempt, look.state) == (2, OPENED)
    assert all(province.truth()[name] == value for name, value in look.published.items())


@pytest.mark.skipif(not LONG, reason="long form: make soak")
def test_a_college_that_does_not_come_is_named_and_its_block_left_out(province: Province) -> None:
    missing = province.colleges[2]
    province.begin()
    province.run(without=(missing,))
    look = province.look(province.hub)
    assert (look.state, look.awaited) == ("collecting", (missing.node_id,))
    service.give_up(province.hub, ROOT, FAMILY, PERIOD)
    province.run(without=(missing,))
    assert province.look(province.second).state == "destroyed"
    assert service.begin(province.hub, ROOT, FAMILY, PERIOD, leave_out=[missing.node_id]) == 2
    province.run(without=(missing,))
    look = province.look(province.hub)
    assert look.state == OPENED
    assert len(look.contributors) == 6
    assert missing.node_id not in look.contributors


def test_a_hub_cannot_vouch_for_whom_it_has_invented(province: Province) -> None:
    """Without the second body's word there is no block; with five of its words neither."""
    service.vouch(province.second, ROOT, FAMILY, [college.node_id for college in province.colleges[:5]])
    province.spread()
    with pytest.raises(Conflict, match="cohort-too-small"):
        province.begin()


def test_each_role_says_only_what_is_its_own(province: Province) -> None:
    college = province.colleges[0]
    with pytest.raises(NotPermitted, match="not-permitted"):
        service.consent(college, ANN, FAMILY, on=True)
    with pytest.raises(NotPermitted, match="not-second-body"):
        service.vouch(college, ROOT, FAMILY, [college.node_id])
    with pytest.raises(NotPermitted, match="not-hub"):
        service.begin(college, ROOT, FAMILY, PERIOD)
    with pytest.raises(Conflict, match="aggregator-contributes"):
        service.consent(province.hub, BEN, FAMILY, on=True)
    service.consent(college, BEN, FAMILY, on=False)
    with college.database.read() as session:
        assert college.node_id not in load_board(session, college, FAMILY).consenting()
