"""Reads the program, then forks a process for each command that is asked for on a socket.

    python -m tests.forked.server SOCKET PYTHON     PYTHON is what the commands take for their interpreter

Whoever asks sends three open files, words, folder and environment; it is told the process's number and how it ended. A
process whose caller is gone is killed, and so are all when our standard input ends.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import tests.faults.preload  # noqa: F401  what every command would otherwise read and work out
from node.cli import main as run_command
from node.cli import make_app


@dataclass(frozen=True, eq=False)
class Started:
    """A process that runs: whoever asked for it, and a pipe that closes when it ends."""

    pid: int
    line: socket.socket
    alive: int


class Server:
    """Starts processes until standard input ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        self._running: set[Started] = set()

    def run(self) -> dict[str, Any] | None:
        """Return, in a forked process, what it is to do; None in this one, at the end."""
        while True:
            for key, _ in self._selector.select():
                started: Started | None = key.data
                if key.fd == 0:
                    self._kill_all()
                    return None
                if started is None:
                    asked = self._start()
                    if asked is not None:
                        return asked
                elif started in self._running:
                    self._end(started, its_caller_is_gone=key.fd != started.alive)

    def _start(self) -> dict[str, Any] | None:
        line, _ = self._listener.accept()
        head, files, _, _ = socket.recv_fds(line, 4, 3)
        if len(files) < 3:  # killed while it asked
            line.close()
            return None
        asked: dict[str, Any] = json.loads(_read(line, int.from_bytes(head, "big")))
        alive, held = os.pipe()
        pid = os.fork()
        if pid == 0:  # which keeps `held` until it ends
            for number, file in enumerate(files):
                os.dup2(file, number)
            for file in [*files, alive, line.detach()]:
                os.close(file)
            self._forget_all()
            return asked
        for file in [*files, held]:
            os.close(file)
        started = Started(pid, line, alive)
        _tell(line, pid)
        self._running.add(started)
        self._selector.register(alive, selectors.EVENT_READ, started)
        self._selector.register(line, selectors.EVENT_READ, started)
        return None

    def _end(self, started: Started, *, its_caller_is_gone: bool) -> None:
        if its_caller_is_gone:
            os.kill(started.pid, signal.SIGKILL)
        _, status = os.waitpid(started.pid, 0)
        if not its_caller_is_gone:
            _tell(started.line, os.waitstatus_to_exitcode(status))
        self._running.remove(started)
        for file in (started.alive, started.line):
            self._selector.unregister(file)
        os.close(started.alive)
        started.line.close()

    def _kill_all(self) -> None:
        for started in self._running:
            os.kill(started.pid, signal.SIGKILL)
            os.waitpid(started.pid, 0)

    def _forget_all(self) -> None:
        """Close, in a forked process, what is the server's."""
        self._selector.close()
        os.close(self._listener.detach())
        for started in self._running:
            os.close(started.alive)
            os.close(started.line.detach())
        self._running.clear()


def _read(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += line.recv(size - len(data))
    return data


def _tell(line: socket.socket, number: int) -> None:
    with suppress(OSError):  # a caller that is gone is seen by its line
        line.sendall(number.to_bytes(4, "big", signed=True))


def become(asked: dict[str, Any], python: str) -> None:
    """Be the command that is asked for; what was worked out of the environment before is worked out anew."""
    os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    time.tzset()
    tempfile.tempdir = None
    sys.executable = python
    sys.argv = ["gonghui", *asked["words"]]
    run_command()


def main() -> None:
    """Serve, or be what was forked."""
    path, python = sys.argv[1:]
    make_app()  # reads every word's module
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        asked = Server(listener).run()
    if asked is not None:
        become(asked, python)


if __name__ == "__main__":
    main()
