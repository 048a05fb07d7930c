"""What rows of a tensor hold, as keys that are equal where every bit is."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from functools import lru_cache

import torch
from torch import Tensor


def contents(x: Tensor) -> Sequence[Hashable]:
    """A key for each row of x (n, ...)."""
    word = torch.int16 if x.element_size() == torch.int16.itemsize else torch.int32
    words = x.detach().flatten(1).contiguous().view(word)
    return digests(words) if x.device.type == "cpu" else sums(words)


def digests(words: Tensor) -> list[bytes]:
    """SHA-256 of each row: most processors compute it as fast as they compare."""
    return [hashlib.sha256(row).digest() for row in words.numpy()]


def sums(words: Tensor) -> list[tuple[int, int]]:
    """Two sums of each row's whole numbers (32 bits), times random ones, modulo 2^64: where rows lie on a device.

    Rows that differ have equal ones with a probability below 2^-64 (Carter, Wegman 1979).
    """
    wide = words.long()
    first, second = ((wide * times).sum(1).tolist() for times in _random(words.shape[1], words.device))
    return list(zip(first, second, strict=True))


@lru_cache(maxsize=8)
def _random(count: int, device: torch.device) -> Tensor:
    source = torch.Generator().manual_seed(count)
    return torch.randint(-(2**63), 2**63 - 1, (2, count), generator=source).to(device)
