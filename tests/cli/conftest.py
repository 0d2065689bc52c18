"""The command as a script runs it: a process of its own, forked unless a test is about the start itself."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forked import Forked, environment

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Gonghui = Callable[..., Said]


@pytest.fixture
def gonghui(forked: Forked) -> Gonghui:
    """Run one command to its end; `afresh` starts Python and all."""

    def run(*words: str | Path, afresh: bool = False, **options: Any) -> Said:
        command = [sys.executable, "-m", "node"] if afresh else [forked.gonghui]
        done = subprocess.run(
            [*command, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment(),
            **options,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@dataclass
class Served:
    """A running `gonghui serve`."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def serve(tmp_path: Path, forked: Forked) -> Iterator[Callable[..., Served]]:
    """Start `gonghui serve` on a free port; it is ended with the test. `afresh` starts Python and all."""
    running: list[Served] = []

    def start(config: Path, *words: str, afresh: bool = False) -> Served:
        log = tmp_path / f"serve{len(running)}.log"
        command = [sys.executable, "-m", "node"] if afresh else [forked.gonghui]
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, "--config", str(config), "serve", "--port", "0", "--json", *words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(),
            )
        if process.stdout is None:
            raise OSError
        text = ""
        until = time.monotonic() + 30
        while "}" not in text and time.monotonic() < until:
            line = process.stdout.readline()
            assert line, log.read_text(encoding="utf-8")
            text += line
        running.append(Served(json.loads(text)["url"], process, log))
        return running[-1]

    yield start
    for served in running:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait()
        if served.process.stdout:
            served.process.stdout.close()
