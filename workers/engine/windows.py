"""Windows that slide over the places of an input of any rank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.batch import Batch
from workers.engine.model import Model
from workers.engine.sweep import sweep
from workers.errors import InvalidParameter, MethodNotApplicable

Window: TypeAlias = tuple[slice, ...]


def windows(shape: Sequence[int], patch: int | None, stride: int | None) -> list[Window]:
    """The windows over the places of an input (channels, *places), or over the features of a flat one.

    Every place is covered: the last window of a row is cut at the edge. Raises InvalidParameter for a stride beyond the
    patch, which would leave places out.
    """
    places = shape[1:] if len(shape) > 1 else shape
    side = patch or max(1, max(places) // 14)
    step = stride or side
    if step > side:
        raise InvalidParameter(
            f"a stride of {step} with a patch of {side} leaves places uncovered; use at most the patch",
            pointer="/method/stride",
        )
    axes = [
        [slice(start, min(start + side, size)) for start in range(0, max(1, size - side + step), step)]
        for size in places
    ]
    return list(product(*axes))


def occlude(model: Model, batch: Batch, places: Sequence[Window], fill: Tensor, probability: bool) -> Tensor:
    """score(x) - score(x with a window filled), averaged over the windows that cover a place; one channel."""
    wanted = model.resolve(batch)
    flat = batch.x.dim() == 2
    spread = batch.x.new_zeros((len(batch), 1, *batch.x.shape[1 if flat else 2 :]))
    covered = torch.zeros_like(spread[:1])
    for window in places:
        covered[(slice(None), slice(None), *window)] += 1
    with torch.no_grad():
        whole = torch.cat([model.scores(batch.x[i : i + 1], wanted[i : i + 1], probability) for i in range(len(batch))])
        for rows, points in sweep(model, batch, len(places), "patches"):
            x = batch.x[rows]
            for i, (row, point) in enumerate(zip(rows.tolist(), points.tolist(), strict=True)):
                at = places[point] if flat else (slice(None), *places[point])
                x[(i, *at)] = fill[(row, *at)]
            losses = whole[rows] - model.scores(x, [wanted[row] for row in rows], probability)
            for row, point, loss in zip(rows.tolist(), points.tolist(), losses, strict=True):
                spread[(row, slice(None), *places[point])] += loss
    values = spread / covered
    return values[:, 0] if flat else values


def check_score(model: Model, score: str) -> None:
    """Raise MethodNotApplicable where a softmax of the output makes no sense."""
    if score == "probability" and model.card.output not in ("logits", "segmentation"):
        raise MethodNotApplicable(
            f"score=probability takes the softmax of logits, and this model's output is {model.card.output}; "
            "use score=logit, which watches the output itself",
            pointer="/method/score",
        )
