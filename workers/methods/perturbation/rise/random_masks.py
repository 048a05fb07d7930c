"""Random masks: coarse grids of cells shown or hidden, interpolated to an input's places at random shifts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.maps import over_channels
from workers.explanation.card import InputSpec


@dataclass(frozen=True)
class Grids:
    """The grids of one row (masks, *cells), bool, and their shifts (masks, axes), in places.

    A mask is its grid, interpolated linearly to one cell more than covers the places, and cut at its shift: so every
    place is shown with the same probability. Cells of one place are not interpolated.
    """

    shown: Tensor
    shifts: Tensor
    sizes: tuple[int, ...]

    def masks(self, at: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Some of the masks (k, *places), 0 to 1."""
        made = self.shown[at].to(device, dtype)
        for axis, size in enumerate(self.sizes):
            number = made.shape[axis + 1]
            if number < size:
                weights = _weights(size, number, self.shifts[at, axis].to(device), dtype)
                cells = made.movedim(axis + 1, -1)
                spread = torch.bmm(cells.reshape(len(at), -1, number), weights.mT)
                made = spread.view(*cells.shape[:-1], size).movedim(-1, axis + 1)
        return made


def draw(spec: InputSpec, cells: int, keep: float, masks: int, generator: torch.Generator) -> Grids:
    """Grids whose cells are shown with probability `keep`; each feature of a flat input is a cell."""
    sizes = spec.spatial_shape
    numbers = [size if spec.channel_axis is None else min(cells, size) for size in sizes]
    shown = torch.empty(masks, *numbers, dtype=torch.bool).bernoulli_(keep, generator=generator)
    shifts = [
        torch.randint(_side(size, number), (masks,), generator=generator)
        for size, number in zip(sizes, numbers, strict=True)
    ]
    return Grids(shown, torch.stack(shifts, 1), sizes)


def masked_scores(
    model: Function, batch: Batch, question: Hashable, drawn: Sequence[Grids], fill: Tensor, probability: bool
) -> Tensor:
    """The score of each row through each of its masks (n, masks); what a mask hides is filled."""

    def alter(rows: Tensor, points: Tensor) -> Tensor:
        shown = [
            drawn[row].masks(points[rows == row], batch.x.device, batch.x.dtype) for row in sorted(set(rows.tolist()))
        ]
        return fill[rows].lerp(batch.x[rows], over_channels(torch.cat(shown), model.card.input))

    copies = Copies.of_each(len(batch), len(drawn[0].shown), alter)
    return altered_scores(model, batch, copies, probability, question).view(len(batch), -1)


def weighted_mean(grids: Grids, scores: Tensor, keep: float, chunk: int) -> tuple[Tensor, Tensor]:
    """An unbiased estimate of E[score * mask] / keep at each place, from the scores (masks,), and its standard error.

    It is the mean score plus the covariance of score and mask over `keep`: the same expectation as the mean of
    score * mask / keep, without the noise of how often a place happened to be shown.
    """
    count, area = len(scores), prod(grids.sizes)
    mean = scores.double().mean()
    distance = (scores.double() - mean).to(scores.dtype)
    covariance, square = scores.new_zeros(area), scores.new_zeros(area)
    for at in torch.split(torch.arange(count), chunk):
        masks = grids.masks(at, scores.device, scores.dtype).flatten(1)
        covariance += distance[at] @ masks
        square += distance[at].square() @ masks.square()
    slope = covariance / (count - 1) / keep
    variance = (square / count / keep**2 - slope.square()).clamp(min=0)
    return (mean.to(slope) + slope).view(grids.sizes), (variance / count).sqrt().view(grids.sizes)


def _side(size: int, cells: int) -> int:
    """How many places a cell spans."""
    return -(-size // cells)


def _weights(size: int, cells: int, shifts: Tensor, dtype: torch.dtype) -> Tensor:
    """How much of each cell each place sees along one axis, (k, size, cells); each place's weights sum to 1."""
    stretched = (cells + 1) * _side(size, cells)
    seen = torch.arange(size, device=shifts.device, dtype=dtype) + shifts[:, None]
    centres = ((seen + 0.5) * cells / stretched - 0.5).clamp(0, cells - 1)
    return (1 - (centres[..., None] - torch.arange(cells, device=shifts.device)).abs()).clamp(min=0)
