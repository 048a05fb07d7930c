"""`python -m reproductions [WORD ...]`: run what reproduces the seeds' figures, those whose names hold a word, or all.

Each command runs once, whatever figures it draws; what it prints goes to out/reproductions. Ends with a table: how each
figure came out, and whether its command ran now. The reference data are read from `shared` beside the checkout, or
from the folder that WHENCE_SHARED names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.places import SHARED
from reproductions.figures import FIGURES, Figure

OUT = Path("out/reproductions")


def run(command: tuple[str, ...], shared: Path) -> str:
    """What became of a command: how long it took, or that it failed; its output is kept."""
    words = [word.format(shared=shared) for word in command]
    missing = [word for word in words[1:] if "/" in word and not Path(word).exists()]
    if missing:
        return f"not run: {missing[0]} is not there"
    OUT.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (OUT / f"{command[0].rpartition('.')[2]}.txt").open("w") as file:
        code = subprocess.run(
            [sys.executable, "-m", *words], stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    spent = f"{time.monotonic() - started:.0f} s"
    return f"ran, {spent}" if code == 0 else f"FAILED after {spent}, see {file.name}"


def main(words: Sequence[str], shared: Path) -> int:
    """The exit code is 1 where a command failed."""
    wanted = [one for one in FIGURES if not words or any(word.lower() in one.name.lower() for word in words)]
    commands = list(dict.fromkeys(one.command for one in wanted if one.command))
    found: dict[tuple[str, ...], str] = {}
    for at, command in enumerate(commands, 1):
        print(f"[{at}/{len(commands)}] python -m {' '.join(command)}", flush=True)
        found[command] = run(command, shared)
        print(f"    {found[command]}", flush=True)
    print()
    for one in wanted:
        print(line(one, found))
    return int(any(said.startswith("FAILED") for said in found.values()))


def line(one: Figure, found: dict[tuple[str, ...], str]) -> str:
    """A figure, how it came out, and why."""
    return f"{one.name:24} {one.verdict:15} {one.why}{f' ({found[one.command]})' if one.command else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(os.environ.get("WHENCE_SHARED", SHARED))))
