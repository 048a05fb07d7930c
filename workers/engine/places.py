"""Places: the axes of an input that are no channels, and maps over them."""

from __future__ import annotations

from torch import Tensor

from workers.card import InputSpec

_CHANNELS = {"channel", "channels", "feature", "features"}


def channel_axis(spec: InputSpec) -> int | None:
    """The axis that holds the channels, not counting the batch: the one of that name, else the first.

    None for a flat input, whose features are its places.
    """
    if len(spec.shape) == 1:
        return None
    return next((axis for axis, name in enumerate(spec.axes) if name.lower() in _CHANNELS), 0)


def places(spec: InputSpec) -> tuple[int, ...]:
    """The sizes of the axes that are no channels."""
    channels = channel_axis(spec)
    return tuple(size for axis, size in enumerate(spec.shape) if axis != channels)


def over_channels(maps: Tensor, spec: InputSpec) -> Tensor:
    """Maps (n, *places) with an axis of one channel, so that they broadcast to inputs."""
    channels = channel_axis(spec)
    return maps if channels is None else maps.unsqueeze(channels + 1)
