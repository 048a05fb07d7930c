"""A contact sheet: inputs beside their maps, some to a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from service.render.colormaps import colours
from service.render.frame import GAP, MARGIN, SMALL, Caption, headed, png
from service.render.scale import colormap_for, scaled
from service.render.style import DEFAULT_LOOK, Look
from service.render.text import INK, fitted, write
from service.render.thumbnails import THUMB, plane_of, seen_pixels, thumbnail

COLUMNS, ROWS = 4, 6
PER_SHEET = COLUMNS * ROWS
WRONG = (170, 40, 30)


@dataclass(frozen=True, slots=True)
class Cell:
    """One item: the line above it, whether what was predicted is not its label, its map and its input, or neither."""

    title: str
    wrong: bool
    values: NDArray[Any] | None
    seen: NDArray[Any] | None


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
