"""Minimal deletion: the smallest box around the strongest attributions that takes the score away (S4 8.5.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.baselines import baseline
from workers.engine.perturbation.maps import over_channels
from workers.explanation.perturbation import Baseline
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions, by_place

THRESHOLDS = 10  # steps from 0 to 1


def minimal(
    model: Function, batch: Batch, of: Sequence[Method], amounts: Sequence[float], kind: Baseline, probability: bool
) -> dict[str, Tensor]:
    """The least box, as a share of the input, that takes away each amount of the score: (n, methods, amounts).

    1 where none does short of the whole. `undefined` is 1 for a row whose score does not fall when all is taken away.
    """
    spec = model.card.input
    boxes = torch.stack([_boxes(by_place(maps, spec)) for maps in attributions(model, batch, of)], 1)
    count, axes = boxes.shape[0], len(spec.spatial_shape)
    whole = torch.tensor([[0, size] for size in spec.spatial_shape]).view(1, 1, 1, axes, 2)
    nothing = torch.zeros_like(whole)
    asked = torch.cat(
        [boxes.flatten(1, 2)[:, None], *(one.expand(count, 1, -1, -1, -1) for one in (whole, nothing))], 2
    )
    scores = _without(model, batch, asked.squeeze(1), baseline(model, batch, kind, asked="fill"), probability)
    blank, intact = scores[:, -2, None, None], scores[:, -1, None, None]
    fall = intact - blank
    taken = (intact - scores[:, :-2].view(*boxes.shape[:3])) / torch.where(fall > 0, fall, torch.inf)
    areas = (boxes[..., 1] - boxes[..., 0]).prod(3) / torch.tensor(spec.spatial_shape).prod()
    areas = areas.to(taken)
    found = [torch.where(taken >= amount, areas, 1.0).amin(2) for amount in amounts]
    curves = torch.stack(found, 2)
    return {
        "scores": curves.mean(2),
        "curves": curves,
        "undefined": (fall[:, 0] <= 0).float().expand(-1, curves.shape[1]),
    }


def _boxes(maps: Tensor) -> Tensor:
    """For each threshold the tightest box around what reaches it, (n, thresholds, axes, 2): first place, and beyond."""
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    scale = torch.where(high > low, high - low, 1.0)
    shape = (-1, *[1] * (maps.dim() - 1))
    scaled = (maps - low.view(shape)) / scale.view(shape)
    levels = torch.linspace(0, 1, THRESHOLDS + 1).to(maps)
    levels[-1] = 1 - 1e-6  # the strongest place itself, whatever rounding made of it
    reached = scaled.unsqueeze(1) >= levels.view(1, -1, *[1] * (maps.dim() - 1))
    reached |= (high == low).view(-1, 1, *[1] * (maps.dim() - 1))
    sides = []
    for axis in range(2, reached.dim()):
        others = [i for i in range(2, reached.dim()) if i != axis]
        along = reached.amax(others) if others else reached
        first = along.int().argmax(2)
        last = along.shape[2] - along.flip(2).int().argmax(2)
        sides.append(torch.stack([first, last], 2))
    return torch.stack(sides, 2).cpu()


def _without(model: Function, batch: Batch, boxes: Tensor, blank: Tensor, probability: bool) -> Tensor:
    """The scores with each box (n, k, axes, 2) of a row replaced by the blank, equal ones asked once: (n, k)."""
    rows = torch.arange(len(boxes)).repeat_interleave(boxes.shape[1])
    keys = torch.cat([rows[:, None], boxes.flatten(0, 1).flatten(1)], 1)
    distinct, inverse = torch.unique(keys, dim=0, return_inverse=True)
    spec, owners = model.card.input, distinct[:, 0]
    sides = distinct[:, 1:].view(len(distinct), -1, 2)

    def without(at: Tensor) -> Tensor:
        gone = torch.ones(len(at), *spec.spatial_shape, dtype=torch.bool)
        for axis, size in enumerate(spec.spatial_shape):
            place = torch.arange(size)
            within = (sides[at, axis, :1] <= place) & (place < sides[at, axis, 1:])
            gone &= within.view(len(at), *[1] * axis, size, *[1] * (len(spec.spatial_shape) - 1 - axis))
        chosen = owners[at]
        return torch.where(over_channels(gone, spec).to(blank.device), blank[chosen], batch.x[chosen])

    scores = altered_scores(model, batch, Copies(owners, without), probability)
    return scores[inverse.to(blank.device)].view(len(boxes), -1)
