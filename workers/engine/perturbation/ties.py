"""Inputs moved off ties: where values tie, as a background does in pooling, rounding alone says who wins."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import hold
from workers.explanation.target import Target


def untied(model: Function, batch: Batch, share: float) -> Batch:
    """The batch with uniform noise of at most that share of the input's range, from each row's seed; same targets.

    Two models that compute one function round differently, so a gradient taken at a tie differs between them.
    """
    if not share:
        return batch
    wanted: Sequence[Target] = model.resolve(batch)
    flat = batch.x.flatten(1)
    known = model.range()
    size = (flat.amax(1) - flat.amin(1)).view(-1, *[1] * (batch.x.dim() - 1)) if known is None else known[1] - known[0]
    drawn = torch.stack([torch.rand(batch.x.shape[1:], generator=source) for source in batch.generators()])
    x = hold(batch.x + share * size * (2 * drawn.to(batch.x) - 1), batch.x, model.card.input)
    return Batch(x, wanted, batch.seeds, batch.report, resources=batch.resources)
