"""Unit masks: which channels of which layers relevance may pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model import Model
from workers.errors import InvalidParameter
from workers.units import Units


def masks(model: Model, units: Sequence[Units]) -> dict[int, Tensor]:
    """By node, ones at the chosen channels, broadcastable to its value; raises InvalidParameter beyond its channels."""
    made: dict[int, Tensor] = {}
    for chosen in units:
        node = model.layer(chosen.layer)
        if not node.shape:
            raise InvalidParameter(f"the layer {chosen.layer} has no channels to choose from", pointer="/method/units")
        count = node.shape[0]
        if any(channel >= count for channel in chosen.channels):
            raise InvalidParameter(
                f"the layer {chosen.layer} has the channels 0 to {count - 1}", pointer="/method/units"
            )
        mask = torch.zeros(count, dtype=model.dtype, device=model.device)
        mask[list(chosen.channels)] = 1
        mask = mask.view(1, count, *[1] * (len(node.shape) - 1))
        made[node.index] = torch.maximum(made[node.index], mask) if node.index in made else mask
    return made
