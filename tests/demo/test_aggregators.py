"""Exact totals with both aggregators in processes of their own: one is killed, then one lies.

Six colleges, hub and second body of a real demo, everything over HTTP. The liar is the program itself, in which one
method adds one to a share before the sum is committed to.
"""

import subprocess
import sys
import textwrap
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from node.demo.crew import Crew
from node.demo.rosters import CollegePlan, Roster
from node.demo.served import ServedOffice
from node.demo.show import Show
from node.demo.stage import FAMILY, Stage
from tests.conftest import LONG
from tests.demo.test_whole import TITLES

pytestmark = pytest.mark.skipif(not LONG, reason="long form: make soak")
DAYS = (date(2023, 9, 30), date(2024, 9, 30))
COLLEGES = 6
LIAR = """
    import sys
    from node.totals import turns

    honest = turns.Turn._shares

    def shares(self, round_, held):
        found = honest(self, round_, held)
        first = sorted(found)[0]
        found[first] = found[first].copy()
        found[first][2] += 1
        return found

    def values(self, round_, held):
        turns.Turn._shares = honest
        try:
            return truthful(self, round_, held)
        finally:
            turns.Turn._shares = shares

    turns.Turn._shares, truthful, turns.Turn._values = shares, turns.Turn._values, values
    from node.cli import main

    sys.argv[0] = "gonghui"
    main()
"""


def _plan(folder: Path, number: int) -> CollegePlan:
    titles, persons = list(TITLES)[:3], range(30 + 7 * number)
    rows = [
        f"{number}{n:03d},{'男' if n % 3 else '女'},{titles[n % 7 % 3]},在职,{'否' if n % 9 == 8 else '是'}"
        for n in persons
    ]
    file = folder / f"{number}.csv"
    file.write_text("\n".join(["工号,性别,职称,状态,是否会员", *rows]), encoding="utf-8")
    return CollegePlan(f"学院{number}", tuple(Roster(file, day) for day in DAYS))


def _truth(plans: list[CollegePlan]) -> Counter[str]:
    """Count staff by gender and title, from the rosters' own lines."""
    rows = [line.split(",") for plan in plans for line in plan.rosters[0].file.read_text("utf-8").splitlines()[1:]]
    truth: Counter[str] = Counter()
    for _, gender, title, *_ in rows:
        by = f"G={'1' if gender == '男' else '2'}", f"T={TITLES[title]}"
        truth.update(("", *by, ";".join(by)))
    return truth


def _end(office: ServedOffice, crew: Crew) -> None:
    """Kill the server of a node as a power cut does; it holds no port any more."""
    served = [one for one in crew._served if one.url == office.url][-1]
    served.process.kill()
    served.process.wait()


def test_one_aggregator_is_killed_and_then_one_lies(tmp_path: Path) -> None:
    plans = [_plan(tmp_path, number) for number in range(COLLEGES)]
    with Crew() as crew, Show(Console(quiet=True)) as show:
        stage = Stage(crew, show, plans, today=date(2024, 12, 1), interval=86_400)
        stage.found()
        stage.release()
        stage.exchange()
        stage.fetch()
        second = stage.second
        assert second is not None
        port = int(second.url.rpartition(":")[2])
        stage.agree(second)

        earlier, later = stage.periods
        stage.hub.begin_total(FAMILY, earlier)
        second.sync()
        stage.contribute()
        _end(second, crew)
        stage.contribute()  # the others go on while it is away
        stage.hub.sync()
        assert stage.hub.total(FAMILY, earlier)["state"] == "collecting"
        crew.serve(second.node.config, port)
        stage.carry_total(second, earlier)
        found = stage.hub.total(FAMILY, earlier)
        told = {cell["dims"]: cell["value"] for cell in found["published"] if cell["indicator"] == "MEM_STAFF_CNT"}
        assert (found["state"], len(found["contributors"])) == ("opened", COLLEGES)
        truth = _truth(plans)
        assert len(told) > 3
        assert {dims: truth[dims] for dims in told} == told

        _end(second, crew)
        liar = tmp_path / "liar.py"
        liar.write_text(textwrap.dedent(LIAR), encoding="utf-8")
        command = [
            sys.executable,
            str(liar),
            "--config",
            str(second.node.config),
            "serve",
            "--port",
            str(port),
            "--json",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lying:
            try:
                assert lying.stdout is not None
                while "}" not in lying.stdout.readline():
                    assert lying.poll() is None
                stage.hub.begin_total(FAMILY, later)
                stage.carry_total(second, later)
            finally:
                lying.kill()
        for office in (stage.hub, *(one for one in stage.colleges if isinstance(one, ServedOffice))):
            assert office.total(FAMILY, later)["published"] == []
        assert stage.hub.total(FAMILY, later)["state"] == "destroyed"
        assert stage.hub.total(FAMILY, earlier)["published"] == found["published"]
