"""Colour maps: tables of equally lighter steps, readable with every common colour blindness.

The anchors were chosen in OKLab: one hue each, lightness falling by equal steps from white. Zero is white in all but
`gray`, where a signed zero is middle grey: darker is negative, lighter is positive.
"""

from collections.abc import Mapping
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = NDArray[np.float32]
Diverging: TypeAlias = Literal["blue_red", "purple_green"]
Colormap: TypeAlias = Literal["blue_red", "purple_green", "heat"]
Anchors: TypeAlias = tuple[tuple[int, int, int], ...]

STEPS = 256

_WHITE = (255, 255, 255)
_RED: Anchors = (
    (245, 226, 224), (234, 197, 193), (222, 169, 163), (209, 141, 134),
    (196, 113, 105), (181, 84, 76), (165, 53, 47), (147, 6, 15),
)  # fmt: skip
_BLUE: Anchors = (
    (222, 232, 246), (190, 209, 236), (159, 186, 225), (129, 163, 215),
    (100, 140, 204), (72, 117, 192), (44, 93, 180), (16, 67, 168),
)  # fmt: skip
_PURPLE: Anchors = (
    (234, 227, 241), (213, 199, 226), (192, 172, 212), (172, 145, 197),
    (151, 119, 183), (131, 93, 168), (112, 67, 154), (93, 37, 139),
)  # fmt: skip
_GREEN: Anchors = (
    (223, 235, 225), (192, 214, 195), (162, 194, 166), (131, 174, 138),
    (101, 154, 110), (70, 135, 82), (33, 115, 54), (5, 94, 35),
)  # fmt: skip
_HEAT: Anchors = (
    (249, 224, 195), (244, 191, 139), (237, 155, 90), (225, 119, 51),
    (207, 85, 25), (181, 55, 21), (150, 30, 27), (114, 16, 30),
)  # fmt: skip

_SIDES: Mapping[str, tuple[Anchors, Anchors]] = {
    "blue_red": (_BLUE, _RED),
    "purple_green": (_PURPLE, _GREEN),
    "heat": (_HEAT, _HEAT),
}


@cache
def _ramp(anchors: Anchors) -> Pixels:
    """From white through the anchors: (STEPS, 3)."""
    points = np.array([_WHITE, *anchors], float)
    at = np.linspace(0, len(anchors), STEPS)
    channels = [np.interp(at, np.arange(len(points)), points[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def colours(values: Values, name: Colormap) -> Pixels:
    """The colours of values in -1..1: (..., 3), white at 0; values beyond take the colour of the end."""
    low, high = _SIDES[name]
    step = (np.clip(np.abs(values), 0, 1) * (STEPS - 1)).round().astype(np.intp)
    return np.where((values < 0)[..., None], _ramp(low)[step], _ramp(high)[step])


def grays(values: Values, *, signed: bool) -> Pixels:
    """The greys of values in -1..1: (..., 3); signed: black -1, middle 0, white 1; unsigned: white 0, black 1."""
    clipped = np.clip(values, -1, 1)
    level = 127.5 * (1 + clipped) if signed else 255 * (1 - np.abs(clipped))
    return np.repeat(level.round().astype(np.uint8)[..., None], 3, axis=-1)
