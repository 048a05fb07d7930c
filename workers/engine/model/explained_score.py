"""What an answer tells beside its numbers: the scalar that was explained, and the prediction that it is one of."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.tape import Tape
from workers.engine.model import prediction, target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.model import Model
from workers.engine.model.outputs import has_chances, has_share, target_chances
from workers.explanation.target import (
    ElementTarget,
    ReducedTarget,
    Target,
    ValueTarget,
)


def explained_scores(model: Function, batch: Batch) -> tuple[list[list[dict[str, Any]]], list[dict[str, float | None]]]:
    """For each row the prediction, and {score, probability} of its target; nothing of the latter without targets.

    Of a `value` the prediction is the number that was explained. Asked after the method, so that the passes that it
    made serve this, too.
    """
    prediction = model.prediction(batch)
    if not batch.targets:
        return prediction, []
    wanted = model.resolve(batch)
    scores, shares = _scores(model, batch, wanted).tolist(), _shares(model, batch, wanted)
    found = [
        {"score": score, "probability": shares.get(row) if math.isfinite(shares.get(row, 0.0)) else None}
        for row, score in enumerate(scores)
    ]
    for row, target in enumerate(wanted):
        if (own := _own(model, target, scores[row], found[row]["probability"])) is not None:
            prediction[row] = [own]
    return prediction, found


def _scores(model: Function, batch: Batch, wanted: list[Target]) -> Tensor:
    """The scalar of each row's target, (n,)."""
    if not target_masks.is_inside(wanted):
        return target_masks.output_scores(wanted, model.outputs(batch))
    if isinstance(model, Model) and batch.cache.find(Tape) is not None and not model.normed(wanted):
        tape = model.tape(batch)
        return target_masks.scores(
            target_masks.masks(wanted, tape.graph, tape.values), tape.graph, tape.values
        ).detach()
    parts = torch.split(torch.arange(len(batch)), model.chunk if len(batch) > 1 else 1)
    with torch.no_grad():
        return torch.cat([model.scores(batch.x[at], [wanted[row] for row in at.tolist()]) for at in parts])


def _shares(model: Function, batch: Batch, wanted: list[Target]) -> dict[int, float]:
    """The probability of each row's target by row, of those that are a class's."""
    rows = [row for row, target in enumerate(wanted) if has_share(model.card, target)]
    if not rows or not has_chances(model.card):
        return {}
    found = target_chances(model.card, [wanted[row] for row in rows], model.outputs(batch)[rows])
    return dict(zip(rows, found.tolist(), strict=True))


def _own(model: Function, target: Target, score: float, share: float | None) -> dict[str, Any] | None:
    """The entry of a prediction that is the target itself, where that is no class."""
    if isinstance(target, ValueTarget):
        return prediction.entry(model.card, 0, score)
    if isinstance(target, ElementTarget):
        index = target.index[0] if len(target.index) == 1 else list(target.index)
        return prediction.entry(model.card, index, score, share)
    if isinstance(target, ReducedTarget):
        return {"index": None, "label": target.reduce, "score": score, "probability": None}
    return None
