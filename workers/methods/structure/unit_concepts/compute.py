"""Associations of units with labels by rank tests (S4 l.5809)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from workers.engine.data.streaming import items
from workers.engine.layers.levels import Level, levels
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.nested.ranks import ranks

MOST = 1000  # associations that are told


@dataclass(frozen=True)
class Associations:
    """By unit and concept the p-value times the number of tests, and the area under the curve."""

    layer: str
    adjusted: NDArray[np.float64]
    auc: NDArray[np.float64]
    concepts: tuple[str, ...]

    def below(self, alpha: float) -> list[dict[str, Any]]:
        order = np.argsort(self.adjusted, axis=None, kind="stable")[:MOST]
        pairs = [divmod(int(at), self.adjusted.shape[1]) for at in order]
        return [
            {"unit": u, "concept": self.concepts[c], "p": float(self.adjusted[u, c]), "auc": float(self.auc[u, c])}
            for u, c in pairs
            if self.adjusted[u, c] < alpha
        ]


@dataclass
class Observed:
    """The units' values of every item, and their labels; what another worker can go on from."""

    values: list[NDArray[np.float32]] = field(default_factory=list)
    labels: list[NDArray[np.int64]] = field(default_factory=list)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"values": np.concatenate(self.values), "labels": np.concatenate(self.labels)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.values, self.labels = [arrays["values"]], [arrays["labels"]]


def unit_level(model: Model, name: str | None) -> Level:
    """The layer and its units; raises MethodNotApplicable where the model has no layer between input and output."""
    output = model.folded.nodes[model.folded.output]
    found = levels(model, () if name is None else (name,), output)
    if len(found) < 2:
        raise MethodNotApplicable(
            f"{model.card.name} has no layer of units between its input and its output; name one by `layer`",
            pointer="/method/layer",
        )
    return found[-2]


def associate(model: Model, batch: Batch, dataset: str, name: str | None) -> Associations:
    """All tests of the layer's units against the dataset's labels."""
    level, seen = unit_level(model, name), Observed()
    for part in items(model, batch, dataset, seen):
        if part.labels is None:
            raise InvalidParameter(
                f"the dataset {dataset!r} has no labels, and concepts are its classes", pointer="/method/dataset"
            )
        with torch.no_grad():
            largest = level.by_unit(model.folded.run(part.x, {level.index})[1][level.index], torch.amax)
        seen.values.append(largest.float().cpu().numpy())
        seen.labels.append(np.asarray(part.labels))
    values, labels = np.concatenate(seen.values), np.concatenate(seen.labels)
    present = np.unique(labels)
    if len(present) < 2:
        raise InvalidParameter(
            f"all items of the dataset {dataset!r} bear one label; a concept is told from what is without it",
            pointer="/method/dataset",
        )
    return _tested(level, values, labels, batch.resources.dataset(dataset).classes)


def _tested(
    level: Level, values: NDArray[np.floating[Any]], labels: NDArray[np.int64], names: tuple[str, ...]
) -> Associations:
    count = max(len(names), int(labels.max()) + 1)
    values = ranks(torch.from_numpy(values).T).T.numpy()  # all that the test reads, and no order of rounding errors
    p, auc = np.ones((values.shape[1], count)), np.full((values.shape[1], count), 0.5)
    for concept in np.unique(labels):
        own, rest = values[labels == concept], values[labels != concept]
        found = mannwhitneyu(own, rest, alternative="two-sided", axis=0)
        p[:, concept] = np.nan_to_num(found.pvalue, nan=1.0)
        auc[:, concept] = found.statistic / (len(own) * len(rest))
    tests = values.shape[1] * len(np.unique(labels))
    said = tuple(names[c] if c < len(names) else str(c) for c in range(count))
    return Associations(level.node.layer, np.minimum(p * tests, 1.0), auc, said)
