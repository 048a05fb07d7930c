"""Norms by their formulas: of one row, torch's own hand back a wrong gradient where the layouts of both sides differ.

`aten.batch_norm` and `aten.instance_norm` read a gradient that lies as tokens do (behind `flatten(2).transpose(1, 2)`)
by the strides of the input, on processors, where the batch is of one. Their values are right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

aten = torch.ops.aten


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    _momentum: float,
    epsilon: float,
    _cudnn: bool = False,
) -> Tensor:
    sizes = [1, -1, *[1] * (x.dim() - 2)]
    if training or mean is None or variance is None:
        over = [axis for axis in range(x.dim()) if axis != 1]
        variance, mean = torch.var_mean(x, over, correction=0)
    scale = torch.rsqrt(variance + epsilon)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return torch.addcmul(shift.view(sizes), x, scale.view(sizes))


def _instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    by_input: bool,
    momentum: float,
    epsilon: float,
    cudnn: bool = False,
) -> Tensor:
    if not by_input:
        return _batch_norm(x, weight, bias, mean, variance, False, momentum, epsilon, cudnn)
    return functional.group_norm(x, x.shape[1], weight, bias, epsilon)


CALLS: Mapping[Any, Callable[..., Any]] = {
    aten.batch_norm.default: _batch_norm,
    aten.instance_norm.default: _instance_norm,
}


def _of_functional(norm: Callable[..., Tensor], by_input: bool) -> Callable[..., Tensor]:
    """The same by the arguments of torch.nn.functional, which have another order."""

    def called(
        input: Tensor,  # noqa: A002
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        by_values: bool = by_input,
        momentum: float = 0.1,
        eps: float = 1e-5,
        **named: bool,
    ) -> Tensor:
        (by_values,) = named.values() or (by_values,)  # training, or use_input_stats
        return norm(input, weight, bias, running_mean, running_var, by_values, momentum, eps)

    return called


# What a module calls, each with what takes its place.
FUNCTIONS: Mapping[Any, Callable[..., Tensor]] = {
    torch.batch_norm: _batch_norm,
    torch.instance_norm: _instance_norm,
    functional.batch_norm: _of_functional(_batch_norm, by_input=False),
    functional.instance_norm: _of_functional(_instance_norm, by_input=True),
}
