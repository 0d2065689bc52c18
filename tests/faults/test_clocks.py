"""Clocks that are wrong, that step back, and a peer that is dead for 14 days: said plainly, and nothing is lost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import col, select

from node.context import open_node
from node.stream.models import Peer
from tests.faults.checks import check_healed
from tests.faults.federation import Folder, Nodes, publish_notice
from tests.faults.process import Around

Copied = Callable[[Nodes], Nodes]
MINUTE, DAY = 60, 86_400
DAYS = 14


class Clocks:
    """A clock for each node, turned while its processes run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def around(self, name: str) -> Around:
        file = self.folder / f"{name}.clock"
        if not file.exists():
            self.turn(name, 0)
        return Around(clock=file)

    def turn(self, name: str, seconds: float) -> None:
        draft = self.folder / f"{name}.draft"
        draft.write_text(str(seconds))
        draft.rename(self.folder / f"{name}.clock")


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    return Clocks(tmp_path)


def code_of(folder: Folder, around: Around) -> str:
    [result] = json.loads(folder.sync(around).out)
    return str(result["code"])


def test_a_clock_forty_minutes_off_and_one_that_steps_back(three: Nodes, copied: Copied, clocks: Clocks) -> None:
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    nodes.serve_hub(clocks.around("hub"))
    for minutes in (40, -40):
        clocks.turn("ann", minutes * MINUTE)
        assert ann.work(clocks.around("ann")).code == 0
        assert code_of(ann, clocks.around("ann")) == "clock-skew"
        with ann.opened() as node:
            publish_notice(node, 30 + minutes)
    # what a wrong clock has dated counts for nothing but its date: set right, all of it is taken
    clocks.turn("ann", 0)
    assert code_of(ann, clocks.around("ann")) == ""
    # the hub's clock steps back in the middle, and the others' with it or not
    assert ben.work(clocks.around("ben")).code == 0
    clocks.turn("hub", -40 * MINUTE)
    assert code_of(ben, clocks.around("ben")) == "clock-skew"
    clocks.turn("ben", -40 * MINUTE)
    assert code_of(ben, clocks.around("ben")) == ""
    clocks.turn("ben", 0)
    clocks.turn("hub", 0)
    for folder in (ann, ben):
        assert code_of(folder, clocks.around(folder.name)) == ""
    check_healed(nodes)


def live_days(config: str, clock: str, days: int) -> None:
    """Publish a notice a day and let the scheduler's round run twice a day, without a hand."""
    from node.exchange.sync import run_round
    from node.handlers import HANDLERS

    node = open_node(Path(config))
    for day in range(days):
        for half in (0.25, 0.75):
            Path(clock).write_text(str((day + half) * DAY))
            if half < 0.5:
                publish_notice(node, 100 + day)
            for result in run_round(node, HANDLERS):
                print(result.state, result.code)  # noqa: T201  the test reads it


def test_a_hub_that_is_dead_for_fourteen_days(three: Nodes, copied: Copied, clocks: Clocks) -> None:
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    ann.set(exchange_connect_timeout_seconds=0.5)
    around = clocks.around("ann")
    lived = ann.start(live_days, str(ann.config), str(around.clock), DAYS, around=around).wait(120)
    assert lived.code == 0, lived.error
    assert lived.out.split("\n")[:-1] == ["failed peer-unreachable"] * (2 * DAYS)  # the longest wait is six hours
    with ann.opened() as node, node.database.read() as session:
        row = session.exec(select(Peer).where(col(Peer.is_hub))).one()
    assert row.failures == 2 * DAYS
    for name in ("hub", "ben"):
        clocks.turn(name, DAYS * DAY)
    nodes.serve_hub(clocks.around("hub"))
    clocks.turn("ann", DAYS * DAY)
    live = ann.start(one_round, str(ann.config), around=around).wait()
    assert live.out.strip() == "ok", live.error
    for folder in (ann, ben):
        folder.work(clocks.around(folder.name))
        assert code_of(folder, clocks.around(folder.name)) == ""
    assert code_of(ann, around) == ""
    assert check_healed(nodes)["receipts"] >= DAYS


def one_round(config: str) -> None:
    """Run one round as the scheduler does."""
    from node.exchange.sync import run_round
    from node.handlers import HANDLERS

    [result] = run_round(open_node(Path(config)), HANDLERS)
    print(result.state)  # noqa: T201  the test reads it
