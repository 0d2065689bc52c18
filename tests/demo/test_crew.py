"""The processes of a demo end with it, however it ends, and its folder goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from node.demo.crew import Crew
from node.demo.words import DemoFailed
from tests.cli.conftest import environment

SCRIPT = """
import sys, time
from pathlib import Path
from node.demo.crew import Crew
crew = Crew()
crew.__enter__()
crew.type("init", crew.folder / "n", "--json")
served = crew.serve(crew.folder / "n" / "config.toml", 0)
print(crew.folder, served.process.pid, crew._guardian.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    """Tell whether the process runs; one that has ended and was not yet asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _gone(*pids: int, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while any(map(_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def test_leaving_ends_the_nodes_and_removes_the_folder() -> None:
    with Crew() as crew:
        founded = crew.type("init", crew.folder / "n", "--name", "某学院", "--json")
        served = crew.serve(crew.folder / "n" / "config.toml", 0)
        told = httpx.get(f"{served.url}/.well-known/gonghui", trust_env=False).json()
        assert told["node"] == founded["node_id"]
        assert os.getpgid(served.process.pid) != os.getpgid(0)
    assert served.process.returncode == 0
    assert not crew.folder.exists()


def test_a_demo_that_is_killed_leaves_nothing() -> None:
    demo = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=environment())
    assert demo.stdout is not None
    folder, node, guardian = demo.stdout.readline().split()
    assert Path(folder).exists()
    assert _alive(int(node))
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    demo.stdout.close()
    assert _gone(int(node), int(guardian))
    assert not Path(folder).exists()


def test_another_demo_is_not_touched() -> None:
    with Crew() as first:
        first.type("init", first.folder / "n", "--json")
        served = first.serve(first.folder / "n" / "config.toml", 0)
        with Crew() as second:
            assert second.folder != first.folder
        assert _alive(served.process.pid)
        assert first.folder.exists()


def test_what_a_command_says_is_passed_on() -> None:
    with Crew() as crew:
        crew.type("init", crew.folder / "n", "--json")
        with pytest.raises(DemoFailed, match="node-exists") as caught:
            crew.type("init", crew.folder / "n", "--json")
        assert caught.value.exit_code == 7
        (crew.folder / "n" / "config.toml").write_text("[no]\n", encoding="utf-8")
        with pytest.raises(DemoFailed, match="serve-failed"):
            crew.serve(crew.folder / "n" / "config.toml", 0)
