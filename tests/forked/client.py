"""Asks the server beside this file for a process and is what that is: its signals, its end. Standard library alone."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

HERE = Path(__file__).parent
REAL = Path(sys.executable)


def main() -> None:
    """Start a command by fork, or hand over to the real Python where something else is wanted."""
    words = sys.argv[1:]
    if Path(__file__).name == "python":
        if words[:2] != ["-m", "node"]:
            os.execv(REAL, [str(REAL), *words])  # noqa: S606
        words = words[2:]
    asked = json.dumps({"words": words, "folder": str(Path.cwd()), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(HERE / "socket"))
        socket.send_fds(line, [len(asked).to_bytes(4, "big")], [0, 1, 2])
        line.sendall(asked)
        child = int.from_bytes(line.recv(4), "big")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.kill(child, number))
        ended = line.recv(4)
    code = int.from_bytes(ended, "big", signed=True) if ended else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
