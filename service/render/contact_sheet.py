"""A contact sheet: inputs beside their maps, some to a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from service.render.colormaps import colours
from service.render.frame import GAP, MARGIN, SMALL, Caption, headed, png
from service.render.scale import colormap_for, scaled
from service.render.style import DEFAULT_LOOK, Look
from service.render.text import INK, fitted, write
from service.render.thumbnails import THUMB, plane_of, seen_pixels, thumbnail

COLUMNS, ROWS = 4, 6
PER_SHEET = COLUMNS * ROWS
WRONG = (170, 40, 30)
WIDEST = 760  # of a picture of its own


@dataclass(frozen=True, slots=True)
class Cell:
    """One item: the line above it, whether what was predicted is not its label, its map and its input, or neither."""

    title: str
    wrong: bool
    values: NDArray[Any] | None
    seen: NDArray[Any] | None


def sheet_of_pictures(cells: Sequence[tuple[str, bool, bytes | None]], caption: Caption) -> bytes:
    """A PNG of pictures of their own, one beneath the other, each with the line above it; None where there is none."""
    shown = [(title, wrong, None if data is None else _fitting(data)) for title, wrong, data in cells]
    heights = [SMALL + 8 + (0 if image is None else image.height) + GAP for *_, image in shown]
    canvas, pen, y = headed(WIDEST + 2 * MARGIN, sum(heights), caption)
    for (title, wrong, image), high in zip(shown, heights, strict=True):
        write(pen, (MARGIN, y), fitted(title, SMALL, WIDEST), SMALL, ink=WRONG if wrong else INK)
        if image is not None:
            canvas.paste(image, (MARGIN, y + SMALL + 6))
        y += high
    return png(canvas)


def _fitting(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.width <= WIDEST:
        return image
    return image.resize((WIDEST, max(1, round(image.height * WIDEST / image.width))), Image.Resampling.BILINEAR)


def contact_sheet(cells: Sequence[Cell], caption: Caption, look: Look = DEFAULT_LOOK) -> bytes:
    """A PNG of up to PER_SHEET items, each its input beside its map, every map on a scale of its own."""
    wide, high = 2 * THUMB + 4, THUMB + SMALL + 8
    rows = max(1, -(-len(cells) // COLUMNS))
    canvas, pen, top = headed(COLUMNS * (wide + GAP) + 2 * MARGIN - GAP, rows * (high + GAP), caption)
    for at, cell in enumerate(cells):
        x, y = MARGIN + at % COLUMNS * (wide + GAP), top + at // COLUMNS * (high + GAP)
        write(pen, (x, y), fitted(cell.title, SMALL, wide), SMALL, ink=WRONG if cell.wrong else INK)
        if cell.seen is not None and cell.values is not None:
            canvas.paste(thumbnail(seen_pixels(cell.seen, cell.values)), (x, y + SMALL + 6))
        if cell.values is not None:
            drawn = scaled(plane_of(cell.values), look)
            heat = thumbnail(colours(drawn.values, colormap_for(drawn, look)))
            canvas.paste(heat, (x + THUMB + 4, y + SMALL + 6))
        pen.rectangle((x - 1, y + SMALL + 5, x + wide, y + SMALL + 6 + THUMB), outline=(210, 210, 214))
    return png(canvas)
