"""What the other tests rest on: a forked command ends with its caller, as its caller, and takes its place and words."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from node.founding import found_node
from tests.cli.conftest import Served
from tests.forked import Forked, environment


def _answers(url: str) -> bool:
    try:
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 80), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_command_whose_caller_is_killed_ends(tmp_path: Path, serve: Callable[..., Served]) -> None:
    made = found_node(tmp_path / "n", {"sync.enabled": False}, admin="admin")
    served = serve(made.config)
    assert _answers(served.url)
    served.process.send_signal(signal.SIGKILL)
    assert served.process.wait(20) == -signal.SIGKILL
    until = time.monotonic() + 20
    while _answers(served.url) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _answers(served.url)
    again = serve(made.config)
    assert again.stop() == 0


def test_words_folder_environment_and_files_are_the_callers(tmp_path: Path, forked: Forked) -> None:
    def run(*command: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=tmp_path, env=environment() | changed, capture_output=True, text=True, check=False
        )

    told = run(forked.gonghui, "init", "n", "--json")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "n" / "config.toml").exists()
    refused = run(forked.python, "-m", "node", "--lang", "en", "user", "list", GONGHUI_CONFIG="n/config.toml")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.startswith("token-missing Name the token file")
    other = run(forked.python, "-c", "import sys, os; print(sys.executable, os.getcwd())")
    assert other.stdout.split() == [sys.executable, os.path.realpath(tmp_path)]
