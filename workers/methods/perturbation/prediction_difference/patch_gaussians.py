"""The values of a window given what surrounds it: Gaussians of patches, fitted to a dataset.

Channels are independent of each other, and a patch is distributed alike wherever it lies (Zintgraf et al. 2017). The
features of a flat input are one patch: each is conditioned on all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.data.streaming import stream
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.windows import Window
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter

LARGEST = 2048  # values of a patch: its covariance takes the square of that for each channel
SMALLEST = 1e-6  # eigenvalues below this share of the largest are rounding, and say nothing about the window


class Conditional(NamedTuple):
    """Which values of a patch are drawn and which are seen, what the seen say of the drawn, and the spread left."""

    drawn: Tensor
    seen: Tensor
    gain: Tensor
    root: Tensor


@dataclass(frozen=True)
class Gaussian:
    """Patches of `sides`: mean (channels, values) and covariance (channels, values, values), float64."""

    sides: tuple[int, ...]
    padding: int
    mean: Tensor
    covariance: Tensor
    _known: dict[tuple[tuple[int, int], ...], Conditional] = field(default_factory=dict, repr=False)

    def sample(self, x: Tensor, window: Window, normal: Tensor) -> Tensor:
        """Values for a window of x (channels, *places), made of standard normal ones (channels, values)."""
        patch, inside = self._around(window, x.shape[1:])
        drawn, seen, gain, root = self._given(inside)
        around = x[(slice(None), *patch)].flatten(1).double()[:, seen] - self.mean[:, seen]
        mean = self.mean[:, drawn] + torch.einsum("cds,cs->cd", gain, around)
        values = mean + torch.einsum("cde,ce->cd", root, normal.to(mean))
        return values.to(x.dtype).view(len(x), *[part.stop - part.start for part in window])

    def _around(self, window: Window, sizes: Sequence[int]) -> tuple[Window, Window]:
        """The patch around a window, moved inwards at the edges, and where in it the window lies."""
        starts = [
            min(max(0, part.start - self.padding), size - side)
            for part, size, side in zip(window, sizes, self.sides, strict=True)
        ]
        patch = tuple(slice(start, start + side) for start, side in zip(starts, self.sides, strict=True))
        inside = tuple(slice(p.start - s, p.stop - s) for p, s in zip(window, starts, strict=True))
        return patch, inside

    def _given(self, inside: Window) -> Conditional:
        key = tuple((part.start, part.stop) for part in inside)
        if key not in self._known:
            hidden = torch.zeros(self.sides, dtype=torch.bool)
            hidden[inside] = True
            self._known[key] = self._conditional(hidden.flatten().to(self.mean.device))
        return self._known[key]

    def _conditional(self, hidden: Tensor) -> Conditional:
        drawn, seen = hidden.nonzero()[:, 0], (~hidden).nonzero()[:, 0]
        own, cross = (self.covariance[:, drawn][:, :, columns] for columns in (drawn, seen))
        among = self.covariance[:, seen][:, :, seen]
        gain = cross @ torch.linalg.pinv(among, hermitian=True, rtol=SMALLEST) if len(seen) else cross
        values, vectors = torch.linalg.eigh(own - gain @ cross.mT)
        return Conditional(drawn, seen, gain, vectors * values.clamp(min=0).sqrt()[:, None])


def fit(model: Function, batch: Batch, dataset: str, side: int, padding: int) -> Gaussian:
    """The Gaussian of the patches that hold a window of that side and its surroundings, by one pass over a dataset.

    Kept with the batch for other targets. Raises InvalidParameter for a patch too large for its covariance.
    """

    def made() -> Gaussian:
        sides = _sides(model, batch, side, padding)
        return Gaussian(sides, padding, *_moments(model, batch, dataset, sides))

    return batch.cache.get(Gaussian, (dataset, side, padding), made)


def _sides(model: Function, batch: Batch, side: int, padding: int) -> tuple[int, ...]:
    spec = model.card.input
    sizes = over_places(batch.x, spec).shape[2:]
    flat = spec.channel_axis is None
    sides = tuple(size if flat else min(size, side + 2 * padding) for size in sizes)
    if prod(sides) > LARGEST:
        raise InvalidParameter(
            f"a window with its surroundings holds {prod(sides)} values of a channel, and the covariance of at most "
            f"{LARGEST} can be fitted; use a smaller window or padding, or sampling=marginal",
            pointer="/method/window",
        )
    return sides


def _moments(model: Function, batch: Batch, dataset: str, sides: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a dataset's patches, centred and merged batch by batch."""
    spec = model.card.input
    count, mean, scatter = 0, torch.zeros(()), torch.zeros(())
    for x in stream(model, batch, dataset):
        found = _patches(over_places(x, spec).double(), sides)
        new, centre = found.shape[1], found.mean(1)
        apart = found - centre[:, None]
        distance = centre - mean
        total = count + new
        scatter = scatter + apart.mT @ apart
        if count:
            scatter = scatter + distance[:, :, None] * distance[:, None] * (count * new / total)
        mean = mean + distance * (new / total)
        count = total
    return mean, scatter / count


def over_places(x: Tensor, spec: InputSpec) -> Tensor:
    """Inputs as (n, channels, *places); a flat one has one channel."""
    axis = spec.channel_axis
    return x.unsqueeze(1) if axis is None else x.movedim(axis + 1, 1)


def as_inputs(x: Tensor, spec: InputSpec) -> Tensor:
    """The inverse of `over_places`."""
    axis = spec.channel_axis
    return x.squeeze(1) if axis is None else x.movedim(1, axis + 1)


def _patches(x: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Overlapping patches of inputs (n, channels, *places), as (channels, patches, values)."""
    for axis, side in enumerate(sides):
        x = x.unfold(axis + 2, side, max(1, side // 4))
    return x.movedim(1, 0).flatten(1, len(sides) + 1).flatten(2)
