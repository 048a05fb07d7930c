"""An attribution over a list of features as PNG: one signed bar each, on one scale."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.frame import SMALL, WHITE, Caption, framed
from service.render.scale import Scaled, colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, fitted, number, room, write

MOST = 40
ROW = 22
NAMES, MOST_NAMES = 120, 280
NUMBERS = 66


def draw_bars(attribution: NDArray[np.floating], look: Look, caption: Caption, names: Sequence[str] = ()) -> bytes:
    """A PNG of an attribution (N,); of more than 40 features the 40 strongest are drawn, in their order."""
    drawn = scaled(np.asarray(attribution, np.float32), look.model_copy(update={"clip": 100.0}))
    colormap = colormap_for(drawn, look)
    count = len(drawn.values)
    strongest = np.sort(np.argsort(-np.abs(drawn.values), kind="stable")[:MOST])
    if count > MOST:
        caption = caption.adding(f"the {MOST} strongest of {count} features")
    labels = [names[feature] if feature < len(names) else f"[{feature}]" for feature in strongest.tolist()]
    beside = room(labels, SMALL, NAMES, MOST_NAMES)
    body = Image.new("RGB", (max(look.size, 384) + beside - NAMES, ROW * len(strongest)), WHITE)
    palette = colours(drawn.values, colormap)
    for row, feature in enumerate(strongest.tolist()):
        red, green, blue = palette[feature].tolist()
        name = fitted(labels[row], SMALL, beside - 12)
        write(ImageDraw.Draw(body), (beside - 8, row * ROW + ROW // 2), name, SMALL, anchor="rm")
        _bar(body, row, beside, float(drawn.values[feature]), drawn, (red, green, blue))
    return framed(body, caption.adding(legend(drawn, look, colormap)), drawn, lambda ramp: colours(ramp, colormap))


def _bar(body: Image.Image, row: int, beside: int, share: float, drawn: Scaled, colour: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(body)
    middle = row * ROW + ROW // 2
    left, right = beside + (NUMBERS if drawn.signed else 4), body.width - NUMBERS
    zero = (left + right) / 2 if drawn.signed else left
    end = zero + share * (right - zero)
    if share:
        draw.rectangle((min(zero, end), middle - 7, max(zero, end), middle + 7), fill=colour, outline=FAINT)
    draw.line((zero, row * ROW, zero, (row + 1) * ROW), fill=INK)
    text = number(share * drawn.limit)
    if share < 0:
        write(draw, (end - 5, middle), text, SMALL, ink=FAINT, anchor="rm")
    else:
        write(draw, (end + 5, middle), text, SMALL, ink=FAINT, anchor="lm")
