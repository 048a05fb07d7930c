"""A method's attributions under noise on the input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.chunks import sweep
from workers.engine.perturbation.extents import extent
from workers.engine.perturbation.random_numbers import drawing
from workers.explanation.perturbation import NoiseOf
from workers.methods.method import Method


@dataclass(frozen=True)
class Moments:
    """Mean and mean square of a method's attributions over `samples` noisy inputs."""

    mean: Tensor
    square: Tensor
    samples: int

    @property
    def variance(self) -> Tensor:
        return (self.square - self.mean.square()).clamp(min=0)

    @property
    def standard_error(self) -> Tensor:
        return (self.variance / max(1, self.samples - 1)).sqrt()


def sample(model: Function, batch: Batch, of: Method, samples: int, noise: float, noise_of: NoiseOf) -> Moments:
    """Moments of `of` on inputs with Gaussian noise, whose standard deviation is `noise` times what `noise_of` says.

    The target is the one of the input itself. Each row draws from its own seed, its samples in order.
    """
    wanted, scale = model.resolve(batch), noise * extent(model, batch.x, noise_of)
    draw = drawing(model, batch, torch.randn, batch.generators())
    seed = getattr(of, "seed", 0)
    total = square = torch.zeros(())
    for rows, _ in sweep(model, batch, samples, "samples"):
        x = draw(rows)
        x *= scale if len(scale) == 1 else scale[rows]
        x += batch.x[rows]
        inner = Batch(x, [wanted[row] for row in rows], [seed] * len(rows), resources=batch.resources, once=True)
        values = of.explain(model, inner).arrays["attribution"]
        if total.dim() == 0:
            total = values.new_zeros((len(batch), *values.shape[1:]))
            square = torch.zeros_like(total)
        total.index_add_(0, rows.to(total.device), values)
        square.index_add_(0, rows.to(total.device), values.square())
    return Moments(total / samples, square / samples, samples)
