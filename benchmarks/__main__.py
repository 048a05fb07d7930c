"""`python -m benchmarks [PART ...] [OPTION ...]`: each part in a process of its own, in the memory of `whence up`."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import takewhile

from benchmarks.machine import MEMORY

PARTS = ("hit", "one", "peers", "perturbation")


def main() -> int:
    """Run the named parts, or all, with the options after them; the exit code is that of the first which failed."""
    parts = list(takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))
    options = sys.argv[1 + len(parts) :]
    for part in parts or PARTS:
        command = [sys.executable, "-m", f"benchmarks.{part}", *options]
        code = subprocess.run(command, env={**os.environ, **MEMORY}, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
