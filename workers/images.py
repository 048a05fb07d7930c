"""From an image's bytes to the tensor a model takes, and back to a picture; every decoding fault is InvalidImage."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from workers.card import ImageSpec
from workers.errors import InputTooLarge, InvalidImage

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 25_000_000
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# What is white in the modes whose pixels are no bytes; Pillow's own conversion clips them at 255.
WHITE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1.0}

# Pillow warns of a bomb and decodes it all the same; here the warning ends it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image says of itself before it is decoded; width and height as stored, before EXIF orientation."""

    format: str
    width: int
    height: int
    animated: bool


def inspect(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header alone, nothing decoded; raises InvalidImage, and InputTooLarge above `max_pixels`."""
    with _opened(data, max_pixels) as image:
        return ImageHeader(image.format or "", *image.size, bool(getattr(image, "is_animated", False)))


def prepare(
    data: bytes, spec: ImageSpec, shape: tuple[int, ...], max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The model's input (C, H, W) float32, and the picture it was made from (H, W, 3) uint8 RGB.

    Animations give their first frame; EXIF orientation is applied; transparency lies on white; colour profiles are
    ignored. Raises InvalidImage, InputTooLarge.
    """
    with _opened(data, max_pixels) as image:
        image.load()
        with suppress(Exception):  # a broken EXIF block says nothing of the orientation; the pixels are sound
            image = ImageOps.exif_transpose(image)
        pixels = _to_bytes(image).convert("L" if spec.mode == "L" else "RGB")
    pixels = fitted(pixels, spec)
    if (pixels.height, pixels.width) != tuple(shape[1:]):
        given, wanted = f"{pixels.width} x {pixels.height}", f"{shape[2]} x {shape[1]}"
        raise InvalidImage(f"the image has {given} pixels; the model takes {wanted}, not resized", pointer="/input")
    return normalised(np.asarray(pixels), spec), np.array(pixels.convert("RGB"))


def normalised(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Pixels (H, W) or (H, W, 3) RGB as the model's input (C, H, W): scale, mean and std of each channel."""
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    if spec.mode == "BGR":
        channels = channels[::-1]
    mean, std = (np.asarray(values)[:, None, None] for values in (spec.mean, spec.std))
    return np.ascontiguousarray((channels * (spec.scale / 255) - mean) / std, dtype=np.float32)


def unprepare(tensor: NDArray[Any], spec: ImageSpec) -> NDArray[np.uint8]:
    """The picture (H, W, 3) uint8 RGB of a model's input (C, H, W); values beyond black and white are clipped."""
    mean, std = (np.asarray(values)[:, None, None] for values in (spec.mean, spec.std))
    bytes_ = np.clip(np.nan_to_num((tensor * std + mean) * (255 / spec.scale)), 0, 255).round().astype(np.uint8)
    if spec.mode == "BGR":
        bytes_ = bytes_[::-1]
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(bytes_, (3, *bytes_.shape[1:])), 0, 2))


def fitted(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """Resized, then centre-cropped; raises InvalidImage where the crop does not fit, or a thin image grows large."""
    if isinstance(spec.resize, int):
        short = min(image.size)
        width, height = (spec.resize * side // short for side in image.size)
        if width * height > MAX_PIXELS:
            raise InvalidImage("the image is too thin to be resized by its shorter side", pointer="/input")
        image = image.resize((width, height), RESAMPLING[spec.interpolation])
    elif spec.resize is not None:
        image = image.resize(spec.resize[::-1], RESAMPLING[spec.interpolation])
    if spec.crop is None:
        return image
    if min(image.size) < spec.crop:
        detail = f"the image is smaller than the crop of {spec.crop} x {spec.crop} pixels"
        raise InvalidImage(detail, pointer="/input")
    left, top = (round((side - spec.crop) / 2) for side in image.size)
    return image.crop((left, top, left + spec.crop, top + spec.crop))


def _to_bytes(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB: 8 bits a channel, no transparency."""
    if image.mode in WHITE:
        values = np.nan_to_num(np.asarray(image, dtype=np.float64) * (255 / WHITE[image.mode]), posinf=255)
        return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        front = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image, its header read; whatever Pillow raises on it, at any stage, becomes InvalidImage."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(max_pixels)
            yield image
    except (InvalidImage, InputTooLarge):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(max_pixels) from None
    except Exception:
        raise InvalidImage(
            f"the bytes are no readable image; PNG, JPEG, WebP, GIF, BMP and TIFF are read ({len(data)} bytes came)",
            pointer="/input",
        ) from None


def _too_large(max_pixels: int) -> InputTooLarge:
    return InputTooLarge(f"the image has more than the {max_pixels} pixels that are allowed", pointer="/input")
