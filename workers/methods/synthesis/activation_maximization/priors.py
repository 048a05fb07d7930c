"""Priors at work: how they penalise, transform and smooth what is made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from workers.engine.perturbation.baselines import blur_axis
from workers.explanation.card import InputSpec
from workers.explanation.errors import Instead, MethodNotApplicable
from workers.explanation.priors import (
    L2,
    Blur,
    Centre,
    GradientBlur,
    Jitter,
    Noise,
    Prior,
    Rotate,
    Scale,
    TotalVariation,
    Transform,
)

Penalty: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (what is moved, the inputs made of it) -> (n,)
Show: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Priors:
    """The priors of one ascent; `span` is the width of the input's range."""

    chosen: tuple[Prior, ...]
    spec: InputSpec
    span: Tensor

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a batch of inputs that hold places."""
        channels = self.spec.channel_axis
        return tuple(axis + 1 for axis in range(len(self.spec.shape)) if axis != channels)

    def penalty(self, mean: Tensor | None, coded: bool) -> Penalty:
        """What is taken from the objective; `mean` is what L2 pulls to where so asked, `coded` that a code is moved."""

        def of(moved: Tensor, x: Tensor) -> Tensor:
            found = moved.new_zeros(len(moved))
            for prior in self.chosen:
                if isinstance(prior, L2) and prior.to == "mean" and mean is not None:
                    found = found + prior.weight * _mean_square((x - mean) / self.span)
                elif isinstance(prior, L2):
                    found = found + prior.weight * _mean_square(moved if coded else x / self.span)
                elif isinstance(prior, TotalVariation):
                    found = found + prior.weight * self._variation(x / self.span, prior.power)
            return found

        return of

    def _variation(self, x: Tensor, power: float) -> Tensor:
        steps = [x.diff(dim=axis).abs().pow(power).flatten(1) for axis in self.axes if x.shape[axis] > 1]
        return torch.stack([step.mean(1) for step in steps] or [x.new_zeros(len(x))]).sum(0)

    def transformation(self, source: torch.Generator) -> Show:
        """The transformations of one step, drawn now, in the order of the list."""
        drawn = [self._drawn(prior, source) for prior in self.chosen if isinstance(prior, Transform)]

        def show(x: Tensor) -> Tensor:
            for transform in drawn:
                x = transform(x)
            return x

        return show

    def _drawn(self, prior: Transform, source: torch.Generator) -> Show:
        if isinstance(prior, Jitter):
            moves = torch.randint(-prior.places, prior.places + 1, (len(self.axes),), generator=source).tolist()
            return lambda x: torch.roll(x, moves, self.axes)
        way = 2 * float(torch.rand((), generator=source)) - 1
        if isinstance(prior, Rotate):
            angle = math.radians(prior.degrees * way)
            return lambda x: turned(x, math.cos(angle), math.sin(angle))
        return lambda x: turned(x, 1 / (1 + prior.share * way), 0.0)

    def of_gradient(self, slope: Tensor) -> Tensor:
        """The gradient, smoothed and weighted."""
        for prior in self.chosen:
            if isinstance(prior, GradientBlur):
                slope = self._blurred(slope, prior.width)
            elif isinstance(prior, Centre):
                slope = slope * self._bell(slope, prior.width)
        return slope

    def between(self, x: Tensor, step: int, source: torch.Generator) -> Tensor:
        """The inputs after a step, blurred and with noise."""
        for prior in self.chosen:
            if isinstance(prior, Blur) and (step + 1) % prior.every == 0:
                x = self._blurred(x, prior.width)
            elif isinstance(prior, Noise):
                x = x + prior.width * self.span * torch.randn(x.shape, generator=source).to(x)
        return x

    def _blurred(self, x: Tensor, width: float) -> Tensor:
        for axis in self.axes:
            x = blur_axis(x, axis, width)
        return x

    def _bell(self, like: Tensor, width: float) -> Tensor:
        bell = torch.ones((), device=like.device, dtype=like.dtype)
        for axis, size in zip(self.axes, self.spec.spatial_shape, strict=True):
            along = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size - 0.5
            shape = [1] * like.dim()
            shape[axis] = size
            bell = bell * torch.exp(-along.square() / (2 * width**2)).view(shape)
        return bell


def usual(spec: InputSpec, coded: bool) -> tuple[Prior, ...]:
    """The priors where none are named: those whose strength does not depend on how large the activations are."""
    if coded or spec.channel_axis is None:
        return (L2(),)
    return (Jitter(places=max(1, round(max(spec.spatial_shape) / 28))), GradientBlur())


def check(chosen: Sequence[Prior], spec: InputSpec) -> None:
    """Raise MethodNotApplicable for a prior that the input's shape has no place for, naming it."""
    flat = spec.channel_axis is None
    image = len(spec.shape) == 3 and spec.channel_axis == 0
    for prior in chosen:
        wrong = not image if isinstance(prior, Rotate | Scale) else flat and not isinstance(prior, L2 | Noise)
        if wrong:
            needs = "an image, channels first" if isinstance(prior, Rotate | Scale) else "places beside each other"
            others = [one.model_dump(mode="json") for one in chosen if one != prior]
            raise MethodNotApplicable(
                f"the prior {prior.kind} needs {needs}, and this model's input has the shape {list(spec.shape)}",
                pointer="/method/priors",
                instead=[Instead(parameters={"priors": others})],
            )


def _mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(1)


def turned(x: Tensor, cosine: float, sine: float) -> Tensor:
    """Images (n, c, h, w) turned and scaled about their centre by that matrix; what lies beyond an edge repeats it."""
    height, width = x.shape[2:]
    matrix = x.new_tensor([[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]])
    grid = affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="border", align_corners=False)


def asks_for_mean(chosen: Sequence[Prior]) -> bool:
    """Whether any pulls towards the dataset's mean."""
    return any(isinstance(prior, L2) and prior.to == "mean" for prior in chosen)
