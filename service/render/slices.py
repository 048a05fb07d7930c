"""An attribution over a video or a volume as PNG: frames or slices, and the share of the relevance in each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import Colormap, Pixels, Values, colours
from service.render.frame import SMALL, WHITE, Caption, framed
from service.render.heatmap import enlarged
from service.render.scale import Scaled, colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, number, write

MOST, COLUMNS = 12, 6
TILE, GAP = 116, 6
CHART = 96


def draw_slices(attribution: NDArray[np.floating], seen: Pixels, look: Look, caption: Caption, word: str) -> bytes:
    """A PNG of an attribution (slices, H, W) and the input in grey levels of that shape; of more than 12, 12 are shown.

    All are on one scale. Below, the share of each in the sum of all: of its own sign, they sum to 1.
    """
    values = np.asarray(attribution, np.float32)
    drawn = scaled(values, look)
    name = colormap_for(drawn, look)
    shown = np.unique(np.linspace(0, len(values) - 1, min(MOST, len(values))).round().astype(int)).tolist()
    tiles = [_tile(drawn, seen, i, name, word) for i in shown]
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    wide, high = tiles[0].width + GAP, tiles[0].height + GAP
    body = Image.new("RGB", (max(columns * wide, 384), rows * high + CHART), WHITE)
    for i, tile in enumerate(tiles):
        body.paste(tile, (i % columns * wide, i // columns * high))
    _shares(body, values, rows * high, shown, word)
    few = f"{len(shown)} of {len(values)} {word}s" if len(shown) < len(values) else ""
    return framed(body, caption.adding(few).adding(legend(drawn, look, name)), drawn, lambda ramp: colours(ramp, name))


def shares(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The share of each slice in the sum over all; of the magnitudes where the sum is next to nothing."""
    sums = np.asarray(values, float).reshape(len(values), -1).sum(axis=1)
    if abs(sums.sum()) < 0.05 * np.abs(sums).sum():
        sums = np.abs(values).reshape(len(values), -1).sum(axis=1)
    whole = float(sums.sum())
    return np.asarray(sums / whole if whole else np.zeros(len(values)))


def _tile(drawn: Scaled, seen: Pixels, i: int, name: Colormap, word: str) -> Image.Image:
    """The input above, the map below it, and which of them it is."""
    map_, ground = (enlarged(pixels, TILE) for pixels in (colours(drawn.values[i], name), seen[i]))
    tile = Image.new("RGB", (map_.width, 2 * map_.height + SMALL + 10), WHITE)
    pen = ImageDraw.Draw(tile)
    write(pen, (2, 1), f"{word} {i}", SMALL, ink=FAINT)
    tile.paste(ground.resize(map_.size).convert("RGB"), (0, SMALL + 6))
    tile.paste(map_, (0, SMALL + 8 + map_.height))
    pen.rectangle((0, SMALL + 8 + map_.height, tile.width - 1, tile.height - 1), outline=(200, 200, 204))
    return tile


def _shares(body: Image.Image, values: Values, top: int, shown: list[int], word: str) -> None:
    """A bar for each slice, those that are shown dark."""
    pen, found = ImageDraw.Draw(body), shares(values)
    largest = float(np.abs(found).max(initial=0)) or 1.0
    left, right, high = 6, body.width - 6, CHART - 2 * SMALL - 26
    write(
        pen,
        (left, top + 4),
        f"share of the relevance by {word}, at most {number(float(found.max()))}",
        SMALL,
        ink=FAINT,
    )
    lowest = min(0.0, float(found.min()))
    zero = top + SMALL + 12 + high * (1 if lowest == 0 else largest / (largest - lowest))
    wide = (right - left) / len(found)
    for i, share in enumerate(found.tolist()):
        end = zero - share / (largest - lowest) * high
        bar = (left + i * wide, min(zero, end), left + max((i + 1) * wide - 3, i * wide + 1), max(zero, end))
        pen.rectangle(bar, fill=INK if i in shown else (176, 176, 182))
        if i in (shown[0], shown[-1]):
            write(pen, (left + (i + 0.5) * wide, top + CHART - SMALL - 4), str(i), SMALL, anchor="ma")
    pen.line((left, zero, right, zero), fill=FAINT)
