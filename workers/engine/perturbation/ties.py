"""Inputs moved off ties: where values tie, as a background does in pooling, rounding alone says who wins."""

from __future__ import annotations

from collections.abc import Sequence

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import hold
from workers.engine.perturbation.extents import bounds
from workers.engine.perturbation.random_numbers import drawn
from workers.explanation.target import Target


def untied(model: Function, batch: Batch, share: float) -> Batch:
    """The batch with uniform noise of at most that share of each input's range, from each row's seed; same targets.

    Two models that compute one function round differently, so a gradient taken at a tie differs between them.
    """
    if not share:
        return batch
    wanted: Sequence[Target] = model.resolve(batch)
    low, high = bounds(model, batch.x)
    x = hold(batch.x + share * (high - low) * (2 * drawn(model, batch) - 1), batch.x, model.card.input)
    return Batch(x, wanted, batch.seeds, batch.report, resources=batch.resources)
