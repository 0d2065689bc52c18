"""Commands as processes that are forked from one which has read the program already: a start costs milliseconds.

    server   reads the program once, then forks a process for each command it is asked for
    client   an executable that asks it: `gonghui WORDS`, or `python -m node WORDS` for whoever starts that

The process has the caller's words, folder, environment and open files; signals go through, it ends with its caller, and
its caller ends as it did. What a start itself must do (its imports, the guard of the import names) is tested with real
starts.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return our environment without our settings, for a process of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GONGHUI_")}
    return {**kept, "PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1"}


@dataclass(frozen=True)
class Forked:
    """Two executables that start commands by fork."""

    gonghui: str
    python: str  # takes `-m node` so; everything else it hands to the real one


@contextmanager
def forking(folder: Path) -> Iterator[Forked]:
    """Run the server while the block runs; `folder` holds its socket and the executables."""
    written = Forked(str(folder / "gonghui"), str(folder / "python"))
    text = (Path(__file__).parent / "client.py").read_text(encoding="utf-8")
    for file in (written.gonghui, written.python):
        Path(file).write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
        Path(file).chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.forked.server", folder / "socket", written.python],
        cwd=_ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        if server.stdout is None or server.stdout.readline() != b"ready\n":
            raise OSError
        yield written  # then its standard input closes: the server ends, and what it has started with it
