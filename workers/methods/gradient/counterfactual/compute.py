"""Small changes of the inputs that take a score, or a lead, to a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import hold
from workers.engine.model.model import Model
from workers.explanation.target import ClassTarget, Target

CLOSE = 1e-6  # of the distance at the start
TINY = 1e-30


class Change(NamedTuple):
    """By row the change (n, *shape), the score or lead that it comes to, and what is told of it."""

    change: Tensor
    scores: list[float]
    info: list[dict[str, Any]]


def nearest(model: Model, batch: Batch, level: float, rivals: int, steps: int) -> Change:
    """The least of the changes found, over the rivals of each row."""
    wanted = model.resolve(batch)
    others = [
        _rivals(model, output, target, rivals) for output, target in zip(model.outputs(batch), wanted, strict=True)
    ]
    found = [
        _of_row(model, batch.x[row : row + 1], target, others[row], level, steps) for row, target in enumerate(wanted)
    ]
    return Change(
        torch.cat([each.change for each in found]), [each.scores[0] for each in found], [each.info[0] for each in found]
    )


def _rivals(model: Model, output: Tensor, target: Target, most: int) -> list[int | None]:
    """The strongest other classes; none of what is no class among several."""
    if not isinstance(target, ClassTarget) or model.card.heads < 2:
        return [None]
    order = target_masks.totals(output[None])[0].argsort(descending=True, stable=True).tolist()
    return [c for c in order if c != target.index][:most]


def _of_row(model: Model, x: Tensor, target: Target, others: Sequence[int | None], level: float, steps: int) -> Change:
    start = x.expand(len(others), *x.shape[1:])
    moved = start.clone()
    first = None
    for _ in range(steps):
        scores, slopes = _lead(model, moved, target, others)
        first = scores - level if first is None else first
        open_rows = (scores - level).abs() > CLOSE * first.abs().clamp(min=TINY)
        if not open_rows.any():
            break
        moved = torch.where(_along(open_rows, moved), _stepped(model, moved, scores - level, slopes), moved)
    scores, _ = _lead(model, moved, target, others)
    assert first is not None
    reached = (scores - level).abs() <= 1e-3 * first.abs().clamp(min=TINY)
    length = (moved - start).double().flatten(1).norm(dim=1)
    best = int(torch.where(reached, length, length.max() + 1 + (scores - level).abs().double()).argmin())
    told = {
        "to": others[best], "label": None if others[best] is None else model.card.label(others[best] or 0),
        "length": float(length[best]), "reached": bool(reached[best]),
    }  # fmt: skip
    return Change((moved - start)[best : best + 1], [float(scores[best])], [told])


def _stepped(model: Model, moved: Tensor, gap: Tensor, slopes: Tensor) -> Tensor:
    """One Newton step along the gradient, of the features that are free to go that way."""
    bounds = model.range()
    if bounds is not None:
        low, high = bounds
        down = _along(gap, slopes) * slopes > 0
        slopes = torch.where((down & (moved <= low)) | (~down & (moved >= high)), 0.0, slopes)
    size = slopes.flatten(1).square().sum(1)
    pace = torch.where(size > TINY, gap / size.clamp(min=TINY), 0.0)
    stepped = moved - _along(pace, slopes) * slopes
    return stepped if bounds is None else hold(stepped.clamp(*bounds), moved, model.card.input)


def _lead(model: Model, x: Tensor, target: Target, others: Sequence[int | None]) -> tuple[Tensor, Tensor]:
    """The score of the target less that of each row's rival, and its gradient."""
    scores, slopes = model.gradient(x, [target] * len(x))
    if others[0] is None:
        return scores, slopes
    rivals, theirs = model.gradient(x, [ClassTarget(index=c) for c in others if c is not None])
    return scores - rivals, slopes - theirs


def _along(of_rows: Tensor, like: Tensor) -> Tensor:
    return of_rows.view(-1, *[1] * (like.dim() - 1))
