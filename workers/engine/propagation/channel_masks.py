"""Unit masks: which channels of which layers relevance may pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.graph.axis_kinds import axes_of_parts
from workers.engine.model.model import Model
from workers.engine.model.prediction import input_axes
from workers.explanation.composite import Units
from workers.explanation.errors import InvalidParameter


def masks(model: Model, units: Sequence[Units]) -> dict[int, Tensor]:
    """By node, ones at the chosen channels, broadcastable to its value; raises InvalidParameter beyond its channels."""
    made: dict[int, Tensor] = {}
    axes = axes_of_parts(model.folded, input_axes(model.card.input)) if units else []
    for chosen in units:
        node = model.layer(chosen.layer)
        if not node.part:
            raise InvalidParameter(f"the layer {chosen.layer} has no channels to choose from", pointer="/method/units")
        names, part = axes[node.index], node.part or ()
        own = node.rows.own(names.index("channel")) if "channel" in names else None
        if own is None:
            raise InvalidParameter(
                f"the layer {chosen.layer} of the shape {list(part)} has no channels to choose from: "
                + (f"its axes are {', '.join(names)}" if names else "what its axes are is not known"),
                pointer="/method/units",
            )
        count = part[names.index("channel")]
        if any(channel >= count for channel in chosen.channels):
            raise InvalidParameter(
                f"the layer {chosen.layer} has the channels 0 to {count - 1}", pointer="/method/units"
            )
        mask = torch.zeros(count, dtype=model.dtype, device=model.device)
        mask[list(chosen.channels)] = 1
        mask = mask.view(count, *[1] * (len(node.sizes or ()) - 1 - own))
        made[node.index] = torch.maximum(made[node.index], mask) if node.index in made else mask
    return made
