"""Maps and inputs small, in squares of one size, under a heading: what pictures of many explanations are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.render.colormaps import Pixels
from service.render.frame import Caption
from service.render.picture import colour_levels
from service.render.scale import plane
from service.render.style import DEFAULT_LOOK

THUMB = 104


def heading(meta: Mapping[str, Any]) -> Caption:
    """Which method, of how many inputs, on which model."""
    told = meta["info"]
    some = "" if told["explained"] == told["items"] else f"{told['explained']} of "
    return Caption(f"{meta['method']['of']['name']} of {some}{told['items']} inputs", f"model {meta['model']['name']}")


def plane_of(values: NDArray[Any]) -> NDArray[np.float32]:
    """Two axes of whatever it is: a row of numbers is one line."""
    found = plane(np.asarray(values, np.float32), DEFAULT_LOOK.channels)
    return found.reshape(1, -1) if found.ndim < 2 else found


def seen_pixels(seen: NDArray[Any], values: NDArray[Any]) -> Pixels:
    if seen.ndim < 2:
        return np.asarray(colour_levels(np.asarray(seen, np.float32).reshape(1, -1), (1, seen.size)), np.uint8)
    return np.asarray(colour_levels(seen, np.atleast_2d(values).shape[-2:]), np.uint8)


def thumbnail(pixels: Pixels) -> Image.Image:
    """Fitted into the square: enlarged pixel by pixel, made smaller smoothly."""
    image = Image.fromarray(pixels)
    factor = THUMB / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR
    square = Image.new("RGB", (THUMB, THUMB), (244, 244, 246))
    fitting = image.resize((size[0], max(size[1], THUMB // 6)), how)
    square.paste(fitting, ((THUMB - fitting.width) // 2, (THUMB - fitting.height) // 2))
    return square
