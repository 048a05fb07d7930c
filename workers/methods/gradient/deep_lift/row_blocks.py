"""Blocks: element-wise work on large tensors, some rows at a time.

What such work makes on the way then stays in the cache, and its memory is reused: several times faster (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

BLOCK = 2**20  # elements


def blockwise(work: Callable[..., Sequence[Tensor]], first: Tensor, *others: Tensor) -> Sequence[Tensor]:
    """work(first, *others), whose results have a row for each row of `first`.

    Of the others, those with as many rows are taken row by row, too; those with one row go with each.
    """
    count = len(first)
    step = max(1, BLOCK * count // max(1, first.numel()))
    if step >= count:
        return work(first, *others)
    whole: list[Tensor] = []
    for at in range(0, count, step):
        rows = slice(at, at + step)
        parts = work(first[rows], *(other[rows] if len(other) == count else other for other in others))
        whole = whole or [part.new_empty(count, *part.shape[1:]) for part in parts]
        for made, part in zip(whole, parts, strict=True):
            made[rows] = part
    return whole
