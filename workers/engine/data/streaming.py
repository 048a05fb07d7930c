"""A dataset passed through a model once, some items at a time, going on where a dead worker stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.resources import Dataset, Items
from workers.explanation.errors import InvalidParameter

KEEP_S = 5.0
_NEXT = "next item"


class Accumulator(Protocol):
    """What a pass gathers, as arrays that another worker can go on from."""

    def arrays(self) -> Mapping[str, NDArray[Any]]: ...
    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None: ...


def stream(
    model: Function, batch: Batch, name: str, keeping: Accumulator | None = None, phase: str = "items"
) -> Iterator[Tensor]:
    """As `items`, the inputs alone (k, *shape)."""
    for found in items(model, batch, name, keeping, phase):
        yield found.x


def items(
    model: Function, batch: Batch, name: str, keeping: Accumulator | None = None, phase: str = "items"
) -> Iterator[Items]:
    """The items of a dataset, in order, where the model computes; the dataset reports progress.

    `keeping` is what the caller adds each part to: it is kept every few seconds under the name of the phase, and a
    job that lost its worker goes on behind the items that it holds. Raises InvalidParameter for an empty dataset.
    """
    dataset = nonempty(batch, name)
    start = _restored(batch, phase, keeping)
    kept_at = time.monotonic()
    for found in dataset.batches(model.chunk, start):
        found = replace(found, x=found.x.to(model.device, model.dtype))
        yield found
        if keeping is not None and time.monotonic() - kept_at > KEEP_S:
            after = np.array(found.start + len(found.x))
            batch.resources.save(phase, {**keeping.arrays(), _NEXT: after})
            kept_at = time.monotonic()


def nonempty(batch: Batch, name: str, pointer: str = "/method/dataset") -> Dataset:
    """The dataset of that name; raises InvalidParameter where it holds no items."""
    dataset = batch.resources.dataset(name)
    if not dataset.count:
        raise InvalidParameter(f"the dataset {name!r} holds no items", pointer=pointer)
    return dataset


def _restored(batch: Batch, phase: str, keeping: Accumulator | None) -> int:
    """Where to start: behind what was kept."""
    kept = batch.resources.saved(phase) if keeping is not None else None
    if keeping is None or kept is None:
        return 0
    keeping.restore({name: array for name, array in kept.items() if name != _NEXT})
    return int(kept[_NEXT])
