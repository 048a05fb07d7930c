"""Which units are outliers among those that a unit depends on, how often over inputs, and which come first (S1 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


def outliers(omega: Tensor, fence: float, zeros: bool) -> Tensor:
    """Whether each value lies beyond Tukey's upper fence of its row, and above zero.

    Without `zeros` a value of exactly zero is left out of the quartiles: a unit that cannot be depended on, or a top
    that is off.
    """
    counted = torch.ones_like(omega, dtype=torch.bool) if zeros else omega != 0
    last = counted.sum(-1, keepdim=True) - 1
    ordered = torch.where(counted, omega, torch.inf).sort(-1).values

    def quantile(share: float) -> Tensor:
        at = last.clamp(min=0) * share
        low = at.long()
        below, above = (ordered.gather(-1, i.minimum(last.clamp(min=0))) for i in (low, low + 1))
        return torch.where(at == low, below, below + (above - below) * (at - low))

    first, third = quantile(0.25), quantile(0.75)
    return (omega > 0) & (omega > third + fence * (third - first))


@dataclass
class Tally:
    """For pairs of a unit and one below it: for how many inputs that is an outlier, and the sum of omega over those."""

    images: int = 0
    counts: Tensor = field(default_factory=lambda: torch.zeros(()))
    sums: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, omega: Tensor, fence: float, zeros: bool) -> None:
        """Take in the derivatives of some inputs (rows, units, units below)."""
        beyond = outliers(omega, fence, zeros)
        self.images += len(omega)
        self.counts = self.counts + beyond.sum(0)
        self.sums = self.sums + (omega * beyond).sum(0, dtype=torch.float64)

    def most_frequent(self, branching: int) -> list[list[int]]:
        """Of each unit the units below that are outliers most often; of equals those with the larger sum come first."""
        counts, sums = self.counts.cpu().numpy(), self.sums.cpu().numpy()
        found = []
        for row in range(len(counts)):
            order = np.lexsort((-sums[row], -counts[row]))[:branching]
            found.append([int(k) for k in order if counts[row, k] > 0])
        return found
