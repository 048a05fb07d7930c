"""From an image's bytes to the tensor a model takes, and back to a picture; every decoding fault is InvalidImage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import ImageSpec
from workers.explanation.images.files import MAX_PIXELS, opened
from workers.explanation.images.fitting import fitted
from workers.explanation.images.samples import read
from workers.explanation.images.scale import scale_of

LEVELS = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image says of itself before it is decoded; width and height as stored, before EXIF orientation."""

    format: str
    width: int
    height: int


def inspect(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header alone, nothing decoded; raises InvalidImage, and InputTooLarge above `max_pixels`.

    What takes more than four bytes a pixel to decode may have fewer pixels, in proportion. What its header already says
    cannot be read as the picture that it is, is refused here.
    """
    with opened(data, max_pixels) as image:
        scale_of(image)
        return ImageHeader(image.format or "", *image.size)


def prepare(
    data: bytes, spec: ImageSpec, shape: tuple[int, ...], max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The model's input (C, H, W) float32, and the picture it was made from (H, W, 3) uint8 RGB.

    Animations give their first frame; EXIF orientation is applied; transparency lies on white; colour profiles are
    ignored. The image is whole in memory once, as it was decoded. Raises InvalidImage, InputTooLarge.
    """
    with opened(data, max_pixels) as image:
        pixels = fitted(read(image, data), spec, (shape[2], shape[1]))
    values = np.array(pixels)
    return normalised(values, spec), values if pixels.mode == "RGB" else np.array(pixels.convert("RGB"))


def normalised(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Pixels (H, W) or (H, W, 3) RGB as the model's input (C, H, W): scale, mean and std of each channel."""
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    if spec.mode == "BGR":
        channels = channels[::-1]
    found = np.empty(channels.shape, np.float32)
    mean, std = (np.broadcast_to(values, len(channels)) for values in (spec.mean, spec.std))
    for index, channel in enumerate(channels):
        table = (LEVELS * (spec.scale / 255) - mean[index]) / std[index]  # in float64: a pixel has 256 values
        np.take(table.astype(np.float32), channel, out=found[index], mode="clip")
    return found


def unprepare(tensor: NDArray[Any], spec: ImageSpec) -> NDArray[np.uint8]:
    """The picture (H, W, 3) uint8 RGB of a model's input (C, H, W); values beyond black and white are clipped."""
    mean, std = (np.asarray(values)[:, None, None] for values in (spec.mean, spec.std))
    bytes_ = np.clip(np.nan_to_num((tensor * std + mean) * (255 / spec.scale)), 0, 255).round().astype(np.uint8)
    if spec.mode == "BGR":
        bytes_ = bytes_[::-1]
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(bytes_, (3, *bytes_.shape[1:])), 0, 2))
