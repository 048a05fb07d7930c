"""Priors at work: how they penalise, transform and smooth what is made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from workers.engine.data.initial_inputs import Moments
from workers.engine.perturbation.baselines import blur_axis
from workers.explanation.card import InputSpec
from workers.explanation.errors import Instead, MethodNotApplicable
from workers.explanation.priors import (
    L2,
    AlphaNorm,
    Bilateral,
    Blur,
    Centre,
    Clip,
    Expert,
    GradientBlur,
    Jitter,
    Learned,
    Noise,
    Prior,
    Rotate,
    Scale,
    TotalVariation,
    Transform,
)
from workers.methods.synthesis.activation_maximization.learned_priors import LearnedPrior

Penalty: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (what is moved, the inputs made of it) -> (n,)
Show: TypeAlias = Callable[[Tensor], Tensor]
LEAST = 1e-12  # variance of a feature: one that is always the same would have an infinite density


@dataclass(frozen=True)
class Priors:
    """The priors of one ascent; `span` is the width of the input's range."""

    chosen: tuple[Prior, ...]
    spec: InputSpec
    span: Tensor
    learned: tuple[LearnedPrior, ...] = ()

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a batch of inputs that hold places."""
        channels = self.spec.channel_axis
        return tuple(axis + 1 for axis in range(len(self.spec.shape)) if axis != channels)

    def penalty(self, items: Moments | None, coded: bool) -> Penalty:
        """What is taken from the objective; `items` are what L2 and experts pull to, `coded` that a code is moved."""

        def of(moved: Tensor, x: Tensor) -> Tensor:
            found = moved.new_zeros(len(moved))
            for prior in self.chosen:
                if isinstance(prior, L2) and prior.to == "mean" and items is not None:
                    found = found + prior.weight * _mean_square((x - items.mean) / self.span)
                elif isinstance(prior, Expert) and items is not None:
                    found = found - prior.weight * _log_density(x, items, prior.variance == "diagonal")
                elif isinstance(prior, AlphaNorm):
                    size = (moved if coded else x / self.span).abs()
                    found = found + prior.weight * size.pow(prior.power).flatten(1).mean(1)
                elif isinstance(prior, L2):
                    found = found + prior.weight * _mean_square(moved if coded else x / self.span)
                elif isinstance(prior, TotalVariation):
                    found = found + prior.weight * self._variation(x / self.span, prior.power)
            return sum((one.penalty(moved) for one in self.learned), found)

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

    def between(self, moved: Tensor, step: int, source: torch.Generator, coded: bool = False) -> Tensor:
        """What is moved after a step, smoothed, with noise, and within limits."""
        for prior in self.chosen:
            if isinstance(prior, Blur) and (step + 1) % prior.every == 0:
                moved = self._blurred(moved, prior.width)
            elif isinstance(prior, Bilateral) and (step + 1) % prior.every == 0:
                moved = bilateral(moved, self.axes, prior.width, prior.tone * self.span)
            elif isinstance(prior, Noise):
                width = prior.width if coded else prior.width * self.span
                moved = moved + width * torch.randn(moved.shape, generator=source).to(moved)
            elif isinstance(prior, Clip):
                moved = moved.clamp(-prior.limit, prior.limit)
        return moved

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
        wrong = (
            not image
            if isinstance(prior, Rotate | Scale)
            else flat and not isinstance(prior, L2 | Noise | AlphaNorm | Expert | Clip | Learned)
        )
        if wrong:
            needs = "an image, channels first" if isinstance(prior, Rotate | Scale) else "places beside each other"
            others = [one.model_dump(mode="json") for one in chosen if one != prior]
            raise MethodNotApplicable(
                f"the prior {prior.kind} needs {needs}, and this model's input has the shape {list(spec.shape)}",
                pointer="/method/priors",
                instead=[Instead(parameters={"priors": others})],
            )


def bilateral(x: Tensor, axes: Sequence[int], width: float, tone: Tensor) -> Tensor:
    """Each value by the mean of its neighbours, weighted by how near they are and how like it over all channels.

    Neighbours lie within two standard deviations along each axis of places; edges are repeated.
    """
    radius = max(1, round(2 * width))
    offsets = torch.cartesian_prod(*[torch.arange(-radius, radius + 1)] * len(axes)).view(-1, len(axes)).tolist()
    channels = [axis for axis in range(1, x.dim()) if axis not in axes]
    total, weights = torch.zeros_like(x), torch.zeros_like(x)
    for offset in offsets:
        there = x
        for axis, by in zip(axes, offset, strict=True):
            at = (torch.arange(x.shape[axis], device=x.device) + by).clamp(0, x.shape[axis] - 1)
            there = there.index_select(axis, at)
        unlike = ((there - x) / tone).square()
        unlike = unlike.mean(channels, keepdim=True) if channels else unlike
        weight = torch.exp(-(sum(by * by for by in offset) / width**2 + unlike) / 2).expand_as(x)
        total, weights = total + weight * there, weights + weight
    return total / weights


def _log_density(x: Tensor, items: Moments, diagonal: bool) -> Tensor:
    """The logarithm of the Gaussian's density but for a constant, (n,)."""
    variance = items.variance if diagonal else items.variance.mean()
    return -((x - items.mean).square() / variance.clamp(min=LEAST)).flatten(1).sum(1) / 2


def _mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(1)


def turned(x: Tensor, cosine: float, sine: float) -> Tensor:
    """Images (n, c, h, w) turned and scaled about their centre by that matrix; what lies beyond an edge repeats it."""
    height, width = x.shape[2:]
    matrix = x.new_tensor([[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]])
    grid = affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="border", align_corners=False)


def asks_for_items(chosen: Sequence[Prior]) -> bool:
    """Whether any pulls towards what the dataset's items are like."""
    return any(isinstance(prior, Expert) or (isinstance(prior, L2) and prior.to == "mean") for prior in chosen)
