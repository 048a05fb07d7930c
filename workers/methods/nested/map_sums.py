"""Means and spreads of maps over samples, each of what a person is told: of a token the sum over its embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.explanation.card import InputSpec
from workers.methods.nested.own_places import at_places, spread


class MapSums:
    """Sums of maps (k, *map) in some slots, and of their squares where they are told; counts broadcast to the maps."""

    def __init__(self, slots: int, spec: InputSpec) -> None:
        self.slots = slots
        self.spec = spec
        self.sum = self.squares = torch.zeros(())

    def add(self, at: Tensor, values: Tensor) -> None:
        """Add values (k, *map) to the slots `at` (k,)."""
        at, told = at.to(values.device), as_told(values, self.spec)
        if self.sum.dim() == 0:
            self.sum = values.new_zeros((self.slots, *values.shape[1:]))
            self.squares = told.new_zeros((self.slots, *told.shape[1:]))
        self.sum.index_add_(0, at, values)
        self.squares.index_add_(0, at, told.square())

    def mean(self, counts: Tensor | int) -> Tensor:
        return self.sum / counts

    def mean_square(self, counts: Tensor | int) -> Tensor:
        return as_stored(self.squares / counts, self.spec)

    def variance(self, counts: Tensor | int) -> Tensor:
        return as_stored(self._variance(counts), self.spec)

    def std(self, counts: Tensor | int) -> Tensor:
        return as_stored(self._variance(counts).sqrt(), self.spec)

    def standard_error(self, samples: int) -> Tensor:
        """That of the mean; 0 of a single sample."""
        return as_stored((self._variance(samples) / max(1, samples - 1)).sqrt(), self.spec)

    def _variance(self, counts: Tensor | int) -> Tensor:
        return (self.squares / counts - as_told(self.mean(counts), self.spec).square()).clamp(min=0)


def as_told(maps: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *map) as a person is told them: of several inputs and of ids what each place has (n, places).

    What is no sum, as a standard deviation, is of these, for that of a sum is no sum of those of its numbers.
    """
    return at_places(maps, spec, channels=False) if spec.parts else maps


def as_stored(values: Tensor, spec: InputSpec) -> Tensor:
    """Such values as maps: over the embedding of each token they sum to its value."""
    return spread(values, spec) if spec.parts else values
