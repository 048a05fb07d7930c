"""Upper quantiles of many streams at once, in memory that does not grow with them: histograms over the bits of floats.

The bits of a float32, its sign turned, are ordered as the numbers are. A first pass counts by their upper twelve, a
second, within the bin that the quantile lies in, by the next twelve: what it finds is within 2**-15 of its own size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 2**12
_LEFT = 8  # bits that no pass looks at


def ordered_bits(values: Tensor) -> Tensor:
    """Whole numbers from 0 to 2**32 - 1 that are ordered as the values, taken as float32, are."""
    bits = values.float().contiguous().view(torch.int32).long()
    return torch.where(bits >= 0, bits + 2**31, ~bits)


def from_bits(bits: Tensor) -> Tensor:
    """The float32 numbers of ordered bits."""
    raw = torch.where(bits >= 2**31, bits - 2**31, ~bits)
    return raw.to(torch.int32).view(torch.float32)


@dataclass
class Histogram:
    """Counts (streams, bins) by upper bits, or by the next of values whose upper ones are `prefix` (streams,)."""

    counts: Tensor
    prefix: Tensor | None = None

    @classmethod
    def of(cls, streams: int, device: torch.device, prefix: Tensor | None = None) -> Histogram:
        return cls(torch.zeros(streams, BINS, dtype=torch.int64, device=device), prefix)

    def add(self, values: Tensor, part: slice = slice(None)) -> None:
        """Take in values (streams, n) of some streams."""
        bits = ordered_bits(values)
        within = bits >> 20
        ones = torch.ones_like(bits)
        if self.prefix is not None:
            ones = (within == self.prefix[part, None]).long()
            within = (bits >> _LEFT) & (BINS - 1)
        self.counts[part].scatter_add_(1, within, ones)

    def bin_above(self, most: Tensor) -> tuple[Tensor, Tensor]:
        """The bin (streams,) such that no more than `most` values lie in the bins above it, and how many do."""
        above = self.counts.flip(1).cumsum(1)
        at = (above <= most[:, None]).sum(1).clamp(max=BINS - 1)
        rest = torch.where(at > 0, above.gather(1, (at - 1).clamp(min=0)[:, None])[:, 0], 0)
        return BINS - 1 - at, rest


def threshold(first: Histogram, second: Histogram, most: Tensor) -> Tensor:
    """The largest number of the bin that the quantile is in (streams,): at most `most` values of a stream lie above."""
    assert second.prefix is not None
    prefix, above = first.bin_above(most)
    rest, _ = second.bin_above(most - above)
    return from_bits((prefix << 20) + (rest << _LEFT) + 2**_LEFT - 1)
