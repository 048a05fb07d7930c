"""Inputs seen through the channels of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.batch import Batch
from workers.engine.model import Model
from workers.engine.spatial import upsample
from workers.engine.sweep import sweep


def channel_scores(model: Model, batch: Batch, activations: Tensor) -> Tensor:
    """The target's score of each input times each channel, upsampled and scaled to 0..1: (n, channels)."""
    wanted = model.resolve(batch)
    scores = activations.new_zeros(activations.shape[:2])
    with torch.no_grad():
        for rows, channels in sweep(model, batch, activations.shape[1], "channels"):
            x = batch.x[rows]
            masks = _unit_range(upsample(activations[rows, channels].unsqueeze(1), x))
            scores[rows, channels] = model.scores(x * masks, [wanted[row] for row in rows])
    return scores


def _unit_range(maps: Tensor) -> Tensor:
    """Each map moved and scaled to 0..1; a constant one becomes 0."""
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *[1] * (maps.dim() - 1))
    return (maps - low.view(shape)) / torch.where(high > low, high - low, 1.0).view(shape)
