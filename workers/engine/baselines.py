"""Baselines: the input that stands for "nothing here"."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workers.baseline import Baseline
from workers.engine.batch import Batch
from workers.engine.model import Model
from workers.errors import InvalidParameter

BLUR = 0.1  # the blur's standard deviation, as a share of the longest side


def baseline(model: Model, batch: Batch, kind: Baseline, value: float = 0.0) -> Tensor:
    """The baseline of every row, shaped like the inputs; raises InvalidParameter where it needs an unknown range."""
    made: dict[Baseline, Callable[[], Tensor]] = {
        "zero": lambda: torch.zeros_like(batch.x),
        "constant": lambda: torch.full_like(batch.x, value),
        "minimum": lambda: _range(model)[0].expand_as(batch.x).clone(),
        "mean": lambda: _mean(batch.x),
        "blur": lambda: _blurred(batch.x),
        "uniform": lambda: _uniform(model, batch),
    }
    return made[kind]()


def _range(model: Model) -> tuple[Tensor, Tensor]:
    found = model.range()
    if found is None:
        raise InvalidParameter(
            "this baseline needs the range of the input, which the model's card does not give; use zero, constant, "
            "mean or blur, or add low and high to [input] of the card",
            pointer="/method/baseline",
        )
    return found


def _mean(x: Tensor) -> Tensor:
    """Each channel's own mean over its positions; of a flat input, the mean of its features."""
    axes = tuple(range(2, x.dim())) or (1,)
    return x.mean(axes, keepdim=True).expand_as(x).clone()


def _blurred(x: Tensor) -> Tensor:
    """The input under a Gaussian along each axis after the channels, edges repeated."""
    for axis in range(min(2, x.dim() - 1), x.dim()):
        x = blur_axis(x, axis, max(1.0, BLUR * x.shape[axis]))
    return x


def blur_axis(x: Tensor, axis: int, sigma: float) -> Tensor:
    """The input under a Gaussian along one axis, cut at three standard deviations, edges repeated."""
    length = x.shape[axis]
    positions = torch.arange(length, dtype=x.dtype, device=x.device)
    radius = int(3 * sigma)
    taps = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-taps.square() / (2 * sigma**2))
    sources = (positions[:, None] + taps).clamp(0, length - 1).long()
    mixing = torch.zeros(length, length, dtype=x.dtype, device=x.device)
    mixing.scatter_add_(1, sources, (weights / weights.sum()).expand(length, -1))
    return (x.movedim(axis, -1) @ mixing.T).movedim(-1, axis)


def _uniform(model: Model, batch: Batch) -> Tensor:
    low, high = _range(model)
    draws = torch.stack([torch.rand(batch.x.shape[1:], generator=g) for g in batch.generators()])
    return low + (high - low) * draws.to(batch.x)
