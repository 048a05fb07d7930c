"""Ends what a supervisor leaves behind when it is killed outright: `python -m service.cli.local.reaper FOLDER`.

Its standard input is a pipe from the supervisor: `+PID` and `-PID` lines name the process groups that run. The pipe
closes when the supervisor ends, however it ends; what is still named then is ended, and FOLDER is removed.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

GRACE = 5.0


def read_groups(lines: Iterable[str]) -> set[int]:
    """The process groups still named when the lines end."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    return groups


def end_groups(groups: set[int], grace: float = GRACE) -> None:
    """SIGTERM to each group's leader, then SIGKILL to whatever is left of the groups after `grace` seconds."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.kill(group, signal.SIGTERM)
    patience = time.monotonic() + grace
    while any(alive(group) for group in groups) and time.monotonic() < patience:
        time.sleep(0.05)
    for group in groups:
        kill_group(group)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    folder = Path(sys.argv[1])
    end_groups(read_groups(sys.stdin))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
