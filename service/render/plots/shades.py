"""Colours of values from low to high, as told apart with every common colour blindness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.render.plots.lines import Colour

_LOW, _MIDDLE, _HIGH = ((0, 114, 178), (178, 150, 170), (204, 50, 60))
_NONE = (150, 150, 156)  # of what is the same everywhere


def shades(values: NDArray[np.floating]) -> list[Colour]:
    """From low to high between the 5th and the 95th percentile, so that an outlier does not take all colour."""
    low, high = (float(one) for one in np.percentile(values, (5, 95)))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        return [_NONE] * len(values)
    return [shade(share) for share in np.clip((np.asarray(values, float) - low) / (high - low), 0, 1).tolist()]


def shade(share: float) -> Colour:
    """Of a share from 0, low, to 1, high."""
    first, second = (_LOW, _MIDDLE) if share < 0.5 else (_MIDDLE, _HIGH)
    part = share * 2 % 1 if share < 1 else 1.0
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue
