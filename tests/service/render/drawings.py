"""What the tests beside share."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.render.frame import MARGIN, Caption

CAPTION = Caption("lrp: class 7", "model digits")
TOP = MARGIN + 17 + 6 + 13 + 12


def f32(values: object) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def signed_map() -> NDArray[np.float32]:
    values = np.zeros((1, 4, 4), np.float32)
    values[0, 0, 0], values[0, 3, 3], values[0, 0, 3] = 2, -2, 1
    return values


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def cell(picture: NDArray[np.uint8], row: int, column: int, of: int = 4, size: int = 448) -> list[int]:
    """The colour in the middle of a cell of the map."""
    step = size // of
    return [int(c) for c in picture[TOP + row * step + step // 2, MARGIN + column * step + step // 2]]
