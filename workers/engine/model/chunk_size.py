"""How many rows a model runs best at once: measured, since it differs by model and device more than one can guess."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from workers.engine.device import out_of_memory

MOST = {"cpu": 32, "cuda": 256}  # rows
BUDGET_S = 0.9
ROUNDS = 5
ALIKE = 1.03  # of sizes that are as fast as that by row, the smallest: it takes the least memory and reports most often


def fastest(run: Callable[[Tensor], object], row: Tensor, most: int | None = None) -> int:
    """The number of rows, a power of two, at which `run` takes the least time by row, within memory.

    `row` (1, *shape) is what it runs on, repeated; `most` is how many are tried, of what suits the device. A slow
    model gets few rows: more would outlast the time for this.
    """
    if row.device.type != "cpu":
        run(row)  # a GPU's libraries are loaded by the first pass, for longer than this may take
    begin = time.perf_counter()
    by_row = _sizes(run, row, begin + BUDGET_S / 2, min(most or math.inf, MOST.get(row.device.type, 8)))
    # A disturbance falls on one round, and the best of several is told.
    for _, rows in product(range(ROUNDS - 1), by_row):
        if time.perf_counter() + rows * by_row[rows] < begin + BUDGET_S:
            by_row[rows] = min(by_row[rows], _seconds(run, row, rows))
    return next(rows for rows, seconds in by_row.items() if seconds <= ALIKE * min(by_row.values()))


def _sizes(run: Callable[[Tensor], object], row: Tensor, end: float, most: float) -> dict[int, float]:
    """The seconds by row of each size that is within memory and, by what smaller ones took, within time."""
    found = {1: _seconds(run, row, 1)}  # a model's first pass sets up what later ones find: it is timed again
    rows = 1
    while rows <= most and time.perf_counter() + rows * min(found.values()) < end:
        try:
            found[rows] = _seconds(run, row, rows)
        except Exception as error:
            if not out_of_memory(error):
                raise
            break
        rows *= 2
    return found


def _seconds(run: Callable[[Tensor], object], row: Tensor, rows: int) -> float:
    """How long a pass takes, by row: on a CPU by this thread's own time, for others may keep it waiting."""
    x = row.expand(rows, *row.shape[1:]).contiguous()
    clock = time.thread_time if x.device.type == "cpu" else time.perf_counter
    _wait(x.device)
    started = clock()
    run(x)
    _wait(x.device)
    return (clock() - started) / rows


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
