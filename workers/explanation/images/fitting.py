"""Resized and cropped, strip by strip: the numbers of Pillow's `resize` and `crop`, without a second whole image."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Protocol

from PIL import Image

from workers.explanation.card import OPEN, ImageSpec, Mode
from workers.explanation.errors import InvalidImage
from workers.explanation.images.files import MAX_PIXELS

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
REACH = {"nearest": 1.0, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}  # pixels to each side, of what is not shrunk
STRIP, BAND = 2**16, 2**20  # pixels that are held at once: of rows as they are decoded, and of rows of the final width
THINNEST = 1000  # sides to each other, of what is resized


class Rows(Protocol):
    """A picture of which rows are had as they are needed, as Pillow's L or RGB."""

    @property
    def size(self) -> tuple[int, int]: ...

    def rows(self, top: int, bottom: int, mode: Mode) -> Image.Image: ...


@dataclass(frozen=True, slots=True)
class Fit:
    """The size that the source is resized to, and the part of that which is kept: left, top, width and height."""

    resized: tuple[int, int]
    left: int
    top: int
    width: int
    height: int


def fit_of(size: tuple[int, int], spec: ImageSpec) -> Fit:
    """What becomes of a picture of this width and height.

    Raises InvalidImage where the crop does not fit, or a thin image would be stretched.
    """
    width, height = size
    if isinstance(spec.resize, int):
        new = (spec.resize * width // min(size), spec.resize * height // min(size))
    else:
        new = size if spec.resize is None else spec.resize[::-1]
    stretched = isinstance(spec.resize, int) and new[0] * new[1] > MAX_PIXELS
    if stretched or (new != size and max(size) > THINNEST * min(size)):
        raise InvalidImage("the image is too thin to be resized", pointer="/input")
    if spec.crop is None:
        return Fit(new, 0, 0, *new)
    if min(new) < spec.crop:
        detail = f"the image is smaller than the crop of {spec.crop} x {spec.crop} pixels"
        raise InvalidImage(detail, pointer="/input")
    left, top = (round((side - spec.crop) / 2) for side in new)
    return Fit(new, left, top, spec.crop, spec.crop)


def fitted(source: Rows, spec: ImageSpec, wanted: tuple[int, int]) -> Image.Image:
    """The picture of `wanted` width and height (OPEN: its own), in L or RGB.

    Raises InvalidImage where the card makes another of it.

    Along the rows first, then along the columns. Where all rows of the final width are many, the latter is done in
    pieces, and may differ from the whole by one level of 255 (with `nearest`, by one pixel).
    """
    fit = fit_of(source.size, spec)
    width, height = wanted
    wanted = (fit.width if width == OPEN else width, fit.height if height == OPEN else height)
    if (fit.width, fit.height) != wanted:
        given, takes = (f"{width} x {height}" for width, height in ((fit.width, fit.height), wanted))
        raise InvalidImage(f"the image has {given} pixels; the model takes {takes}, not resized", pointer="/input")
    (_, rows), (_, new), resampling = source.size, fit.resized, RESAMPLING[spec.interpolation]
    if max(rows, new) * fit.width <= BAND:
        column = _band(source, spec, fit, 0, rows).resize((fit.width, new), resampling)
        return column.crop((0, fit.top, fit.width, fit.top + fit.height))
    found = Image.new("L" if spec.mode == "L" else "RGB", wanted)
    down = rows / new
    reach = REACH[spec.interpolation] * max(down, 1.0) + 1
    lines = max(1, int((BAND / fit.width - 2 * reach) / down))
    for y in range(fit.top, fit.top + fit.height, lines):
        stop = min(y + lines, fit.top + fit.height)
        first, last = max(0, floor(y * down - reach)), min(rows, ceil(stop * down + reach))
        band = _band(source, spec, fit, first, last)
        inside = (0, y * down - first, fit.width, min(stop * down, rows) - first)
        found.paste(band.resize((fit.width, stop - y), resampling, inside), (0, y - fit.top))
    return found


def _band(source: Rows, spec: ImageSpec, fit: Fit, first: int, last: int) -> Image.Image:
    """These rows of the source at the final width."""
    step = max(1, STRIP // source.size[0])
    band = Image.new("L" if spec.mode == "L" else "RGB", (fit.width, last - first))
    for y in range(first, last, step):
        strip = source.rows(y, min(y + step, last), spec.mode)
        row = strip.resize((fit.resized[0], strip.height), RESAMPLING[spec.interpolation])
        band.paste(row.crop((fit.left, 0, fit.left + fit.width, strip.height)), (0, y - first))
    return band
