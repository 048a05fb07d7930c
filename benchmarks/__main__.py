"""`python -m benchmarks [PART ...] [--quick]`: each part in a process of its own, in the environment of `whence up`."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.machine import MEMORY

PARTS = ("hit", "one", "peers", "perturbation")


def main() -> int:
    """Run the named parts, or all, with the options given; the exit code is that of the first which failed."""
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    for part in [word for word in sys.argv[1:] if word not in options] or PARTS:
        command = [sys.executable, "-m", f"benchmarks.{part}", *options]
        code = subprocess.run(command, env={**os.environ, **MEMORY}, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
