"""An attribution over a text as PNG: its tokens in their order, each on the colour of what it counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.frame import SMALL, WHITE, Caption, framed
from service.render.scale import colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, fitted, font, number, write

WIDE, LINE, BOX, GAP = 720, 52, 26, 8
SIZE = 15
MOST = 400
_DARK = 140  # below it, letters are white


def draw_tokens(attribution: NDArray[np.floating], tokens: Sequence[str], look: Look, caption: Caption) -> bytes:
    """A PNG of an attribution (tokens,); beneath each token its number. Of more than 400 the first are drawn."""
    values = np.asarray(attribution, np.float32)
    if len(values) > MOST:
        caption = caption.adding(f"the first {MOST} of {len(values)} tokens")
    drawn = scaled(values, look.model_copy(update={"clip": 100.0}))
    name = colormap_for(drawn, look)
    places = _places(tokens[:MOST])
    body = Image.new("RGB", (WIDE, places[-1][1] + LINE), WHITE)
    pen = ImageDraw.Draw(body)
    for i, (x, y, width) in enumerate(places):
        red, green, blue = colours(drawn.values[i : i + 1], name)[0].tolist()
        light = 0.299 * red + 0.587 * green + 0.114 * blue > _DARK
        pen.rounded_rectangle((x, y + 4, x + width, y + 4 + BOX), 4, fill=(red, green, blue), outline=(200, 200, 204))
        ink = INK if light else WHITE
        write(pen, (x + width / 2, y + 4 + BOX / 2), fitted(tokens[i], SIZE, WIDE - 40), SIZE, ink=ink, anchor="mm")
        value = number(float(drawn.values[i]) * drawn.limit)
        write(pen, (x + width / 2, y + 7 + BOX), value, SMALL - 2, ink=FAINT, anchor="ma")
    return framed(body, caption.adding(legend(drawn, look, name)), drawn, lambda ramp: colours(ramp, name))


def _places(tokens: Sequence[str]) -> list[tuple[int, int, int]]:
    """Where each token lies and how wide it is, broken into lines."""
    found, x, y = [], GAP, 0
    for token in tokens:
        width = max(36, int(font(SIZE).getlength(fitted(token, SIZE, WIDE - 40))) + 14)
        if x + width > WIDE - GAP and x > GAP:
            x, y = GAP, y + LINE
        found.append((x, y, width))
        x += width + GAP
    return found
