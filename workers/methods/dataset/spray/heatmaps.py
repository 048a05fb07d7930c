"""Heat maps of a dataset's items, small enough to be kept all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

from workers.engine.data.labels import about, none_of
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import piece
from workers.explanation.card import InputSpec
from workers.explanation.inputs import explained
from workers.explanation.target import Target
from workers.methods.method import Method

_POOL: dict[int, Callable[[Tensor, Any], Tensor]] = {
    1: adaptive_avg_pool1d,
    2: adaptive_avg_pool2d,
    3: adaptive_avg_pool3d,
}


class Heatmaps:
    """The maps gathered so far, by the items' numbers; another worker can go on from them."""

    def __init__(self) -> None:
        self._numbers: list[NDArray[np.int64]] = []
        self._maps: list[NDArray[np.float32]] = []

    @property
    def numbers(self) -> NDArray[np.int64]:
        return np.concatenate(self._numbers) if self._numbers else np.zeros(0, np.int64)

    @property
    def maps(self) -> NDArray[np.float32]:
        """(items, *places)"""
        return np.concatenate(self._maps)

    def __len__(self) -> int:
        return sum(map(len, self._numbers))

    def add(self, numbers: NDArray[np.int64], maps: Tensor) -> None:
        self._numbers.append(numbers)
        self._maps.append(maps.detach().float().cpu().numpy())

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"numbers": self.numbers, "maps": self.maps} if self._maps else {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if arrays:
            self._numbers, self._maps = [arrays["numbers"].astype(np.int64)], [arrays["maps"]]


def heatmaps(
    model: Function, batch: Batch, of: Method, name: str, target: Target, most: int, cells: int | None
) -> Heatmaps:
    """The method on the items that the target is about, the first `most` of them, summed over channels.

    With `cells`, longer axes of places are averaged down to so many. Raises InvalidParameter where there are no items.
    """
    found = Heatmaps()
    for numbers, x in about(model, batch, name, target, found, "heatmaps"):
        room = most - len(found)
        if room <= 0:
            break
        few, seed = x[:room], getattr(of, "seed", 0)
        inner = Batch(few, [target] * len(few), [seed] * len(few), resources=batch.resources, once=True)
        found.add(numbers[:room], places(of.explain(model, inner).arrays["attribution"], model.card.input, cells))
    if not len(found):
        raise none_of(name, target)
    return found


def places(values: Tensor, spec: InputSpec, cells: int | None) -> Tensor:
    """Attributions (n, ...) summed over channels (n, *places); of several inputs, and of ids, one after the other."""
    if not spec.parts:
        axis = spec.channel_axis
        return pooled(values if axis is None else values.sum(axis + 1), cells)
    maps = [(piece(values, part), part.channels) for part in explained(spec)]
    summed = [own if axis is None else own.sum(axis + 1) for own, axis in maps]
    return torch.cat([pooled(own, cells).flatten(1) for own in summed], 1)


def pooled(maps: Tensor, cells: int | None) -> Tensor:
    """Maps (n, *places), the axes longer than `cells` averaged down to so many."""
    sizes = [size if cells is None else min(size, cells) for size in maps.shape[1:]]
    if list(maps.shape[1:]) == sizes or len(sizes) not in _POOL:
        return maps
    return _POOL[len(sizes)](maps[:, None], sizes)[:, 0]
