"""Correlations between lists of numbers, along their last axis, many at once."""

from __future__ import annotations

import torch
from scipy.stats import rankdata
from torch import Tensor

CONSTANT = 1e-9  # of the size of the values: a spread below it is rounding


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's; 0 where either does not vary, for then nothing goes with anything."""
    a, b = (values.double() for values in (one, other))
    left, right = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    scale = left.norm(dim=-1) * right.norm(dim=-1)
    flat = _flat(a, left) | _flat(b, right)
    return torch.where(flat, 0.0, (left * right).sum(-1) / scale.clamp(min=1e-300)).clamp(-1, 1)


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Spearman's: that of the ranks, equal values sharing the mean of theirs."""
    return correlation(ranks(one), ranks(other))


def ranks(values: Tensor) -> Tensor:
    """From 1, along the last axis."""
    found: Tensor = torch.from_numpy(rankdata(values.detach().cpu().numpy(), axis=-1)).to(values.device)
    return found


def _flat(values: Tensor, off: Tensor) -> Tensor:
    flat: Tensor = off.norm(dim=-1) <= CONSTANT * values.norm(dim=-1)
    return flat
