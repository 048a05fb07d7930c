"""A method's attributions under noise on the input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import by_part, hold
from workers.engine.model.prediction import input_range
from workers.engine.perturbation.chunks import sweep
from workers.explanation.card import Part
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
    wanted, generators, scale = model.resolve(batch), batch.generators(), noise * extent(model, batch.x, noise_of)
    seed = getattr(of, "seed", 0)
    total = square = torch.zeros(())
    for rows, _ in sweep(model, batch, samples, "samples"):
        draws = torch.stack([torch.randn(batch.x.shape[1:], generator=generators[row]) for row in rows])
        x = batch.x[rows] + draws.to(batch.x) * scale.expand_as(batch.x)[rows]
        inner = Batch(x, [wanted[row] for row in rows], [seed] * len(rows), resources=batch.resources)
        values = of.explain(model, inner).arrays["attribution"]
        if total.dim() == 0:
            total = values.new_zeros((len(batch), *values.shape[1:]))
            square = torch.zeros_like(total)
        total.index_add_(0, rows.to(total.device), values)
        square.index_add_(0, rows.to(total.device), values.square())
    return Moments(total / samples, square / samples, samples)


def extent(model: Function, x: Tensor, noise_of: NoiseOf) -> Tensor:
    """What noise is a share of: the width of the input's range by channel, as the card says, else of each row's own
    values; or the standard deviation of each row's values. Of several inputs, each by itself. Broadcasts to x."""
    if noise_of == "std":
        return _spread(model, x)
    low, high = bounds(model, x)
    return high - low


def _spread(model: Function, x: Tensor) -> Tensor:
    """The standard deviation of each row's values, of several inputs by input; of what is held, none."""
    spec = model.card.input
    if spec.parts:
        return hold(by_part(x, spec, lambda piece, _: _deviation(piece).expand_as(piece)), torch.zeros_like(x), spec)
    return _deviation(x)


def _deviation(x: Tensor) -> Tensor:
    return x.std(tuple(range(1, x.dim())), correction=0, keepdim=True)


def bounds(model: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """The range that the card gives, else that of each row's own values, of several inputs by input; broadcasts to x.

    What is held lies between itself.
    """
    spec = model.card.input
    if not spec.parts:
        return model.range() or own_range(x)

    def bound(which: int, piece: Tensor, part: Part) -> Tensor:
        known = None if part.embedding else input_range(model.card.named[part.name], x.device, x.dtype)
        return (known or own_range(piece))[which].expand_as(piece)

    return by_part(x, spec, partial(bound, 0)), by_part(x, spec, partial(bound, 1))


def own_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and highest value of each row."""
    axes = tuple(range(1, x.dim()))
    return x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
