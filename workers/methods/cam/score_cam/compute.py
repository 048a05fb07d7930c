"""Inputs seen through the channels of a layer."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from workers.engine.layers.spatial import upsample
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.altered_scores import Copies, altered_scores


def channel_scores(model: Model, batch: Batch, question: Hashable, activations: Tensor) -> Tensor:
    """The target's score of each input times each channel, upsampled and scaled to 0..1: (n, channels)."""

    def alter(rows: Tensor, channels: Tensor) -> Tensor:
        x = batch.x[rows]
        return x * _unit_range(upsample(activations[rows, channels].unsqueeze(1), x))

    copies = Copies.of_each(len(batch), activations.shape[1], alter)
    return altered_scores(model, batch, copies, question=question).view(len(batch), -1)


def _unit_range(maps: Tensor) -> Tensor:
    """Each map moved and scaled to 0..1; a constant one becomes 0."""
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *[1] * (maps.dim() - 1))
    return (maps - low.view(shape)) / torch.where(high > low, high - low, 1.0).view(shape)
