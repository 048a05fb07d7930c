"""Clusters of heat maps as PNG: each one's mean map, and where its items lie beside the others'."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import Pixels, Values, colours
from service.render.frame import GAP, SMALL, WHITE, Caption, framed
from service.render.heatmap import enlarged
from service.render.scale import colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, fitted, write

DOT = 4
INKS = (
    (33, 102, 172), (214, 96, 40), (34, 139, 84), (142, 68, 173), (192, 57, 43),
    (127, 127, 20), (22, 140, 160), (110, 80, 60), (200, 80, 150), (90, 90, 95),
)  # fmt: skip


def draw_clusters(
    means: NDArray[np.floating],
    labels: NDArray[np.integer],
    embedding: NDArray[np.floating],
    look: Look,
    caption: Caption,
) -> bytes:
    """A PNG of the mean maps (clusters, ..places), all on one scale, each framed in its colour, and of the items.

    Maps over one axis are drawn as a band; of more than two, the last two are drawn and the others averaged.
    """
    flat = means.reshape(len(means), -1, means.shape[-1]) if means.ndim > 1 else means.reshape(len(means), 1, 1)
    maps = means.mean(tuple(range(1, means.ndim - 2))) if means.ndim > 3 else flat if means.ndim < 3 else means
    drawn = scaled(np.asarray(np.concatenate(list(maps), axis=1), np.float32), look)
    name = colormap_for(drawn, look)
    tiles = [
        enlarged(colours(part, name), max(96, look.size // 3)) for part in np.split(drawn.values, len(maps), axis=1)
    ]
    rows = -(-len(tiles) // 5)
    columns = -(-len(tiles) // rows)
    width, height = tiles[0].width + GAP, tiles[0].height + SMALL + 12
    side = max(look.size, columns * width - GAP)
    plane = Image.new("RGB", (side, rows * height + look.size // 2 + SMALL + 12), WHITE)
    draw = ImageDraw.Draw(plane)
    for at, tile in enumerate(tiles):
        x, y = at % columns * width + 3, at // columns * height + 3
        plane.paste(tile.resize((tile.width - 6, tile.height - 6), Image.Resampling.NEAREST), (x, y))
        draw.rectangle((x - 3, y - 3, x + tile.width - 4, y + tile.height - 4), outline=INKS[at % len(INKS)], width=3)
        told = f"{at}: {int((labels == at).sum())} items"
        write(draw, (x, y + tile.height), fitted(told, SMALL, width - GAP), SMALL, ink=INKS[at % len(INKS)])
    write(draw, (0, rows * height), fitted("where the items lie", SMALL, side), SMALL, ink=FAINT)
    _scatter(draw, (0, rows * height + SMALL + 8, side, plane.height), embedding, labels)

    def colour(values: Values) -> Pixels:
        return colours(values, name)

    return framed(plane, caption.adding(legend(drawn, look, name)), drawn, colour)


def _scatter(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], at: NDArray[np.floating], labels: NDArray[np.integer]
) -> None:
    """Each item as a dot in its cluster's colour, the widest way across."""
    left, top, right, bottom = box
    span = np.ptp(at, axis=0) if len(at) else np.ones(2)
    share = (at - at.min(0)) / np.where(span > 0, span, 1)
    for (across, up), label in zip(share, labels, strict=True):
        x = left + 2 * DOT + float(across) * (right - left - 4 * DOT)
        y = bottom - 2 * DOT - float(up) * (bottom - top - 4 * DOT)
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=INKS[int(label) % len(INKS)], outline=WHITE)
