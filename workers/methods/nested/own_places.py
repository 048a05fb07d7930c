"""What methods say of each place that a person is told of: of a text each of its own tokens, and not its padding."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import outside, piece
from workers.engine.perturbation.maps import over_channels
from workers.explanation.card import InputSpec, Part
from workers.explanation.inputs import explained
from workers.methods.nested.attributions import by_place
from workers.methods.nested.ranks import ROUNDING, correlation, ranks


def ranked(model: Function, batch: Batch, maps: Sequence[Tensor], magnitudes: bool, channels: bool) -> list[Tensor]:
    """For each row the ranks of its own places in each of some maps (n, ...): (maps, places).

    With `channels` those are summed first; embeddings always are.
    """
    spec = model.card.input
    values = torch.stack([at_places(each, spec, channels) for each in maps], 1)
    values = values.abs() if magnitudes else values
    own = own_places(model, batch, values.shape[2], channels)
    return [ranks(row[:, there]) for row, there in zip(values, own, strict=True)]


def likeness(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """The correlation of each row's ranks (..., places) with another's: (n, ...). Rows may differ in places."""
    return torch.stack([correlation(a, b) for a, b in zip(one, other, strict=True)])


def at_places(maps: Tensor, spec: InputSpec, channels: bool) -> Tensor:
    """What maps (n, ...) have at each place (n, places), of several inputs one after the other; what is held has none.

    Embeddings are summed over, and channels where asked.
    """
    if not spec.parts:
        return (by_place(maps, spec) if channels else maps).flatten(1)
    found = []
    for part in explained(spec):
        axis = _axis(part, channels)
        own = piece(maps, part)
        found.append((own if axis is None else _sums(own, axis + 1)).flatten(1))
    return torch.cat(found, 1)


def _sums(values: Tensor, axis: int) -> Tensor:
    """Over an axis; 0 where all cancels but rounding, as the gradient of a vector does that a layer norm follows."""
    found = values.sum(axis)
    return torch.where(found.abs() <= ROUNDING * values.abs().sum(axis), 0.0, found)


def own_places(model: Function, batch: Batch, count: int, channels: bool) -> Tensor:
    """Which of so many places are of the inputs themselves (n, places); of a text without any, all."""
    spec = model.card.input
    out = outside(batch.x, spec, model.card.named)
    if out is None:
        return torch.ones(len(batch), count, dtype=torch.bool, device=batch.x.device)
    own = at_places(out.to(batch.x.dtype), spec, channels) == 0
    found: Tensor = own | ~own.any(1, keepdim=True)
    return found


def spread(values: Tensor, spec: InputSpec) -> Tensor:
    """The numbers of places (n, places), embeddings summed, as a list of inputs (n, numbers): shared evenly by each."""
    sizes = at_places(values.new_ones(1, *spec.shape), spec, channels=False)
    return at_numbers(values / sizes, spec, channels=False)


def at_numbers(values: Tensor, spec: InputSpec, channels: bool) -> Tensor:
    """What each of inputs' numbers (n, ...) has of those of the places (n, places) that `at_places` makes of them.

    What is held has 0.
    """
    if not spec.parts:
        whole = values.view(len(values), *(spec.spatial_shape if channels else spec.shape))
        return over_channels(whole, spec) if channels else whole
    found = values.new_zeros(len(values), *spec.shape)
    at = 0
    for part in explained(spec):
        axis = _axis(part, channels)
        shape = [1 if i == axis else n for i, n in enumerate(part.shape)]
        own = values[:, at : at + prod(shape)].view(len(values), *shape)
        found[:, part.start : part.stop] = own.expand(-1, *part.shape).reshape(len(values), -1)
        at += prod(shape)
    return found


def _axis(part: Part, channels: bool) -> int | None:
    """The axis that is summed over."""
    return part.channels if part.embedding or channels else None
