"""Sweeps: every row of a batch at many points, run in chunks of the size that suits the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function


class Chunk(NamedTuple):
    """Some (row, point) pairs of a sweep, as two index tensors of equal length."""

    rows: Tensor
    points: Tensor


def sweep(model: Function, batch: Batch, points: int, unit: str) -> Iterator[Chunk]:
    """All (row, point) pairs, row by row, in chunks; reports progress after each chunk.

    One row's points fill a chunk, several rows' points share one.
    """
    total = len(batch) * points
    size = even(total, model.chunk)
    for start in range(0, total, size):
        pairs = torch.arange(start, min(start + size, total))
        yield Chunk(pairs // points, pairs % points)
        batch.report(min(start + size, total), total, unit)


def even(total: int, most: int) -> int:
    """The size of parts of about equal length, as few as can be of at most `most`: a short last one costs the most."""
    return -(-total // -(-total // most)) if total else 1
