"""What methods attribute to the inputs of a batch, each made once, whoever asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.chunks import even
from workers.explanation.card import InputSpec
from workers.methods.method import Method
from workers.methods.nested.resources import Unkept


def refuse(model: Function, of: Sequence[Method]) -> None:
    """Raise MethodNotApplicable where one of the methods judged cannot explain this model."""
    for method in of:
        method.check_needs(model)
        method.check_walk(model)
        method.refuse(model)


def attributions(model: Function, batch: Batch, of: Sequence[Method]) -> list[Tensor]:
    """Each method's attributions of the batch (n, ...), kept with it for other evaluations of the same inputs."""
    return [
        batch.cache.get(Tensor, (method, tuple(batch.targets)), partial(_explained, model, batch, method))
        for method in of
    ]


def elsewhere(model: Function, batch: Batch, x: Tensor, rows: Tensor, method: Method) -> Tensor:
    """What a method attributes to other inputs x (k, *shape), each for the target of a row of the batch."""
    wanted = model.resolve(batch)
    parts = []
    for at in torch.split(torch.arange(len(x)), even(len(x), model.chunk)):
        targets = [wanted[row] for row in rows[at].tolist()]
        part = Batch(x[at], targets, report=batch.report, resources=batch.resources)
        parts.append(_explained(model, part, method))
    return torch.cat(parts)


def attributed(model: Function, batch: Batch, method: Method) -> Tensor:
    """What a method attributes to each row of a batch: of a model that runs a row at a time, to one after the other."""
    rows = batch.apart() if model.rows == 1 and len(batch) > 1 else [batch]
    return torch.cat([method.explain(model, row).arrays["attribution"].detach() for row in rows])


def by_place(maps: Tensor, spec: InputSpec) -> Tensor:
    """Attributions (n, ...) summed over the channels: (n, *places)."""
    axis = spec.channel_axis
    return maps if axis is None else maps.sum(axis + 1)


def _explained(model: Function, batch: Batch, method: Method) -> Tensor:
    """The method's steps are no steps of the evaluation: they only ask whether to go on."""

    def report(done: int, total: int, unit: str) -> None:
        batch.report(done, total, f"{unit} of {method.name}")

    inner = batch.sharing(batch.targets, [getattr(method, "seed", 0)] * len(batch), report)
    inner.resources = Unkept(batch.resources)
    return attributed(model, inner, method)
