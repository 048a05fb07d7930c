"""Explanations of a model and of the same model that takes shifted inputs (S4 ch. 14)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.resources import Resources
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.ties import untied
from workers.explanation.perturbation import OwnInput
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.resources import Refitted
from workers.methods.nested.shifted_model import pattern, shifted
from workers.methods.nested.split_neurons import gap


class Pair:
    """A model with its twin; what is fitted to data is fitted to shifted data for the twin, once for all batches."""

    def __init__(self, model: Model, kind: str | OwnInput, amount: float, noise: float, resources: Resources) -> None:
        self.model = model
        self.noise = noise
        self.shift = pattern(model, kind, amount, resources)
        self.twin = shifted(model, self.shift)
        self.resources = Refitted(resources, self.shift)

    def differences(self, batch: Batch, of: Sequence[Method]) -> dict[str, Tensor]:
        """By how much each method's attributions differ between the two, in shares of the first's norm."""
        batch = untied(self.model, batch, self.noise)
        wanted = self.model.resolve(batch)
        there = Batch(batch.x + self.shift, wanted, batch.seeds, batch.report, resources=self.resources)
        rows = torch.arange(len(batch))
        first = altered_scores(self.model, batch, Copies(rows, lambda at: batch.x[at]))
        second = altered_scores(self.twin, there, Copies(rows, lambda at: there.x[at]))
        pairs = zip(attributions(self.model, batch, of), attributions(self.twin, there, of), strict=True)
        found = torch.stack([gap(one, other) for one, other in pairs], 1)
        return {"scores": found, "first": first[:, None].expand_as(found), "second": second[:, None].expand_as(found)}
