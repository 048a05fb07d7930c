"""Another processor, simulated: float32 kernels whose last bits differ from this one's, `pytest --last-bits`.

Every processor rounds sums of products in another order. A test whose tolerance stands on one processor's kernels
passes there and fails elsewhere; here it fails at once. A result moves by at most `ULPS` units in its last place, by a
rule that knows only its own bits: equal numbers stay equal, and a row alone still agrees with the same row in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ULPS = 2
ROUNDED = (
    "mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward", "native_layer_norm", "native_group_norm",
    "sum", "mean", "avg_pool2d", "_softmax", "_log_softmax", "exp", "tanh", "sigmoid", "erf", "gelu",
    "mkldnn_rnn_layer",
)  # fmt: skip


class _LastBits(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Moves the last bits of what float32 kernels give that round."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ not in ROUNDED:
            return made
        return type(made)(map(moved, made)) if isinstance(made, (tuple, list)) else moved(made)


def another_processor() -> AbstractContextManager[Any]:
    """While it is entered, float32 kernels that round give other last bits."""
    mode: AbstractContextManager[Any] = _LastBits()  # type: ignore[no-untyped-call]
    return mode


def moved(x: Any) -> Any:
    """x (any shape, float32) with its bits moved by -2 to 2 units in the last place; anything else unchanged."""
    if not isinstance(x, Tensor) or x.dtype != torch.float32 or type(x) is not Tensor:
        return x
    bits = x.contiguous().view(torch.int32)
    hashed = (bits * -1640531535) >> 13
    shift = (hashed & 0xFFFF) % (2 * ULPS + 1) - ULPS
    usable = x.isfinite() & (x.abs() > 1e-30)
    return x.copy_(torch.where(usable, (bits + shift.to(torch.int32)).view(torch.float32).view(x.shape), x))
