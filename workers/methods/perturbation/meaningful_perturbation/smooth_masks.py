"""Smooth masks over an input's places: a few cells along each axis, spread by one matrix for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.perturbation.baselines import blur_axis
from workers.engine.perturbation.maps import over_channels
from workers.explanation.card import InputSpec
from workers.explanation.errors import MethodNotApplicable, methods

SMOOTHING = 0.625  # the blur of a spread mask, in cells: 5 places for cells of 8 (S4 8.3.3)


@dataclass(frozen=True)
class Cells:
    """How a mask (n, *cells) covers the places; `spreads` holds a matrix (places, cells) for each axis."""

    spec: InputSpec
    spreads: tuple[Tensor, ...]

    @classmethod
    def over(cls, spec: InputSpec, longest: int, like: Tensor) -> Cells:
        """At most `longest` cells along the longest axis, and as wide ones along the others."""
        sizes = spec.spatial_shape
        side = max(1.0, max(sizes) / longest)
        return cls(spec, tuple(_spread(size, max(1, round(size / side)), side, like) for size in sizes))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(spread.shape[1] for spread in self.spreads)

    def mask(self, cells: Tensor, shifts: Tensor | None = None) -> Tensor:
        """The mask at the places, one channel; where there are `shifts` (n, axes), each row's moved by so many."""
        for axis, spread in enumerate(self.spreads):
            at = torch.arange(len(spread), device=cells.device).expand(len(cells), -1)
            if shifts is not None:
                at = (at - shifts[:, axis, None].to(cells.device)).clamp(0, len(spread) - 1)
            lines = cells.movedim(axis + 1, -1)
            moved = torch.bmm(lines.flatten(1, -2) if lines.dim() > 2 else lines[:, None], spread[at].mT)
            cells = moved.view(*lines.shape[:-1], len(spread)).movedim(-1, axis + 1)
        return over_channels(cells, self.spec)

    def distance(self) -> Tensor:
        """How far each cell lies from the centre of the input, as a share of the farthest corner's distance."""
        squares = torch.zeros((), device=self.spreads[0].device)
        for axis, spread in enumerate(self.spreads):
            size, count = spread.shape
            along = ((torch.arange(count, device=spread.device) + 0.5) / count - 0.5) * size
            squares = squares + along.square().view(-1, *[1] * (len(self.spreads) - 1 - axis))
        return (squares / squares.max().clamp(min=1e-12)).sqrt().to(self.spreads[0].dtype)


def check(spec: InputSpec) -> None:
    """Raise MethodNotApplicable for a flat input: its features are no neighbours of each other."""
    if spec.channel_axis is None:
        raise MethodNotApplicable(
            f"a smooth mask needs places beside each other, and this model's input is {spec.shape[0]} features",
            pointer="/method",
            instead=methods("kernel_shap", "occlusion"),
        )


def variation(cells: Tensor, power: float) -> Tensor:
    """Of each row, the sum over neighbouring cells of their difference to that power, (n,)."""
    sums = [cells.diff(dim=axis).abs().pow(power).flatten(1).sum(1) for axis in range(1, cells.dim())]
    return torch.stack(sums).sum(0)


def _spread(size: int, count: int, side: float, like: Tensor) -> Tensor:
    """Linear interpolation from the centres of `count` cells, then a blur; each place's weights sum to 1."""
    if count == size:
        weights = torch.eye(size, device=like.device, dtype=like.dtype)
    else:
        at = ((torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) * count / size - 0.5).clamp(0, count - 1)
        centres = torch.arange(count, device=like.device, dtype=like.dtype)
        weights = (1 - (at[:, None] - centres).abs()).clamp(min=0)
    return blur_axis(weights, 0, SMOOTHING * side)


def shifts(jitter: int, axes: int, sources: Sequence[torch.Generator]) -> Tensor:
    """For each row a whole number along each axis, uniform over `jitter` + 1 of them around zero: (n, axes).

    The book draws from 0 to `jitter`; centred, so that the mask found does not lie to one side.
    """
    drawn = [torch.randint(jitter + 1, (axes,), generator=source) for source in sources]
    return torch.stack(drawn) - jitter // 2
