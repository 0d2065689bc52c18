"""kill -9 at every step of publish, push, pull and receive, seeded; the same commands given again mend it."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.checks import check_healed
from tests.faults.conftest import LONG
from tests.faults.federation import Nodes
from tests.faults.process import Around
from tests.faults.steps import AFTER, BEFORE, Stop

PHASES = ("publish", "push", "receive", "serve", "pull")
SEEDS = range(200) if LONG else range(3)
Copied = Callable[[Nodes], Nodes]
Note = Callable[[str, object], None]
Counts = dict[str, dict[str, int]]


def run_phases(nodes: Nodes, around: dict[str, Around]) -> dict[str, int]:
    """Let one college publish and push and the other pull; return how each phase ended. A killed hub is restarted."""
    ended = {"publish": nodes["ann"].work(around.get("publish")).code}
    hub = nodes.serve_hub(around.get("receive"))
    ended["push"] = nodes["ann"].sync(around.get("push")).code
    if "serve" in around or not hub.process.is_alive():
        ended["receive"] = hub.stop() if hub.process.is_alive() else hub.wait().code
        hub = nodes.serve_hub(around.get("serve"))
    ended["pull"] = nodes["ben"].sync(around.get("pull")).code
    ended["serve"] = hub.stop() if hub.process.is_alive() else hub.wait().code
    return {"receive": ended["serve"], **ended}


@pytest.fixture(scope="session")
def settled(three: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Nodes:
    """Give a federation in which one college has said all it has to say."""
    nodes = three.copy(tmp_path_factory.mktemp("settled"))
    nodes["ben"].work()
    nodes.serve_hub()
    assert nodes["ben"].sync().code == 0
    nodes.end()
    return nodes


@pytest.fixture(scope="session")
def counted(settled: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    """Rehearse once and count how often each step is taken in each phase."""
    folder = tmp_path_factory.mktemp("counted")
    nodes = settled.copy(folder)
    files = {phase: folder / f"{phase}.json" for phase in PHASES}
    try:
        ended = run_phases(nodes, {phase: Around(counts=file) for phase, file in files.items()})
        assert set(ended.values()) == {0}
        check_healed(nodes)
    finally:
        nodes.end()
    return {phase: json.loads(file.read_text()) for phase, file in files.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    settled: Nodes, copied: Copied, counted: Counts, tmp_path: Path, record_property: Note, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311  a test's dice
    phase = PHASES[seed % len(PHASES)]
    step = dice.choice(sorted(counted[phase]))
    stop = Stop(step, dice.randint(1, counted[phase][step]), dice.choice([BEFORE, AFTER]))
    nodes = copied(settled)
    told = tmp_path / "stopped"
    ended = run_phases(nodes, {phase: Around(stop=stop, stopped=told)})
    assert told.exists(), (phase, stop)
    assert ended[phase] == -9, (phase, stop)
    if phase == "publish":
        assert nodes["ann"].work().code == 0, stop
    nodes.serve_hub()
    for name in ("ann", "ben"):
        assert nodes[name].sync().code == 0, (phase, stop)
    check_healed(nodes)
    record_property("kill", f"{phase}, {stop.when} {stop.step}")
