"""Sanity checks: explanations of a model against those of models whose weights say nothing (S0 Fig. 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.methods.evaluation.randomization.shuffled_weights import Stranger
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.other_models import taken
from workers.methods.nested.own_places import likeness, ranked


@dataclass(frozen=True)
class Sanity:
    """Compares with the strangers that `made` gives for a seed; they are made once for each."""

    model: Model
    of: Sequence[Method]
    magnitudes: bool
    own_target: bool
    made: Callable[[int], Sequence[Stranger]]
    known: dict[int, Sequence[Stranger]] = field(default_factory=dict)

    def likeness(self, batch: Batch, seeds: Sequence[int]) -> Tensor:
        """Spearman's correlation with the attributions of each stranger of a row's seed: (n, methods, strangers)."""
        if len(set(seeds)) == 1:
            return self._alike(batch, seeds[0])
        wanted = self.model.resolve(batch)
        rows = []
        for i, seed in enumerate(seeds):
            asked = [batch.targets[i] if self.own_target else wanted[i]]
            one = Batch(batch.x[i : i + 1], asked, [seed], batch.report, resources=batch.resources)
            rows.append(self._alike(one, seed))
        return torch.cat(rows)

    def _alike(self, batch: Batch, seed: int) -> Tensor:
        if seed not in self.known:
            self.known[seed] = self.made(seed)
        strangers, wanted = self.known[seed], self.model.resolve(batch)
        own, columns = self._ranks(self.model, batch), []
        for done, stranger in enumerate(strangers):
            there = Batch(
                taken(batch.x, self.model, stranger.model),
                batch.targets if self.own_target else wanted,
                batch.seeds,
                batch.report,
                resources=stranger.resources,
            )
            columns.append(likeness(own, self._ranks(stranger.model, there)))
            batch.report(done + 1, len(strangers), "models")
        return torch.stack(columns, 2)

    def _ranks(self, model: Model, batch: Batch) -> list[Tensor]:
        return ranked(model, batch, attributions(model, batch, self.of), self.magnitudes, channels=False)
