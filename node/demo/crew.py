"""Processes of one demo: commands that are typed, and nodes that serve, all in the guardian's process group.

They hear no Ctrl-C themselves (their group is not the terminal's): the demo hears it and ends them in order. If the
demo is killed, the guardian ends them.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from node.demo import guardian
from node.demo.words import DemoFailed

_START_SECONDS = 60
_COMMAND_SECONDS = 300
_STOP_SECONDS = 10
_TAIL = 2000


@dataclass
class Served:
    """A node that serves at `url`."""

    url: str
    process: "subprocess.Popen[str]"
    log: Path


@dataclass
class Crew:
    """The folder and processes of one run; leaving it ends the processes and removes the folder."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gonghui-demo-")))
    at_end: ExitStack = field(default_factory=ExitStack)  # what else is closed, before the processes end
    _served: list[Served] = field(default_factory=list)

    def __enter__(self) -> Self:
        alive, self._alive = os.pipe()
        try:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, str(self.folder), str(alive)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[alive],
                process_group=0,
            )
            if self._guardian.stdout is not None:
                self._guardian.stdout.readline()  # from here on it can be relied on
        finally:
            os.close(alive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes in order, remove the folder; may be called again."""
        self.at_end.close()
        for served in self._served:
            served.process.terminate()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
        for pipe in (self._guardian.stdin, self._guardian.stdout):
            if pipe is not None:
                pipe.close()  # the guardian sees the first of them close and cleans up
        for served in self._served:
            served.process.wait()
            if served.process.stdout is not None:
                served.process.stdout.close()
        self._guardian.wait()

    def type(self, *words: str | Path, ok: tuple[int, ...] = (0,)) -> Any:
        """Run one command to its end and return the JSON that it printed; raise DemoFailed with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "node", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            **self._place(),
        )
        if done.returncode not in ok:
            shown = " ".join(str(word) for word in words if not Path(word).is_absolute())
            told = done.stderr.strip()[-_TAIL:]
            code = told.split(maxsplit=1)[0] if told else "command-failed"
            raise DemoFailed(
                code,
                f"命令 gonghui {shown} 以 {done.returncode} 结束：{told}",
                f"gonghui {shown} ended with {done.returncode}: {told}",
                exit_code=done.returncode if done.returncode > 0 else 1,
            )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def serve(self, config: Path, port: int) -> Served:
        """Start `gonghui serve` and return once it answers; raise DemoFailed with the end of its log."""
        log = config.with_name("serve.log")
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "node", "--config", str(config), "serve", "--port", str(port), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                **self._place(),
            )
        served = Served("", process, log)
        self._served.append(served)
        said = ""
        while "}" not in said:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                told = log.read_text(encoding="utf-8").strip()[-_TAIL:]
                raise DemoFailed(
                    "serve-failed", f"节点没有启动：{told}", f"The node did not start: {told}", exit_code=6
                )
            said += line
        served.url = json.loads(said)["url"]
        return served

    def _place(self) -> dict[str, Any]:
        """Return where a process belongs: our environment without our settings, the guardian's group and pipe."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GONGHUI_")}
        return {
            "env": kept | {"PYTHONUTF8": "1"},
            "process_group": self._guardian.pid,
            "pass_fds": [self._alive],
        }
