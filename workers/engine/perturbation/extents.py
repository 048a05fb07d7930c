"""How far an input's values reach: what noise is a share of, and between what it is drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.model.function import Function
from workers.engine.model.inputs import by_part, outside
from workers.engine.model.prediction import input_range
from workers.explanation.card import InputSpec, Part
from workers.explanation.perturbation import NoiseOf


def extent(model: Function, x: Tensor, noise_of: NoiseOf) -> Tensor:
    """What noise is a share of: the width of the input's range by channel, as the card says, else of each row's own
    values; or the standard deviation of each row's values. Of several inputs, each by itself. Broadcasts to x."""
    if noise_of == "std" and model.card.input.parts:
        return _deviation(model, x)
    if noise_of == "std":
        return x.std(tuple(range(1, x.dim())), correction=0, keepdim=True)
    low, high = bounds(model, x)
    return high - low


def bounds(model: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """Between what the input's values lie: as the card says, else each row's own; of several inputs, each by itself.

    What is held, or no part of a text, lies where it is. Broadcasts to x.
    """
    spec = model.card.input
    if not spec.parts:
        return model.range() or own_range(x)
    kept = outside(x, spec, model.card.named)
    own = x if kept is None else x.masked_fill(kept, torch.nan)

    def bound(which: int) -> Tensor:
        def of_part(piece: Tensor, part: Part) -> Tensor:
            known = None if part.embedding else input_range(model.card.named[part.name], x.device, x.dtype)
            found = known or own_range(piece)
            return found[which].expand_as(piece)

        made = by_part(own, spec, of_part)
        return torch.where(_still(spec, x, kept), x, made)

    return bound(0), bound(1)


def _deviation(model: Function, x: Tensor) -> Tensor:
    """The standard deviation of the values of each of several inputs; none of what is held."""
    spec, kept = model.card.input, outside(x, model.card.input, model.card.named)
    own = x if kept is None else x.masked_fill(kept, torch.nan)

    def of_part(piece: Tensor, _: Part) -> Tensor:
        axes = tuple(range(1, piece.dim()))
        mean = piece.nanmean(axes, keepdim=True)
        return (piece - mean).square().nanmean(axes, keepdim=True).sqrt().expand_as(piece)

    return by_part(own, spec, of_part).masked_fill(_still(spec, x, kept), 0)


def _still(spec: InputSpec, x: Tensor, kept: Tensor | None) -> Tensor:
    """Which of several inputs' numbers no noise moves: what is held, and what is no part of a text."""
    found = torch.zeros_like(x, dtype=torch.bool) if kept is None else kept.clone()
    for part in spec.parts:
        if part.held:
            found[:, part.start : part.stop] = True
    return found


def own_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and highest value of each row, of those that are numbers."""
    axes, missing = tuple(range(1, x.dim())), x.isnan()
    low, high = x.masked_fill(missing, torch.inf), x.masked_fill(missing, -torch.inf)
    return low.amin(axes, keepdim=True), high.amax(axes, keepdim=True)
