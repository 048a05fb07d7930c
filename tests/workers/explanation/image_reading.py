"""What the tests of image_samples and image_damage share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import ImageSpec
from workers.explanation.images.decoding import prepare

HEIGHT, WIDTH = 21, 37
SPEC = ImageSpec(mean=(0, 0, 0), std=(1, 1, 1))
HALF, PILLOWS = 0.51 / 255, 1.51 / 255


def floats(channels: int | None = None) -> NDArray[np.float64]:
    shape = (HEIGHT, WIDTH) if channels is None else (HEIGHT, WIDTH, channels)
    return np.random.default_rng(0).random(shape)


def read(data: bytes) -> NDArray[np.float32]:
    """(H, W, 3) from 0 to 1."""
    return np.moveaxis(prepare(data, SPEC, (3, HEIGHT, WIDTH))[0], 0, 2)


def assert_read(data: bytes, picture: NDArray[Any], within: float = HALF) -> None:
    wanted = picture[..., None] if picture.ndim == 2 else picture
    np.testing.assert_allclose(read(data), np.broadcast_to(wanted, (HEIGHT, WIDTH, 3)), rtol=0, atol=within)
