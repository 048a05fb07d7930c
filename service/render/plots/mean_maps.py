"""What many explanations say together: the mean map of each class, and how far the checks are missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from service.render.colormaps import colours
from service.render.frame import GAP, MARGIN, SMALL, headed, png
from service.render.scale import Scaled, colormap_for, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, fitted, number, write
from service.render.thumbnails import THUMB, heading, plane_of, thumbnail

MOST_CLASSES = 40
BINS = 24
PLOT = (360, 90)


def summary(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], look: Look) -> bytes:
    """A PNG of the mean map of each class, on one scale, and of how the checks' gaps are spread."""
    told, means = meta["info"], np.asarray(arrays["means"], np.float32)
    classes = told["classes"][:MOST_CLASSES] if len(means) else []
    planes = np.stack([plane_of(means[i]) for i in range(len(classes))]) if classes else np.zeros((0, 1, 1), np.float32)
    drawn = scaled(planes, look) if planes.size else Scaled(planes, 0.0, signed=False, beyond=False)
    per_row = max(1, min(10, len(classes)))
    high = THUMB + SMALL + 8
    rows = -(-len(classes) // per_row)
    checks = told["checks"]
    plots = (PLOT[1] + 2 * SMALL + 20) * (1 if checks else 0)
    width = max(per_row * (THUMB + GAP), len(checks) * (PLOT[0] + GAP), 480) + 2 * MARGIN - GAP
    canvas, pen, top = headed(width, rows * (high + GAP) + plots, heading(meta).adding(_scale(drawn, told["by"])))
    name = colormap_for(drawn, look)
    for at, one in enumerate(classes):
        x, y = MARGIN + at % per_row * (THUMB + GAP), top + at // per_row * (high + GAP)
        write(pen, (x, y), fitted(f"{_class(one)} ({one['items']})", SMALL, THUMB), SMALL)
        canvas.paste(thumbnail(colours(drawn.values[at], name)), (x, y + SMALL + 6))
        pen.rectangle((x - 1, y + SMALL + 5, x + THUMB, y + SMALL + 6 + THUMB), outline=(210, 210, 214))
    for at, check in enumerate(checks):
        _spread(pen, (MARGIN + at * (PLOT[0] + GAP), top + rows * (high + GAP)), check, arrays["gaps"][:, at])
    return png(canvas)


def _scale(drawn: Scaled, by: str) -> str:
    to = f"{'+-' if drawn.signed else ''}{number(drawn.limit)}"
    return f"mean maps by {by}, on one scale that ends at {to}" if drawn.limit else ""


def _class(one: Mapping[str, Any]) -> str:
    return str(one["label"] if one["label"] is not None else "all" if one["index"] < 0 else one["index"])


def _spread(pen: ImageDraw.ImageDraw, at: tuple[int, int], name: str, gaps: NDArray[Any]) -> None:
    """A histogram of the gaps over their powers of ten."""
    x, y = at
    there = np.asarray(gaps, np.float64)[np.asarray(gaps) >= 0]
    logs = np.log10(np.maximum(there, 1e-9))
    low, high = (np.floor(logs.min()), np.ceil(logs.max()) + 1e-9) if len(logs) else (-3.0, 0.0)
    counts, _ = np.histogram(logs, bins=BINS, range=(low, max(high, low + 1)))
    write(pen, (x, y), fitted(f"{name}: gap of {len(there)} items, median {_median(there)}", SMALL, PLOT[0]), SMALL)
    base, bar = y + SMALL + 8 + PLOT[1], PLOT[0] / BINS
    for i, count in enumerate(counts.tolist()):
        tall = round(count / max(1, counts.max()) * PLOT[1])
        if tall:
            pen.rectangle((x + i * bar, base - tall, x + (i + 1) * bar - 1, base), fill=(72, 117, 192))
    pen.line((x, base, x + PLOT[0], base), fill=INK)
    write(pen, (x, base + 4), f"1e{low:.0f}", SMALL, ink=FAINT)
    write(pen, (x + PLOT[0], base + 4), f"1e{max(high, low + 1):.0f}", SMALL, ink=FAINT, anchor="ra")


def _median(values: NDArray[np.float64]) -> str:
    return number(float(np.median(values))) if len(values) else "none"
