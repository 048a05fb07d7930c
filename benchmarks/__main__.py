"""`python -m benchmarks [PART ...]`: every part in a process of its own, in the environment that `whence up` gives."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.machine import MEMORY

PARTS = ("hit", "one", "peers", "perturbation")


def main() -> int:
    """Run the named parts, or all; the exit code is that of the first which failed."""
    for part in sys.argv[1:] or PARTS:
        command = [sys.executable, "-m", f"benchmarks.{part}"]
        code = subprocess.run(command, env={**os.environ, **MEMORY}, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
