"""Consensus of maps whose scales cannot be compared: each is replaced by its ranks (Hansen et al. 2001; S4 3.3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from workers.engine.perturbation.places import channel_axis
from workers.explanation.card import InputSpec


def at_places(values: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *map) summed over channels, which are kept as one; of a flat input as they are."""
    axis = channel_axis(spec)
    return values if axis is None else values.sum(axis + 1, keepdim=True)


def ranks(values: Tensor) -> Tensor:
    """Each map's ranks, from 0 to 1: (rank - 1/2) / number of values, ties sharing their mean rank; float64."""
    flat = values.detach().flatten(1).double().cpu().numpy()
    found = (rankdata(flat, axis=1) - 0.5) / flat.shape[1]
    return torch.from_numpy(found).view(values.shape)


def correlations(maps: Tensor) -> NDArray[np.float64]:
    """Pearson's correlation between maps (m, ...); 0 where one is constant."""
    flat = maps.flatten(1).double().cpu().numpy()
    centred = flat - flat.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return np.asarray(unit @ unit.T)
