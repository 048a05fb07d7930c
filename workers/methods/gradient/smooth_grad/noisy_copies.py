"""A method's attributions under noise on the input."""

from __future__ import annotations

import torch

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.chunks import sweep
from workers.engine.perturbation.extents import extent
from workers.engine.perturbation.random_numbers import drawing
from workers.explanation.perturbation import NoiseOf
from workers.methods.method import Method
from workers.methods.nested.map_sums import MapSums


def sample(model: Function, batch: Batch, of: Method, samples: int, noise: float, noise_of: NoiseOf) -> MapSums:
    """What `of` gives for inputs with Gaussian noise, whose standard deviation is `noise` times what `noise_of` says.

    The target is the one of the input itself. Each row draws from its own seed, its samples in order.
    """
    wanted, scale = model.resolve(batch), noise * extent(model, batch.x, noise_of)
    draw = drawing(model, batch, torch.randn, batch.generators())
    seed = getattr(of, "seed", 0)
    found = MapSums(len(batch), model.card.input)
    for rows, _ in sweep(model, batch, samples, "samples"):
        x = draw(rows)
        x *= scale if len(scale) == 1 else scale[rows]
        x += batch.x[rows]
        inner = Batch(x, [wanted[row] for row in rows], [seed] * len(rows), resources=batch.resources, once=True)
        found.add(rows, of.explain(model, inner).arrays["attribution"])
    return found
