"""Maps over an input's spatial shape: the axes of an input that are no channels."""

from __future__ import annotations

from torch import Tensor

from workers.explanation.card import InputSpec


def over_channels(maps: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *spatial shape) with an axis of one channel, so that they broadcast to inputs."""
    return maps if spec.channel_axis is None else maps.unsqueeze(spec.channel_axis + 1)
