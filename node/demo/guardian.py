"""Ends every process of one demo and removes its folder, whatever becomes of the demo itself.

Run as a script with the standard library alone. All processes of a demo belong to this process's group and hold the
writing end of one pipe; the demo alone holds the writing end of our standard input. When that closes (the demo has
ended, or was killed) the group is asked to end, waited for until nobody holds the pipe, and the folder removed; the
last act ends the group by force, this process with it. No process number is ever remembered, so no other is hit.
"""

import os
import select
import shutil
import signal
import sys
import time

GRACE_SECONDS = 8.0


def main() -> None:
    """Wait for the demo to end, then clean up. Arguments: the folder, the number of the pipe's reading end."""
    folder, alive = sys.argv[1], int(sys.argv[2])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    select.select([alive], [], [], GRACE_SECONDS)  # readable when the last writing end is closed
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):  # noqa: PTH110  pathlib would be the slowest import here
            break
        time.sleep(0.1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
