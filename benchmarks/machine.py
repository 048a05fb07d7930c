"""The machine that a figure was measured on, and whether it was quiet: said with every table."""

from __future__ import annotations

import os
import time

import psutil
import torch

from service.cli.local.up import BLAS_THREADS, MALLOC
from workers.runtime import openmp

# What a process must be told before it starts, as a worker is: how memory is kept, and how its threads wait.
MEMORY = {**MALLOC, **openmp.waits(), BLAS_THREADS: "1"}
QUIET = 0.15  # share of all cores that others may use


def announce(title: str) -> None:
    """Print what is measured, and on what; flags a machine that is busy with something else."""
    cores = len(os.sched_getaffinity(0))
    used = psutil.cpu_percent(interval=1.0) / 100
    load = os.getloadavg()[0]
    print(f"\n== {title}\n   {cores} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}; "
          f"others use {used:.0%} of the cores, load average {load:.2f}")  # fmt: skip
    if used > QUIET:
        print("   BUSY: read the ratios alone, and measure again on a quiet machine")
    if any(os.environ.get(name) != value for name, value in MEMORY.items()):
        print("   UNLIKE A WORKER: start this by `make bench`, which sets the allocator as `whence up` does")


def spent(process: int) -> float:
    """Processor seconds of a process until now, to the nanosecond, with those of threads that have ended.

    Linux numbers the clock of a process so (clock_getcpuclockid).
    """
    return time.clock_gettime((~process << 3) | 2)
