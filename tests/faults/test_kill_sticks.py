"""kill -9 at every step of a stick's way: the same command given again goes on, and nothing is lost or doubled.

One college uses sticks alone; the other is on the network, so that what comes by stick also goes on from the hub.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.checks import check_healed
from tests.faults.conftest import LONG
from tests.faults.federation import Folder, Nodes
from tests.faults.process import Around, Ended
from tests.faults.steps import AFTER, BEFORE, Stop

PHASES = ("export", "import at the hub", "export at the hub", "import")
SEEDS = range(40) if LONG else range(2)
Copied = Callable[[Nodes], Nodes]
Note = Callable[[str, object], None]
Counts = dict[str, dict[str, int]]


class Courier:
    """Who carries sticks between a college and the hub; each has another number."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.nodes, self.folder, self.number = nodes, folder, 0
        self.ids = {}
        for name in ("hub", "ann"):
            with nodes[name].opened() as node:
                self.ids[name] = node.node_id

    def export(self, giver: Folder, to: str, around: Around | None = None) -> tuple[Ended, Path]:
        self.number += 1
        stick = self.folder / f"{self.number}.bundle"
        words = ("bundle", "export", "--json", "--to", self.ids[to], "--out", str(stick))
        return giver.gonghui(*words, around=around).wait(), stick

    def take(self, taker: Folder, *sticks: Path, around: Around | None = None) -> Ended:
        return taker.gonghui("bundle", "import", "--json", *map(str, sticks), around=around).wait()

    def trip(self, around: dict[str, Around]) -> dict[str, int]:
        """Go to the hub and back. After a kill a command is given once more, on a new stick where it writes one."""
        ended = {}
        ann, hub = self.nodes["ann"], self.nodes.hub
        for giver, to, out, into in ((ann, "hub", *PHASES[:2]), (hub, "ann", *PHASES[2:])):
            done, stick = self.export(giver, to, around.get(out))
            ended[out] = done.code
            sticks = [stick] if stick.exists() else []
            if done.code != 0:
                again, stick = self.export(giver, to)
                assert again.code == 0, again.error
                sticks.append(stick)
            taker = self.nodes["hub"] if to == "hub" else ann
            ended[into] = self.take(taker, sticks[-1], around=around.get(into)).code
            if ended[into] != 0:
                assert self.take(taker, sticks[-1]).code == 0
        return ended


@pytest.fixture(scope="session")
def worked(three: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    nodes = three.copy(tmp_path_factory.mktemp("worked"))
    for college in nodes.colleges:
        assert college.work().code == 0
    nodes.end()
    return nodes


@pytest.fixture(scope="session")
def carried(worked: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    folder = tmp_path_factory.mktemp("carried")
    nodes = worked.copy(folder)
    files = {phase: folder / f"{phase}.json" for phase in PHASES}
    try:
        ended = Courier(nodes, folder).trip({phase: Around(counts=file) for phase, file in files.items()})
        assert ended == dict.fromkeys(PHASES, 0)
    finally:
        nodes.end()
    return {phase: json.loads(file.read_text()) for phase, file in files.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_on_a_sticks_way_loses_and_doubles_nothing(
    worked: Nodes, copied: Copied, carried: Counts, tmp_path: Path, record_property: Note, seed: int
) -> None:
    dice = random.Random(1000 + seed)  # noqa: S311  a test's dice
    phase = PHASES[seed % len(PHASES)]
    step = dice.choice(sorted(carried[phase]))
    stop = Stop(step, dice.randint(1, carried[phase][step]), dice.choice([BEFORE, AFTER]))
    nodes = copied(worked)
    told = tmp_path / "stopped"
    courier = Courier(nodes, tmp_path)
    ended = courier.trip({phase: Around(stop=stop, stopped=told)})
    assert told.exists(), (phase, stop)
    assert ended[phase] == -9, (phase, stop)
    nodes.serve_hub()
    assert nodes["ben"].sync().code == 0
    for _ in range(2):  # what ben has said goes to ann, and her receipts and the hub's cross
        assert set(courier.trip({}).values()) == {0}
    check_healed(nodes)
    record_property("kill", f"{phase}, {stop.when} {stop.step}")
