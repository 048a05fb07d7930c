"""A decoded image in strips of 8 bits, whatever its samples are: deep, wide, inverted, transparent, turned."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms
from PIL.ImageFile import ImageFile

from workers.explanation.card import Mode
from workers.explanation.images.files import rawmode, unreadable
from workers.explanation.images.scale import Scale, retile, scale_of

OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
WITH_ALPHA = ("LA", "RGBA")
OUTSIDE = 1e-6  # how far floats may lie outside of black and white, for they are rounded

# What EXIF orientation asks for, so that the picture stands upright, and where its first row and column then lie.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
FROM_THE_END = (3, 4, 7, 8)  # the upright rows, counted from the top, are stored from the last on


@dataclass(frozen=True)
class Samples:
    """A decoded image; `low` has the low bytes of 16-bit colours, `orientation` is EXIF's."""

    image: Image.Image
    low: Image.Image | None
    scale: Scale
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        width, height = self.image.size
        return (height, width) if self.orientation in SIDEWAYS else (width, height)

    def rows(self, top: int, bottom: int, mode: Mode) -> Image.Image:
        """The rows from `top` to `bottom` of the upright picture, as Pillow's L or RGB; raises InvalidImage."""
        width, height = self.image.size
        if self.orientation in FROM_THE_END:
            top, bottom = self.size[1] - bottom, self.size[1] - top
        found = self._eight_bits((top, 0, bottom, height) if self.orientation in SIDEWAYS else (0, top, width, bottom))
        if self.orientation in UPRIGHT:
            found = found.transpose(UPRIGHT[self.orientation])
        return found.convert("L" if mode == "L" else "RGB")

    def _eight_bits(self, box: tuple[int, int, int, int]) -> Image.Image:
        part, scale = self.image.crop(box), self.scale
        if scale.white is None:
            return by_pillow(part)
        values, bands = np.asarray(part), part.mode
        if scale.stored is not None:
            values = values.view(scale.stored)
        if scale.paired:
            values, bands = values[..., 0::2] * np.uint16(256) + values[..., 1::2], "LA"
        elif self.low is not None:
            values = values * np.uint16(256) + np.asarray(self.low.crop(box))
        if values.dtype.kind == "u" and values.dtype.itemsize <= 2 and bands not in WITH_ALPHA:
            found = self._table[values]
        else:
            found = _bytes(values.astype(np.float64), bands, scale)
        if scale.clear is not None:
            found[(values.reshape(*values.shape[:2], -1) == scale.clear).all(axis=2)] = 255
        return Image.fromarray(found, "CMYK").convert("RGB") if bands == "CMYK" else Image.fromarray(found)

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        """The byte of each sample of up to 16 bits."""
        return _bytes(np.arange(2.0**16), "L", self.scale)


def read(image: ImageFile, data: bytes) -> Samples:
    """Decode an opened image; raises InvalidImage where the file does not say how bright its samples are."""
    scale, low, how = scale_of(image), None, rawmode(image)
    wide = how.partition(";")[2]
    if scale.paired:
        retile(image, "RGBA")  # of each pixel: grey, its low byte, alpha, its low byte
    elif wide in OTHER_BYTE and not how.startswith("I"):
        plain = how.partition(";")[0].replace("a", "A")  # as it is stored, its colours not divided by its alpha
        low = Image.open(io.BytesIO(data), formats=[str(image.format)])
        scale_of(low)
        retile(image, f"{plain};{wide}")
        retile(low, f"{plain};{OTHER_BYTE[wide]}")
        low.load()
    image.load()
    orientation = 1
    with suppress(Exception):  # a broken EXIF block says nothing of the orientation; the pixels are sound
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return Samples(image, low, scale, orientation)


def by_pillow(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel, in L or RGB; transparency lies on white."""
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        front = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _bytes(values: NDArray[np.float64], bands: str, scale: Scale) -> NDArray[np.uint8]:
    """Samples (H, W) or (H, W, bands) from 0, black, to 255, white; what has an alpha channel lies on white."""
    assert scale.white is not None
    light = (values - scale.black) / (scale.white - scale.black)
    if scale.bounded and not (np.isfinite(light).all() and light.min() >= -OUTSIDE and light.max() <= 1 + OUTSIDE):
        raise unreadable(
            "its samples are floats beyond 0 (black) and 1 (white), or not finite, and the file does not say what is "
            "black and white; scale them, or write SMinSampleValue and SMaxSampleValue"
        )
    light = np.clip(np.nan_to_num(1 - light if scale.inverted else light), 0, 1)
    if bands in WITH_ALPHA:
        colours, alpha = light[..., :-1], light[..., -1:]
        light = np.minimum((colours if scale.premultiplied else colours * alpha) + 1 - alpha, 1)
        light = light[..., 0] if bands == "LA" else light
    return (light * 255).round().astype(np.uint8)
