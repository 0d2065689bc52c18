"""Commands as real processes, forked from one that has read the program already: a start costs milliseconds.

Each process may be given a clock that the test turns while it runs (a file with seconds), a step at which to stop, a
network namespace, and limits of the machine. The command itself is the product's own, word for word.
"""

import ctypes
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults.steps import Stop, count_steps, stop_at

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.preload"])
NEW_NETWORK = 0x40000000  # CLONE_NEWNET


@dataclass(frozen=True)
class Around:
    """What surrounds one process. Empty: an ordinary machine."""

    stop: Stop | None = None
    stopped: Path | None = None  # exists once it was stopped there
    counts: Path | None = None
    clock: Path | None = None  # seconds to add to the time, read at each look
    namespace: str = ""
    file_bytes: int = 0  # no file may grow beyond
    descriptors: int = 0


@dataclass
class Ended:
    """How a process ended: exit code, or minus the signal; what it said."""

    code: int
    out: str
    error: str


@dataclass
class Running:
    """A process that was started, and where its words go."""

    process: BaseProcess
    out: Path
    error: Path
    url: str = field(default="")

    def wait(self, seconds: float = 60) -> Ended:
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(self.error.read_text(encoding="utf-8"))
        return Ended(self.process.exitcode, self.out.read_text("utf-8"), self.error.read_text("utf-8"))

    def kill(self) -> None:
        self.process.kill()
        self.process.join(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.wait(20).code


def start(target: Callable[..., None], *values: Any, around: Around, folder: Path) -> Running:
    """Call `target(*values)` in a process of its own."""
    name = f"{time.monotonic_ns()}"
    out, error = folder / f"{name}.out", folder / f"{name}.err"
    process = CONTEXT.Process(target=_enter, args=(target, values, around, out, error))
    process.start()
    return Running(process, out, error)


def command(*words: str) -> None:
    """Be `gonghui` with these words."""
    from node.cli import main

    sys.argv = ["gonghui", *words]
    main()


def _enter(target: Callable[..., None], values: tuple[Any, ...], around: Around, out: Path, error: Path) -> None:
    for path, descriptor in ((out, 1), (error, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
    if around.namespace:
        _enter_namespace(around.namespace)
    if around.file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (around.file_bytes, around.file_bytes))
    if around.clock is not None:
        _turn_clock(around.clock)
    if around.counts is not None:
        count_steps(around.counts)
    if around.stop is not None and around.stopped is not None:
        stop_at(around.stop, around.stopped)
    target(*values)


def _enter_namespace(name: str) -> None:
    with Path(f"/run/netns/{name}").open("rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def _turn_clock(file: Path) -> None:
    import node.context
    from node.clock import now

    def turned() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text()))

    for module in list(sys.modules.values()):
        if module.__name__.startswith("node") and vars(module).get("now") is now:
            module.now = turned  # type: ignore[attr-defined]
    opened = node.context.open_node.__defaults__
    node.context.open_node.__defaults__ = tuple(turned if value is now else value for value in opened or ())
