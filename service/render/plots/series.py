"""An attribution over time as PNG: each channel as a line in the colours of what its values count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.frame import SMALL, WHITE, Caption, framed
from service.render.plots.axes import Axis
from service.render.scale import colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, fitted, number, write

MOST = 12
LEFT, BELOW = 110, 36
FINER = 3  # lines are drawn so many times larger, then scaled down: Pillow's own have stairs


def draw_series(
    attribution: NDArray[np.floating], seen: NDArray[np.floating], look: Look, caption: Caption, names: Sequence[str]
) -> bytes:
    """A PNG of an attribution (channels, steps) to a series of that shape; of more than 12 channels the strongest.

    The line's height is the input, its colour the attribution; an attribution (1, steps) colours every channel.
    """
    drawn = scaled(np.broadcast_to(np.asarray(attribution, np.float32), seen.shape), look)
    name = colormap_for(drawn, look)
    order = np.argsort(-np.abs(drawn.values).sum(axis=1), kind="stable")[:MOST]
    if len(seen) > MOST:
        caption = caption.adding(f"the {MOST} strongest of {len(seen)} channels")
    high = max(72, min(200, 480 // len(order)))
    wide = max(640, look.size)
    body = Image.new("RGB", (LEFT + wide + 12, len(order) * high + BELOW), WHITE)
    pen = ImageDraw.Draw(body)
    for row, channel in enumerate(sorted(order.tolist())):
        line = _line(seen[channel], colours(drawn.values[channel], name), wide, high - 12)
        body.paste(line, (LEFT, row * high + 6))
        label = names[channel] if channel < len(names) else f"[{channel}]" if len(seen) > 1 else ""
        write(pen, (LEFT - 50, row * high + high // 2), fitted(label, SMALL, LEFT - 54), SMALL, anchor="rm")
        for value, y in ((seen[channel].max(), row * high + 12), (seen[channel].min(), (row + 1) * high - 12)):
            write(pen, (LEFT - 6, y), number(float(value)), SMALL - 2, ink=FAINT, anchor="rm")
    _steps(pen, seen.shape[1], wide, body.height - BELOW)
    return framed(body, caption.adding(legend(drawn, look, name)), drawn, lambda ramp: colours(ramp, name))


def _line(values: NDArray[np.floating], palette: NDArray[np.uint8], wide: int, high: int) -> Image.Image:
    """The line in its colours, with a dark edge, so that it is seen where it counts for nothing."""
    image = Image.new("RGB", (wide * FINER, high * FINER), WHITE)
    pen = ImageDraw.Draw(image)
    edge = 4 * FINER
    across = np.linspace(edge, wide * FINER - edge, len(values)) if len(values) > 1 else np.array([wide * FINER / 2])
    span = float(np.ptp(values)) or 1.0
    up = edge + (1 - (values - values.min()) / span) * (high * FINER - 2 * edge)
    points = list(zip(across.tolist(), up.tolist(), strict=True))
    for width, inked in ((7 * FINER, INK), (5 * FINER, None)):
        for i, (x, y) in enumerate(points):
            ink = inked or tuple(palette[i].tolist())
            before, after = points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
            ends = [((x + before[0]) / 2, (y + before[1]) / 2), (x, y), ((x + after[0]) / 2, (y + after[1]) / 2)]
            pen.line(ends, fill=ink, width=width, joint="curve")
            if len(values) < wide // 8:
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=ink)
    return image.resize((wide, high), Image.Resampling.LANCZOS)


def _steps(pen: ImageDraw.ImageDraw, steps: int, wide: int, top: int) -> None:
    axis = Axis.over(0, steps - 1)
    for mark in axis.marks(whole=True):
        if 0 <= mark < steps:
            x = LEFT + 4 + axis.share(mark) * (wide - 8)
            pen.line((x, top, x, top + 4), fill=INK)
            write(pen, (x, top + 7), f"{mark:g}", SMALL, anchor="ma")
