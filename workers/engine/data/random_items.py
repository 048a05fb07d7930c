"""Items of a dataset, picked by their numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.explanation.errors import InvalidParameter


def pick(model: Function, batch: Batch, name: str, draws: int, sources: list[torch.Generator]) -> tuple[Tensor, Tensor]:
    """For each row `draws` items of the dataset, with replacement, drawn from the row's own source.

    Returns the distinct items (k, *shape), where the model computes, and which of them each row drew (n, draws). The
    dataset is streamed once, and no further than needed. Raises InvalidParameter for one that holds nothing.
    """
    dataset = batch.resources.dataset(name)
    if not dataset.count:
        raise InvalidParameter(f"the dataset {name!r} holds no items", pointer="/method/dataset")
    drawn = torch.stack([torch.randint(dataset.count, (draws,), generator=source) for source in sources])
    distinct, at = torch.unique(drawn, return_inverse=True)
    parts: list[Tensor] = []
    for items in dataset.batches(model.chunk):
        stop = items.start + len(items.x)
        here = distinct[(distinct >= items.start) & (distinct < stop)]
        parts.append(items.x[here - items.start])
        if stop > distinct[-1]:
            break
    return torch.cat(parts).to(model.device, model.dtype), at
