"""Gradients at random points between random baselines and the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from workers.engine.data.random_items import pick
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import hold
from workers.engine.model.model import Model
from workers.engine.perturbation.chunks import sweep
from workers.engine.perturbation.extents import bounds, extent
from workers.engine.perturbation.random_numbers import drawing
from workers.explanation.perturbation import NoiseOf
from workers.methods.nested.map_sums import MapSums

Draw: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (rows, samples) -> baselines (k, *shape); samples in order


class Expectation(NamedTuple):
    """The samples' attributions, and by row what they should sum to, do, and that sum's standard error."""

    sums: MapSums
    expected: list[float]
    observed: list[float]
    errors: list[float]


def expect(model: Model, batch: Batch, samples: int, sources: list[torch.Generator], baselines: Draw) -> Expectation:
    """The gradient at a random point of the line from a baseline, times the line, over `samples` baselines."""
    wanted, flat = model.resolve(batch), (-1, *[1] * (batch.x.dim() - 1))
    nodes = torch.stack([torch.rand(samples, generator=source) for source in sources]).to(batch.x)
    found = MapSums(len(batch), model.card.input)
    begins, sums = (torch.zeros(len(batch), samples, dtype=torch.float64) for _ in range(2))
    for rows, at in sweep(model, batch, samples, "samples"):
        start = hold(baselines(rows, at), batch.x[rows], model.card.input)
        targets = [wanted[row] for row in rows]
        line = batch.x[rows] - start
        _, gradients = model.gradient(start + line * nodes[rows, at].view(flat), targets)
        values = gradients * line
        found.add(rows, values)
        with torch.no_grad():
            begins[rows, at] = model.scores(start, targets).double().cpu()
        sums[rows, at] = values.double().flatten(1).sum(1).cpu()
    with torch.no_grad():
        ends = torch.cat([model.scores(batch.x[i : i + 1], wanted[i : i + 1]) for i in range(len(batch))])
    due = ends.double().cpu()[:, None] - begins
    errors = (sums - due).std(1, correction=min(1, samples - 1)) / samples**0.5
    return Expectation(found, due.mean(1).tolist(), sums.mean(1).tolist(), errors.tolist())


def from_dataset(model: Model, batch: Batch, name: str, samples: int, sources: list[torch.Generator]) -> Draw:
    """Baselines that are items of a dataset, each as likely as any other."""
    items, drawn = pick(model, batch, name, samples, sources)
    return lambda rows, at: items[drawn[rows, at]]


def uniform(model: Model, batch: Batch, sources: list[torch.Generator]) -> Draw:
    """Baselines that are noise over the range of the input: the card's, else each row's own."""
    low, high = (bound.expand_as(batch.x) for bound in bounds(model, batch.x))
    draw = drawing(model, batch, torch.rand, sources)
    return lambda rows, _: low[rows] + (high - low)[rows] * draw(rows)


def gaussian(model: Model, batch: Batch, sources: list[torch.Generator], width: float, noise_of: NoiseOf) -> Draw:
    """Baselines that are the input under noise whose standard deviation is `width` times what `noise_of` says."""
    scale = (width * extent(model, batch.x, noise_of)).expand_as(batch.x)
    draw = drawing(model, batch, torch.randn, sources)
    return lambda rows, _: batch.x[rows] + scale[rows] * draw(rows)
