"""Ranks and correlations, of lists of numbers and of maps whose scales cannot be compared (Hansen et al. 2001)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from workers.explanation.card import InputSpec

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


def summed_channels(values: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *map) summed over channels, which are kept as one; of a flat input as they are."""
    axis = spec.channel_axis
    return values if axis is None else values.sum(axis + 1, keepdim=True)


def unit_ranks(values: Tensor) -> Tensor:
    """Each map's ranks from 0 to 1, as a consensus takes them (S4 3.3), ties sharing their mean rank; float64.

    (rank - 1/2) / number of values.
    """
    flat = values.detach().flatten(1).double().cpu().numpy()
    found = (rankdata(flat, axis=1) - 0.5) / flat.shape[1]
    return torch.from_numpy(found).view(values.shape)


def correlation_matrix(maps: Tensor) -> NDArray[np.float64]:
    """Pearson's correlation between maps (m, ...); 0 where one is constant."""
    flat = maps.flatten(1).double().cpu().numpy()
    centred = flat - flat.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return np.asarray(unit @ unit.T)
