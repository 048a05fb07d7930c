"""What is right, by torch's own autograd in float64 on the net as it was written, not as it was exported."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.animals import ZOO
from workers.explanation.target import (
    ClassTarget,
    ElementTarget,
    RankTarget,
    ReducedTarget,
    Target,
    UnitTarget,
    ValueTarget,
)


@cache
def net(name: str) -> nn.Module:
    return ZOO[name].module().double()


def scalar(name: str, x: Tensor, target: Target) -> Tensor | None:
    """The scalar that is explained, for one input x (*shape); None where no module has the target's value as its own.

    A layer's value is what its module returned, where it ran once and its first axis is the batch.
    """
    if isinstance(target, UnitTarget):
        return _unit(name, x, target)
    row: Tensor = net(name)(x[None])[0]
    if isinstance(target, ValueTarget):
        return row.sum()
    if isinstance(target, ElementTarget):
        return row[target.index]
    if isinstance(target, ReducedTarget):
        return row.sum() if target.reduce == "sum" else row.mean()
    totals = row.reshape(len(row), -1).sum(1) if row.dim() else row[None]
    index = target.index if isinstance(target, ClassTarget) else None
    if isinstance(target, RankTarget):
        index = int(totals.argsort(descending=True, stable=True)[target.rank])
    return None if index is None else totals[index]


def _unit(name: str, x: Tensor, target: UnitTarget) -> Tensor | None:
    seen: list[Any] = []
    modules = dict(net(name).named_modules())
    if target.layer not in modules or target.index is None:
        return None

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output.clone() if isinstance(output, Tensor) else output)  # what follows may write into it

    hook = modules[target.layer].register_forward_hook(keep)
    try:
        net(name)(x[None])
    finally:
        hook.remove()
    if len(seen) != 1 or not isinstance(seen[0], Tensor) or len(seen[0]) != 1:
        return None
    return seen[0][(0, *target.index)]


def gradient(explained: Callable[[Tensor], Tensor | None], x: Tensor) -> Tensor | None:
    """Of the scalar at x; None where there is no such scalar, zeros where it does not depend on x."""
    x = x.clone().requires_grad_()
    value = explained(x)
    if value is None:
        return None
    return torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)[0] if value.requires_grad else x * 0
