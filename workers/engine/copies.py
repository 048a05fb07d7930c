"""Rows to where a model computes: to a GPU from pinned memory, on a stream of their own, and the next meanwhile.

`cuda` stands in for torch.cuda in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")
K = TypeVar("K")


def stacked(rows: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
    """Rows of one shape as a tensor on the CPU, from which a GPU copies without waiting."""
    if device.type != "cuda":
        return torch.from_numpy(np.stack(rows))
    made = torch.empty(len(rows), *rows[0].shape, dtype=torch.from_numpy(rows[0]).dtype, pin_memory=True)
    np.stack(rows, out=made.numpy())
    return made


def moved(values: Tensor, device: torch.device, dtype: torch.dtype, cuda: Any = torch.cuda) -> Tensor:
    """The values where and as they are computed with.

    What runs on the device meanwhile goes on; what is asked of it next waits for the copy.
    """
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device, dtype)
    lane, now = _lane(cuda, device), cuda.current_stream(device)
    with cuda.stream(lane):
        there = values.to(device, non_blocking=True).to(dtype)
    now.wait_stream(lane)
    there.record_stream(now)  # its memory is the lane's, which must not take it back before that is done with it
    return there


def ahead(make: Callable[[K], T], of: Iterable[K], device: torch.device) -> Iterator[T]:
    """What is made of each, in order: for a GPU the next on a thread while this one is computed with."""
    if device.type != "cuda":
        yield from map(make, of)
        return
    with ThreadPoolExecutor(1) as thread:
        due: Future[T] | None = None
        for one in of:
            after = thread.submit(make, one)
            if due is not None:
                yield due.result()
            due = after
        if due is not None:
            yield due.result()


@cache
def _lane(cuda: Any, device: torch.device) -> Any:
    return cuda.Stream(device)
