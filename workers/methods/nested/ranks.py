"""Ranks and correlations, of lists of numbers and of maps whose scales cannot be compared (Hansen et al. 2001)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.explanation.card import InputSpec

ROUNDING = 16 * float(np.finfo(np.float32).eps)  # of the largest of some values: a difference below it says nothing


def rounding(values: Tensor) -> Tensor:
    """How far apart values along the last axis may be by rounding alone; that axis is kept as 1."""
    return ROUNDING * values.abs().amax(-1, keepdim=True)


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's; 0 where either does not vary by more than rounding, for then nothing goes with anything."""
    a, b = (values.double() for values in (one, other))
    left, right = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    scale = left.norm(dim=-1) * right.norm(dim=-1)
    flat = _flat(a, left) | _flat(b, right)
    return torch.where(flat, 0.0, (left * right).sum(-1) / scale.clamp(min=1e-300)).clamp(-1, 1)


def ranks(values: Tensor) -> Tensor:
    """From 1, along the last axis, float64: each value's mean place among those that rounding cannot tell it from.

    Not linked in chains: of many values close together each shares with its own neighbours alone.
    """
    exact = values.detach().cpu().double()
    within = rounding(exact)
    ordered = exact.sort(-1).values.contiguous()
    below = torch.searchsorted(ordered, (exact - within).contiguous())
    upto = torch.searchsorted(ordered, (exact + within).contiguous(), right=True)
    found: Tensor = (below + upto + 1) / 2 + 0 * within  # what is not finite has no ranks
    return found.to(values.device)


def places(values: Tensor, descending: bool) -> Tensor:
    """When each value has its turn, from 0 along the last axis: the least first, or the greatest; ties as they lie."""
    return ranks(values).argsort(stable=True, dim=-1, descending=descending).argsort(-1)


def _flat(values: Tensor, off: Tensor) -> Tensor:
    flat: Tensor = off.abs().amax(-1) <= rounding(values)[..., 0]
    return flat


def summed_channels(values: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *map) summed over channels, which are kept as one; of a flat input as they are."""
    axis = spec.channel_axis
    return values if axis is None else values.sum(axis + 1, keepdim=True)


def unit_ranks(values: Tensor) -> Tensor:
    """Each map's ranks from 0 to 1, as a consensus takes them (S4 3.3), ties sharing their mean rank; float64.

    (rank - 1/2) / number of values.
    """
    flat = values.flatten(1)
    return ((ranks(flat) - 0.5) / flat.shape[1]).cpu().view(values.shape)


def correlation_matrix(maps: Tensor) -> NDArray[np.float64]:
    """Pearson's correlation between maps (m, ...); 0 where one is constant."""
    flat = maps.detach().flatten(1).cpu()
    return np.asarray(torch.stack([correlation(one, flat) for one in flat]).numpy())
