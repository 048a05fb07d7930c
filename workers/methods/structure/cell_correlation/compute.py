"""Correlations of memory cells with series over the steps of each item (S4 19.3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.streaming import items
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import Layer, ModelCard
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.names.spelling import meant


@dataclass
class Correlations:
    """By cell and series the sum of the items' correlations, and how many items have one."""

    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 1)))
    items: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 1), np.int64))

    def add(self, cells: NDArray[np.float64], series: NDArray[np.float64]) -> None:
        """Those of some items: cells (n, steps, cells) and series (n, steps, series)."""
        a, b = (_standard(one) for one in (cells, series))
        both = np.einsum("ntc,nts->ncs", a, b)
        self.total = self.total + np.nan_to_num(both).sum(0)
        self.items = self.items + (~np.isnan(both)).sum(0)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Zero where no item has one."""
        found: NDArray[np.float64] = self.total / np.maximum(self.items, 1)
        return found

    def best(self) -> list[tuple[int, float]]:
        """Of each series the cell that goes with it most closely, either way, and how closely."""
        mean = self.mean
        return [(int(c), float(mean[c, s])) for s, c in enumerate(np.abs(mean).argmax(0))]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"total": self.total, "items": self.items}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.total, self.items = arrays["total"], arrays["items"]


def cell_of(card: ModelCard, name: str | None) -> Layer:
    """What each step computes, by its name in the card; raises MethodNotApplicable where no step computes anything."""
    if not card.cells:
        raise MethodNotApplicable(
            f"{card.name} has no recurrent layer, whose memory cells are what is correlated", pointer="/method"
        )
    names = [cell.name for cell in card.cells]
    if name is None:
        ends = [one for one in names if one.endswith(".c")] or [one for one in names if one.endswith(".h")] or names
        name = ends[-1]
    if name not in names:
        raise InvalidParameter(f"there are no such cells; {meant(name, names)}", pointer="/method/layer")
    return card.cells[names.index(name)]


def correlations(model: Model, batch: Batch, dataset: str, cell: Layer) -> Correlations:
    """Of all items of the dataset, in one pass."""
    nodes = [model.layer(cell.at(step)).index for step in range(cell.steps)]
    found = Correlations()
    for part in items(model, batch, dataset, found):
        if part.series is None:
            raise InvalidParameter(
                f"the dataset {dataset!r} has no series; send an .npz with `series` (n, {cell.steps}, series) beside "
                "`inputs`",
                pointer="/method/dataset",
            )
        if part.series.shape[1] != cell.steps:
            raise InvalidParameter(
                f"the series of {dataset!r} have {part.series.shape[1]} steps, and {cell.name} has {cell.steps}",
                pointer="/method/dataset",
            )
        with torch.no_grad():
            values = model.folded.run(part.x, set(nodes))[1]
        found.add(_numbers(torch.stack([values[at] for at in nodes], 1)), np.asarray(part.series, np.float64))
    return found


def _numbers(values: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.double().cpu().numpy()
    return found


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each item's steps less their mean, of length one; NaN of what never changes."""
    apart = values - values.mean(1, keepdims=True)
    size = np.sqrt(np.square(apart).sum(1, keepdims=True))
    still = size <= 1e-6 * np.abs(values).max(1, keepdims=True)  # of a constant rounding alone would be left
    found: NDArray[np.float64] = np.where(still, np.nan, apart / np.where(still, 1, size))
    return found
