"""Batch: the rows that one call of a method explains together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from workers.engine.model.resources import NoResources, Resources
from workers.explanation.target import Target

Report: TypeAlias = Callable[[int, int, str], None]


def silent(done: int, total: int, unit: str) -> None:
    """The report of a batch that nobody watches."""


@dataclass
class Batch:
    """Inputs (n, *shape) with a target and a seed each; `report(done, total, unit)` says how far the work is.

    `report` raises Cancelled or DeadlineExceeded when the work is to stop; methods with steps call it at each.
    `memo` holds what passes over these very inputs have found; batches made by `sharing` have it in common.
    A method that takes no input gets an empty x, and what it needs from `resources`.
    """

    x: Tensor
    targets: Sequence[Target]
    seeds: Sequence[int] = ()
    report: Report = field(default=silent)
    memo: dict[str, Any] = field(default_factory=dict, repr=False)
    resources: Resources = field(default_factory=NoResources, repr=False)

    def __len__(self) -> int:
        return len(self.x)

    def sharing(self, targets: Sequence[Target], seeds: Sequence[int], report: Report = silent) -> Batch:
        """A batch of the same inputs for other targets or another method, which shares their forward pass."""
        return Batch(self.x, targets, seeds, report, self.memo, self.resources)

    def apart(self) -> list[Batch]:
        """Each row as a batch of its own."""
        seeds = self.seeds or [0] * len(self)
        return [
            Batch(self.x[row : row + 1], [target], [seed], self.report, resources=self.resources)
            for row, (target, seed) in enumerate(zip(self.targets, seeds, strict=True))
        ]

    def generators(self) -> list[torch.Generator]:
        """A source of random numbers for each row, from the row's own seed: a row draws the same alone or in company.

        They draw on the CPU, so that every device sees the same numbers.
        """
        return [torch.Generator().manual_seed(seed) for seed in self.seeds or [0] * len(self)]
