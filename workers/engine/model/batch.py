"""Batch: the rows that one call of a method explains together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from workers.engine.model.resources import NoResources, Resources
from workers.explanation.target import Target

Report: TypeAlias = Callable[[int, int, str], None]
V = TypeVar("V")


def silent(done: int, total: int, unit: str) -> None:
    """The report of a batch that nobody watches."""


class Outputs(NamedTuple):
    """What the model returns for the inputs of a batch."""

    values: Tensor


class Cache:
    """What passes over a batch's inputs have found, by the type of the value and a key."""

    def __init__(self) -> None:
        self._values: dict[tuple[type[Any], Hashable], Any] = {}

    def find(self, kind: type[V], key: Hashable = None) -> V | None:
        """The value of that type under the key, if there is one."""
        value = self._values.get((kind, key))
        assert value is None or isinstance(value, kind)
        return value

    def store(self, value: V, key: Hashable = None) -> V:
        """The value, in the place of what there was of its type under the key."""
        self._values[type(value), key] = value
        return value

    def get(self, kind: type[V], key: Hashable, make: Callable[[], V]) -> V:
        """The value of that type under the key, made where there is none."""
        found = self.find(kind, key)
        return self.store(make(), key) if found is None else found


@dataclass
class Batch:
    """Inputs (n, *shape) with a target and a seed each; `report(done, total, unit)` says how far the work is.

    `report` raises Cancelled or DeadlineExceeded when the work is to stop; methods with steps call it at each.
    `cache` holds what passes over these very inputs have found; batches made by `sharing` have it in common.
    A method that takes no input gets an empty x, and what it needs from `resources`. Where it is explained `once`,
    no other method asks what its passes have found, and of those only the outputs are asked for.
    """

    x: Tensor
    targets: Sequence[Target]
    seeds: Sequence[int] = ()
    report: Report = field(default=silent)
    cache: Cache = field(default_factory=Cache, repr=False)
    resources: Resources = field(default_factory=NoResources, repr=False)
    once: bool = False

    def __len__(self) -> int:
        return len(self.x)

    def sharing(self, targets: Sequence[Target], seeds: Sequence[int], report: Report = silent) -> Batch:
        """A batch of the same inputs for other targets or another method, which shares their forward pass."""
        return Batch(self.x, targets, seeds, report, self.cache, self.resources)

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
