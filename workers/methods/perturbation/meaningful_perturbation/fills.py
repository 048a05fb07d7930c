"""Ways to take an input's information away, place by place, as far as a mask says (S4 8.3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.baselines import blur_axis
from workers.explanation.card import InputSpec

Erase: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (rows, mask of them): 1 keeps a place, 0 takes it away

LEVELS = 8  # blurs between none and the strongest: what lies between two is mixed of them
NOISE = 0.2  # standard deviation of the noise, as a share of the input's range


def towards(x: Tensor, fill: Tensor) -> Erase:
    """Mixes the input with what replaces it."""
    return lambda rows, mask: fill[rows].lerp(x[rows], mask)


def blurring(x: Tensor, spec: InputSpec, strongest: float) -> Erase:
    """Blurs each place with a Gaussian of `strongest` * (1 - mask) places, edges repeated."""
    levels = torch.stack([_blurred(x, spec, strongest * level / LEVELS) for level in range(LEVELS + 1)], 1)
    steps = torch.arange(LEVELS + 1, device=x.device, dtype=x.dtype).view(-1, *[1] * (x.dim() - 1))

    def erase(rows: Tensor, mask: Tensor) -> Tensor:
        weights = (1 - ((1 - mask).unsqueeze(1) * LEVELS - steps).abs()).clamp(min=0)
        return (levels[rows] * weights).sum(1)

    return erase


def noise(model: Model, batch: Batch, sources: list[torch.Generator]) -> Tensor:
    """Gaussian noise around each channel's mean, drawn once for each row."""
    axis = model.card.input.channel_axis
    axes = [i + 1 for i in range(batch.x.dim() - 1) if i != axis]
    bounds = model.range() or (batch.x.amin(axes, keepdim=True), batch.x.amax(axes, keepdim=True))
    draws = torch.stack([torch.randn(batch.x.shape[1:], generator=source) for source in sources])
    return batch.x.mean(axes, keepdim=True) + NOISE * (bounds[1] - bounds[0]) * draws.to(batch.x)


def _blurred(x: Tensor, spec: InputSpec, sigma: float) -> Tensor:
    if sigma == 0:
        return x
    channels = spec.channel_axis
    for axis in range(len(spec.spatial_shape) + 1):
        if axis != channels:
            x = blur_axis(x, axis + 1, sigma)
    return x
