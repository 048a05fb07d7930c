"""Places: the axes of an input that are no channels, and maps over them."""

from __future__ import annotations

from torch import Tensor

from workers.explanation.card import InputSpec


def channel_axis(spec: InputSpec) -> int | None:
    """The axis of the input that holds its channels, not counting the batch; None for a flat one."""
    return spec.channel_axis


def places(spec: InputSpec) -> tuple[int, ...]:
    """The sizes of the axes that are no channels."""
    return spec.places


def over_channels(maps: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *places) with an axis of one channel, so that they broadcast to inputs."""
    channels = channel_axis(spec)
    return maps if channels is None else maps.unsqueeze(channels + 1)
