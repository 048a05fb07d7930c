"""Curves side by side on one pair of axes, with their names and scores beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.frame import GAP, SMALL, WHITE
from service.render.plots.axes import Axis
from service.render.text import FAINT, INK, fitted, length, number, write

Colour: TypeAlias = tuple[int, int, int]

WIDTH, HEIGHT = 560, 320
ROW = 20
FINER = 3  # lines are drawn so many times larger, then scaled down: Pillow's own have stairs
GRID = (228, 228, 232)
# Okabe and Ito's, told apart with every common colour blindness; yellow, too light for a line, is left out.
LINES: tuple[Colour, ...] = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (60, 60, 66),
)  # fmt: skip
DASHES = (0, 9, 3)  # drawn and left out so many pixels, by turns; 0 is a whole line


def plot(
    arrays: Mapping[str, NDArray[Any]], names: Sequence[str], said: Mapping[str, Any], measure: str
) -> Image.Image:
    """`curves` (methods, points) over `at` (points,); `said` names the axes `x` and `y`, and whether x is `log`."""
    curves, at = np.asarray(arrays["curves"], float), np.asarray(arrays["at"], float)
    across = Axis.over(float(at.min()), float(at.max()), bool(said.get("log")))
    up = Axis.over(min(0.0, float(curves.min())), max(0.0, float(curves.max()))).rounded()
    left = 16 + ROW + int(max(length(up.written(mark), SMALL) for mark in up.marks()))
    lines = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), WHITE)
    pen = ImageDraw.Draw(lines)
    for mark in up.marks():
        y = (1 - up.share(mark)) * (HEIGHT * FINER - 1)
        pen.line((0, y, WIDTH * FINER, y), fill=GRID if mark else FAINT, width=FINER)
    for i, curve in enumerate(curves):
        points = [
            (across.share(x) * (WIDTH - 1) * FINER, (1 - up.share(y)) * (HEIGHT - 1) * FINER)
            for x, y in zip(at, curve, strict=True)
        ]
        _line(pen, points, *_style(i))
    key = _legend(names, arrays["scores"], measure)
    body = Image.new("RGB", (left + WIDTH + GAP + key.width, max(HEIGHT + 2 * ROW + 16, key.height)), WHITE)
    body.paste(lines.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), (left, 8))
    body.paste(key, (left + WIDTH + GAP, 8))
    draw = ImageDraw.Draw(body)
    draw.rectangle((left - 1, 7, left + WIDTH, 8 + HEIGHT), outline=(200, 200, 204))
    for mark in up.marks():
        write(draw, (left - 8, 8 + (1 - up.share(mark)) * (HEIGHT - 1)), up.written(mark), SMALL, anchor="rm")
    for mark in _readable(across, bool((at == at.round()).all())):
        x = left + across.share(mark) * (WIDTH - 1)
        draw.line((x, 8 + HEIGHT, x, 12 + HEIGHT), fill=INK)
        write(draw, (x, 16 + HEIGHT), across.written(mark), SMALL, anchor="ma")
    write(draw, (left + WIDTH / 2, 16 + HEIGHT + ROW), said.get("x", ""), SMALL, ink=FAINT, anchor="ma")
    _upright(body, said.get("y", ""), 8 + HEIGHT // 2)
    return body


def _line(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: Colour, dash: int) -> None:
    """A line through the points; dashes go on around corners."""
    if not dash:
        pen.line(list(points), fill=colour, width=2 * FINER, joint="curve")
        return
    length, gone = dash * FINER, 0.0
    for (x, y), (to_x, to_y) in pairwise(points):
        whole = float(np.hypot(to_x - x, to_y - y))
        for start in np.arange(-(gone % (2 * length)), whole, 2 * length):
            low, high = max(start, 0) / (whole or 1), min(start + length, whole) / (whole or 1)
            if high > low:
                ends = [(x + share * (to_x - x), y + share * (to_y - y)) for share in (low, high)]
                pen.line(ends, fill=colour, width=2 * FINER)
        gone += whole


def _legend(names: Sequence[str], scores: NDArray[Any], measure: str) -> Image.Image:
    """The lines with the names of what they are and their scores."""
    room = min(260, max(int(length(name, SMALL)) for name in (*names, measure)) + 4)
    widest = int(max(length(number(score), SMALL) for score in scores))
    image = Image.new("RGB", (36 + room + GAP + widest, ROW * (len(names) + 1)), WHITE)
    draw = ImageDraw.Draw(image)
    write(draw, (image.width - 1, ROW // 2), fitted(measure, SMALL, image.width), SMALL, ink=FAINT, anchor="rm")
    for i, (name, score) in enumerate(zip(names, scores, strict=True), 1):
        middle = i * ROW + ROW // 2
        sample = Image.new("RGB", (28 * FINER, 4 * FINER), WHITE)
        _line(ImageDraw.Draw(sample), [(0, 2 * FINER), (28 * FINER, 2 * FINER)], *_style(i - 1))
        image.paste(sample.resize((28, 4), Image.Resampling.LANCZOS), (0, middle - 2))
        write(draw, (36, middle), fitted(name, SMALL, room), SMALL, anchor="lm")
        write(draw, (image.width - 1, middle), number(score), SMALL, anchor="rm")
    return image


def _readable(axis: Axis, whole: bool) -> list[float]:
    """The marks that have room for their numbers."""
    kept: list[float] = []
    for mark in axis.marks(whole):
        if not kept or (axis.share(mark) - axis.share(kept[-1])) * WIDTH > 40:
            kept.append(mark)
    return kept


def _upright(body: Image.Image, text: str, middle: int) -> None:
    """Text that runs upwards, at the left edge."""
    strip = Image.new("RGB", (HEIGHT, ROW), WHITE)
    write(ImageDraw.Draw(strip), (HEIGHT / 2, ROW / 2), fitted(text, SMALL, HEIGHT), SMALL, ink=FAINT, anchor="mm")
    body.paste(strip.rotate(90, expand=True), (0, middle - HEIGHT // 2))


def _style(i: int) -> tuple[Colour, int]:
    return LINES[i % len(LINES)], DASHES[i // len(LINES) % len(DASHES)]
