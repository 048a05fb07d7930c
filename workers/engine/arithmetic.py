"""How CUDA computes: float32 as such, tf32 where it is asked for, and the same bits twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workers.explanation.card import Precision

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def settle(device: str) -> None:
    """Have CUDA compute float32 as float32, and the same twice; what has no such way there warns and goes on.

    torch's own defaults are tf32 in convolutions, and the fastest of several sums. Before the first use of the device.
    """
    if torch.device(device).type != "cuda":
        return
    os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # with NaN, which costs as much as a copy
    _allow_tf32(allowed=False)


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Multiply in tf32 meanwhile, where that is the precision; bfloat16 is the graph's own."""
    if precision != "tf32":
        yield
        return
    _allow_tf32(allowed=True)
    try:
        yield
    finally:
        _allow_tf32(allowed=False)


def _allow_tf32(*, allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
