"""Norms hand back the slopes of their formulas, however both sides lie in memory, of one row as of several."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from workers.engine.graph.norms import CALLS

aten = torch.ops.aten
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "as tokens": lambda x: x.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).view(x.shape),
}
WEIGHT, BIAS, MEAN, VARIANCE = (torch.linspace(0.5, 2, 6, dtype=torch.float64) * one for one in (1, -1, 0.3, 2))
KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "by its statistics": lambda x: CALLS[aten.batch_norm.default](
        x, WEIGHT, BIAS, MEAN, VARIANCE, False, 0.1, 1e-5, True
    ),
    "by the batch": lambda x: CALLS[aten.batch_norm.default](x, WEIGHT, None, None, None, True, 0.1, 1e-5, True),
    "by the input": lambda x: CALLS[aten.instance_norm.default](x, WEIGHT, BIAS, None, None, True, 0.1, 1e-5, True),
    "by kept statistics": lambda x: CALLS[aten.instance_norm.default](
        x, None, BIAS, MEAN, VARIANCE, False, 0.1, 1e-5, True
    ),
}


def theirs(kind: str, x: Tensor) -> Tensor:
    """What torch's own layer gives, in the layout in which it is right."""
    if kind == "by the batch":
        return torch.nn.functional.batch_norm(x, None, None, WEIGHT, training=True)
    if kind == "by the input":
        return torch.nn.functional.instance_norm(x, weight=WEIGHT, bias=BIAS)
    weight = WEIGHT if kind == "by its statistics" else None
    return torch.nn.functional.batch_norm(x, MEAN, VARIANCE, weight, BIAS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2])
def test_values_are_torchs_and_slopes_those_of_the_formula_in_every_layout(kind: str, rows: int) -> None:
    """torch's own slopes of a lone row were another net's, where a gradient came back from tokens."""
    draw = torch.Generator().manual_seed(0)
    x, weights, way = (torch.randn(rows, 6, 3, 4, generator=draw, dtype=torch.float64) for _ in range(3))
    step = 1e-5
    moved = [(KINDS[kind](x + sign * step * way) * weights).sum() for sign in (1, -1)]
    expected = (moved[0] - moved[1]) / (2 * step)
    torch.testing.assert_close(KINDS[kind](x), theirs(kind, x), rtol=0, atol=1e-12)
    for given in LAYOUTS.values():
        for back in LAYOUTS.values():
            leaf = given(x).clone().requires_grad_()
            (slope,) = torch.autograd.grad(KINDS[kind](leaf), leaf, back(weights))
            torch.testing.assert_close((slope * way).sum(), expected, rtol=0, atol=1e-7)
