"""A dataset passed through a model once, some items at a time."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from workers.engine.batch import Batch
from workers.engine.model import Model
from workers.errors import InvalidParameter


def stream(model: Model, batch: Batch, name: str) -> Iterator[Tensor]:
    """The inputs of a dataset (k, *shape), in order, where the model computes; the dataset reports progress.

    Raises InvalidParameter for a dataset that holds nothing.
    """
    dataset = batch.resources.dataset(name)
    if not dataset.count:
        raise InvalidParameter(f"the dataset {name!r} holds no items", pointer="/method/dataset")
    for items in dataset.batches(model.chunk):
        yield items.x.to(model.device, model.dtype)
