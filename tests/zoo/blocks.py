"""Parts that nets of the zoo have in common."""

from __future__ import annotations

from torch import nn


def conv(
    into: int, out: int, side: int = 3, stride: int = 1, padding: int | None = None, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution that by default keeps the size."""
    return nn.Conv2d(into, out, side, stride, side // 2 if padding is None else padding, dilation, groups)
