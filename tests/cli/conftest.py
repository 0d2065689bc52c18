"""The command as a script runs it: a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GONGHUI_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


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
def gonghui() -> Gonghui:
    """Run one command to its end."""

    def run(*words: str | Path, **options: Any) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "node", *map(str, words)],
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
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start `gonghui serve` on a free port; it is ended with the test."""
    running: list[Served] = []

    def start(config: Path, *words: str) -> Served:
        log = tmp_path / f"serve{len(running)}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "node", "--config", str(config), "serve", "--port", "0", "--json", *words],
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
