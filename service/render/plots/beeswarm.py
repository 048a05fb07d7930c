"""What each feature does over many inputs: a dot for each, across its attribution, coloured by its value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.axis_kinds import Layout
from service.render.frame import BAR, GAP, MARGIN, SMALL, WHITE, Caption, headed, png
from service.render.plots.axes import Axis
from service.render.plots.lines import FINER, GRID
from service.render.plots.shades import shade, shades
from service.render.text import FAINT, fitted, room, write

MOST = 20  # features
DOTS = 2000  # inputs
ROW = 34
NAMES, MOST_NAMES, PLOT = 150, 320, 460
DOT = 3  # radius


def draw_beeswarm(values: NDArray[np.floating], seen: NDArray[np.floating], layout: Layout, caption: Caption) -> bytes:
    """A PNG of attributions and inputs (n, features); the 20 features of the largest mean magnitude are drawn."""
    order = np.argsort(-np.abs(values).mean(0), kind="stable")[:MOST].tolist()
    if values.shape[1] > MOST:
        caption = caption.adding(f"the {MOST} strongest of {values.shape[1]} features")
    across = Axis.over(min(0.0, float(values.min())), max(0.0, float(values.max()))).rounded()
    height = ROW * len(order)
    beside = room((layout.name(feature) for feature in order), SMALL, NAMES, MOST_NAMES)
    width = beside + PLOT + GAP + BAR + 40 + 2 * MARGIN
    canvas, pen, top = headed(width, height + 2 * SMALL + 2 * GAP, caption)
    plot = Image.new("RGB", (PLOT * FINER, height * FINER), WHITE)
    fine = ImageDraw.Draw(plot)
    for mark in across.marks():
        x = across.share(mark) * (PLOT - 1) * FINER
        fine.line((x, 0, x, height * FINER), fill=GRID if mark else FAINT, width=FINER)
    for row, feature in enumerate(order):
        places = [across.share(value) * (PLOT - 1) for value in values[:, feature].tolist()]
        inks = shades(seen[:, feature])
        for x, lift, ink in zip(places, swarm(places, ROW / 2 - DOT), inks, strict=True):
            middle = (row + 0.5) * ROW + lift
            box = [one * FINER for one in (x - DOT, middle - DOT, x + DOT, middle + DOT)]
            fine.ellipse(box, fill=ink)
        at = (MARGIN + beside - 10, top + (row + 0.5) * ROW)
        write(pen, at, fitted(layout.name(feature), SMALL, beside - 12), SMALL, anchor="rm")
    left = MARGIN + beside
    canvas.paste(plot.resize((PLOT, height), Image.Resampling.LANCZOS), (left, top))
    for mark in across.marks():
        x = left + across.share(mark) * (PLOT - 1)
        write(pen, (x, top + height + 6), across.written(mark), SMALL, ink=FAINT, anchor="ma")
    beneath = (left + PLOT / 2, top + height + SMALL + GAP)
    write(pen, beneath, "attribution", SMALL, ink=FAINT, anchor="ma")
    _key(canvas, (left + PLOT + GAP, top), height)
    return png(canvas)


def swarm(places: Sequence[float], space: float) -> list[float]:
    """How far above or below its line each dot lies: next to those already there, all within `space`."""
    columns: dict[int, int] = {}
    found = []
    crowd = max(np.bincount([int(x // DOT) for x in places]).tolist(), default=1) if places else 1
    step = min(2.0 * DOT, 2 * space / max(crowd, 1))
    for x in places:
        nth = columns[int(x // DOT)] = columns.get(int(x // DOT), -1) + 1
        found.append((nth + 1) // 2 * step * (1 if nth % 2 else -1))
    return found


def _key(canvas: Image.Image, at: tuple[int, int], height: int) -> None:
    x, y = at
    pen = ImageDraw.Draw(canvas)
    for down in range(height):
        pen.line((x, y + down, x + BAR, y + down), fill=shade(1 - down / max(1, height - 1)))
    write(pen, (x + BAR + 6, y), "high", SMALL, ink=FAINT, anchor="la")
    write(pen, (x + BAR + 6, y + height), "low", SMALL, ink=FAINT, anchor="ld")
