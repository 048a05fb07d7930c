"""Datasets in memory, and the results of held methods computed when first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.resources import ItemExplanation, Items, NoResources
from workers.explanation.result import Row
from workers.explanation.target import ClassTarget
from workers.methods.method import Method


@dataclass(frozen=True)
class InMemoryDataset:
    """Inputs with labels and masks, where there are any."""

    x: Tensor
    labels: NDArray[np.int64] | None = None
    masks: Tensor | None = None
    boxes: NDArray[np.float32] | None = None
    classes: tuple[str, ...] = ()
    model_classes: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()
    digest: str = "sha256:" + "d" * 64
    series: NDArray[np.float64] | None = None

    @property
    def count(self) -> int:
        return len(self.x)

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        for first in range(start, self.count, size):
            part = slice(first, first + size)
            yield Items(
                first,
                self.x[part],
                None if self.labels is None else self.labels[part],
                None if self.masks is None else self.masks[part],
                None if self.boxes is None else self.boxes[part],
                None if self.series is None else self.series[part],
            )


@dataclass
class InMemory:
    """Resources of the datasets and models given, by name; states are kept by model and method, phases by name."""

    datasets: Mapping[str, InMemoryDataset]
    states: dict[tuple[int, Method], Mapping[str, Any]] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    phases: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)

    def of_a_job(self) -> InMemory:
        """The same for a job of its own: what another kept of its passes is not this one's to go on from."""
        return replace(self, phases={})

    def dataset(self, name: str) -> InMemoryDataset:
        return self.datasets[name] if name in self.datasets else NoResources().dataset(name)  # type: ignore[return-value]  # raises

    def state(self, model: Any, method: Method) -> Mapping[str, Any]:
        key = (id(model), method)
        if key not in self.states:
            self.states[key] = method.explain(model, no_input(model, self.of_a_job())).rows()[0].arrays
        return self.states[key]

    def model(self, name: str) -> Model:
        return self.models[name] if name in self.models else NoResources().model(name)

    def given(self, digest: str) -> Tensor:
        return self.inputs[digest] if digest in self.inputs else NoResources().given(digest)

    def explanations(
        self, model: Any, method: Method, target: Any, name: str, start: int, stop: int
    ) -> Iterator[list[ItemExplanation]]:
        data = self.dataset(name)
        for first in range(start, stop, 5):
            x = data.x[first : min(first + 5, stop)]
            batch = Batch(x, [target] * len(x), [getattr(method, "seed", 0)] * len(x), resources=self)
            parts = batch.apart() if model.rows == 1 else [batch]
            rows = [row for part in parts for row in method.explain(model, part).rows()]
            yield [self._item(data, first + i, one, target) for i, one in enumerate(rows)]

    def _item(self, data: InMemoryDataset, number: int, row: Row, target: Any) -> ItemExplanation:
        told = {
            "target": {"kind": "class", "index": target.index if isinstance(target, ClassTarget) else 0},
            "prediction": [{"index": number % 3, "label": None, "score": 0.5, "probability": None}],
            "explained": {"score": 0.25},
            "checks": [check.to_json() for check in row.checks],
        }
        label = None if data.labels is None else int(data.labels[number])
        return ItemExplanation(number, f"{number:064x}", label, {row.kind: row.arrays[row.kind]}, told)

    def saved(self, phase: str) -> Mapping[str, Any] | None:
        return self.phases.get(phase)

    def save(self, phase: str, arrays: Mapping[str, Any]) -> None:
        self.phases[phase] = dict(arrays)


def no_input(model: Model, resources: InMemory) -> Batch:
    """The batch of a method that takes no input."""
    shape = model.graph.nodes[0].shape or ()
    return Batch(torch.empty(0, *shape, dtype=model.dtype), [], resources=resources)


def in_memory(
    x: Tensor, labels: NDArray[np.int64] | None = None, masks: Tensor | None = None, **more: Tensor
) -> InMemory:
    """Resources whose dataset `training` is x, with further datasets by name."""
    rest = {name: InMemoryDataset(values) for name, values in more.items()}
    return InMemory({"training": InMemoryDataset(x, labels, masks), **rest})


def with_series(found: InMemory, series: NDArray[np.float64] | None) -> InMemory:
    """The same resources, `training` with series of each step."""
    return replace(found, datasets={**found.datasets, "training": replace(found.datasets["training"], series=series)})
