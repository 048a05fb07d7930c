"""Inputs seen through the channels of a layer."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from workers.engine.layers.cam import at_places
from workers.engine.layers.spatial import Spatial
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import by_part
from workers.engine.model.model import Model
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.explanation.card import Part


def channel_scores(model: Model, batch: Batch, question: Hashable, layer: Spatial, activations: Tensor) -> Tensor:
    """The target's score of each input times each channel, upsampled and scaled to 0..1: (n, channels).

    Of several inputs those are masked whose places the layer keeps; the others stay as they are.
    """

    spec = model.card.input

    def alter(rows: Tensor, channels: Tensor) -> Tensor:
        x, small = batch.x[rows], activations[rows, channels].unsqueeze(1)

        def masked(own: Tensor, part: Part) -> Tensor:
            return own * _unit_range(at_places(small, part)) if part in layer.inputs else own

        return by_part(x, spec, masked) if spec.parts else masked(x, layer.inputs[0])

    copies = Copies.of_each(len(batch), activations.shape[1], alter)
    return altered_scores(model, batch, copies, question=(question, layer.node.index)).view(len(batch), -1)


def _unit_range(maps: Tensor) -> Tensor:
    """Each map moved and scaled to 0..1; a constant one becomes 0."""
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *[1] * (maps.dim() - 1))
    return (maps - low.view(shape)) / torch.where(high > low, high - low, 1.0).view(shape)
