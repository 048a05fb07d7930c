"""A bar from zero for each score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.frame import SMALL, WHITE
from service.render.plots.axes import Axis
from service.render.text import FAINT, INK, fitted, font, number, write

WIDTH = 560
ROW = 24
MOST = 40
BLUE = (0, 114, 178)


def score_bars(names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Image.Image:
    """The first 40 scores, each with its standard error where there is one."""
    scores = np.asarray(arrays["scores"], float).ravel()
    errors = np.asarray(arrays.get("standard_error", np.zeros_like(scores)), float).ravel()
    shown = min(MOST, len(scores))
    left = min(260, int(max(font(SMALL).getlength(name) for name in names[:shown]))) + 12
    axis = Axis.over(min(0.0, float((scores - errors).min())), max(0.0, float((scores + errors).max())))
    image = Image.new("RGB", (left + WIDTH + 80, ROW * shown), WHITE)
    draw = ImageDraw.Draw(image)
    zero = left + axis.share(0.0) * WIDTH
    for i in range(shown):
        middle = ROW * i + ROW // 2
        end = left + axis.share(scores[i]) * WIDTH
        draw.rectangle((min(zero, end), middle - 7, max(zero, end), middle + 7), fill=BLUE)
        low, high = (left + axis.share(scores[i] + sign * errors[i]) * WIDTH for sign in (-1, 1))
        if errors[i]:
            draw.line((low, middle, high, middle), fill=INK)
            draw.line((low, middle - 4, low, middle + 4), fill=INK)
            draw.line((high, middle - 4, high, middle + 4), fill=INK)
        write(draw, (left - 8, middle), fitted(names[i], SMALL, left - 12), SMALL, anchor="rm")
        write(draw, (max(zero, end, high) + 6, middle), number(scores[i]), SMALL, anchor="lm")
    draw.line((zero, 0, zero, image.height), fill=FAINT)
    return image
