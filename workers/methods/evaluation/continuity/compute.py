"""Continuity: how far an explanation moves when the input moves a little (S4 13.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.baselines import baseline
from workers.explanation.card import InputSpec
from workers.methods.method import Method
from workers.methods.nested.attributions import elsewhere

Course: TypeAlias = Literal["occlusion", "translation", "noise"]
NOISE = 0.01  # norm of a random step, in shares of the input's own


def course(model: Function, batch: Batch, kind: Course, steps: int, patch: int | None) -> Tensor:
    """For each row the inputs passed on the way: (n, steps + 1, *shape)."""
    courses: dict[Course, Callable[[], list[Tensor]]] = {
        "occlusion": lambda: _occluded(model, batch, steps, patch),
        "translation": lambda: _translated(batch.x, model.card.input, steps),
        "noise": lambda: _wandering(batch, steps),
    }
    return torch.stack(courses[kind](), 1)


def jumps(model: Function, batch: Batch, of: Sequence[Method], way: Tensor) -> dict[str, Tensor]:
    """|R(x) - R(x')| / |x - x'| from each point to the next, Euclidean norms, by method: (n, methods, steps).

    `relative` has both distances in shares of the norms of R and x at the way's start. A step that leaves the input as
    it is counts 0.
    """
    count, steps = way.shape[0], way.shape[1] - 1
    moved = (way[:, 1:] - way[:, :-1]).flatten(2).norm(dim=2)
    size = way[:, 0].flatten(1).norm(dim=1)
    rows = torch.arange(count).repeat_interleave(steps + 1)
    ratios, relative = [], []
    for method in of:
        maps = elsewhere(model, batch, way.flatten(0, 1), rows, method).flatten(1).view(count, steps + 1, -1)
        leapt = (maps[:, 1:] - maps[:, :-1]).norm(dim=2)
        ratio = torch.where(moved > 0, leapt / moved.clamp(min=1e-30), 0.0)
        ratios.append(ratio)
        relative.append(ratio * (size / maps[:, 0].norm(dim=1).clamp(min=1e-12))[:, None])
    curves = torch.stack(ratios, 1)
    return {"scores": curves.amax(2), "curves": curves, "relative": torch.stack(relative, 1).amax(2)}


def _occluded(model: Function, batch: Batch, steps: int, patch: int | None) -> list[Tensor]:
    """A window of each channel's mean that slides along the last axis, halfway along the others."""
    spec, blank = model.card.input, baseline(model, batch, "mean")
    sizes, channels = spec.spatial_shape, spec.channel_axis
    side = patch or (1 if channels is None else max(1, max(sizes) // 4))
    room = max(0, sizes[-1] - side)
    found = []
    for step in range(steps + 1):
        starts = [max(0, size - side) // 2 for size in sizes[:-1]] + [round(room * step / max(1, steps))]
        at: list[slice] = [slice(start, start + side) for start in starts]
        if channels is not None:
            at.insert(channels, slice(None))
        x = batch.x.clone()
        x[(slice(None), *at)] = blank[(slice(None), *at)]
        found.append(x)
    return found


def _translated(x: Tensor, spec: InputSpec, steps: int) -> list[Tensor]:
    """Shifted along the last axis of places, one place a step; the edge is repeated where nothing comes from."""
    axis = x.dim() - 1
    if spec.channel_axis == len(spec.shape) - 1:
        axis -= 1
    at = torch.arange(x.shape[axis], device=x.device)
    return [x.index_select(axis, (at - step).clamp(min=0)) for step in range(steps + 1)]


def _wandering(batch: Batch, steps: int) -> list[Tensor]:
    """A walk of small random steps, all of one length, each row from its own seed."""
    sources, x = batch.generators(), batch.x
    length = NOISE * x.flatten(1).norm(dim=1)
    found = [x]
    for _ in range(steps):
        drawn = torch.stack([torch.randn(x.shape[1:], generator=source) for source in sources]).to(x)
        unit = drawn / drawn.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))
        found.append(found[-1] + unit * length.view(-1, *[1] * (x.dim() - 1)))
    return found
