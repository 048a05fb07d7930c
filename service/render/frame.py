"""The frame of a picture: a caption above, the map, and beside it a colour bar with numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from service.render.colormaps import Pixels, Values
from service.render.scale import Scaled
from service.render.text import FAINT, INK, fitted, length, number, write

MARGIN = 16
GAP = 12
BAR = 18
TITLE, SMALL = 17, 13
WHITE = (255, 255, 255)

Colour: TypeAlias = Callable[[Values], Pixels]


@dataclass(frozen=True, slots=True)
class Caption:
    """What the picture shows: `title` in one line, `subtitle` the finer print, to which the drawing adds its legend."""

    title: str
    subtitle: str = ""

    def adding(self, legend: str) -> "Caption":
        return Caption(self.title, "; ".join(part for part in (self.subtitle, legend) if part))


def framed(body: Image.Image, caption: Caption, drawn: Scaled, colour: Colour) -> bytes:
    """The whole picture as PNG; `colour` draws the bar, so bar and map cannot disagree."""
    labels = bar_labels(drawn)
    bar_width = BAR + 8 + int(max(length(text, SMALL) for _, text in labels)) + 1
    width = body.width + GAP + bar_width + 2 * MARGIN
    top = MARGIN + TITLE + 6 + SMALL + 12
    canvas = Image.new("RGB", (width, top + body.height + MARGIN), WHITE)
    draw = ImageDraw.Draw(canvas)
    room = width - 2 * MARGIN
    write(draw, (MARGIN, MARGIN), fitted(caption.title, TITLE, room), TITLE)
    write(draw, (MARGIN, MARGIN + TITLE + 6), fitted(caption.subtitle, SMALL, room), SMALL, ink=FAINT)
    canvas.paste(body, (MARGIN, top))
    draw.rectangle((MARGIN - 1, top - 1, MARGIN + body.width, top + body.height), outline=(200, 200, 204))
    _bar(canvas, (MARGIN + body.width + GAP, top), body.height, drawn, colour)
    return png(canvas)


def headed(width: int, height: int, caption: Caption) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """An empty picture under its caption, what draws on it, and where its body begins."""
    top = MARGIN + TITLE + SMALL + 20
    canvas = Image.new("RGB", (width, top + height + MARGIN), WHITE)
    pen = ImageDraw.Draw(canvas)
    write(pen, (MARGIN, MARGIN), fitted(caption.title, TITLE, width - 2 * MARGIN), TITLE)
    write(pen, (MARGIN, MARGIN + TITLE + 6), fitted(caption.subtitle, SMALL, width - 2 * MARGIN), SMALL, ink=FAINT)
    return canvas, pen, top


def bar_labels(drawn: Scaled) -> list[tuple[float, str]]:
    """What the bar says, from top to bottom: (position in -1..1, text)."""
    if not drawn.limit:
        return [(0.0, "0")]
    limit = number(drawn.limit)
    top = f">= {limit}" if drawn.beyond else limit
    bottom = f"<= -{limit}" if drawn.beyond else f"-{limit}"
    if drawn.signed:
        return [(1.0, top), (0.0, "0"), (-1.0, bottom)]
    return [(1.0, top), (0.0, number(drawn.floor) if drawn.floor else "0")]


def png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", compress_level=4)
    return out.getvalue()


def _bar(canvas: Image.Image, at: tuple[int, int], height: int, drawn: Scaled, colour: Colour) -> None:
    x, y = at
    draw = ImageDraw.Draw(canvas)
    lowest = -1.0 if drawn.signed else 0.0
    highest = 1.0 if drawn.limit else 0.0
    ramp = np.linspace(highest, lowest, height, dtype=np.float32)[:, None]
    canvas.paste(Image.fromarray(np.repeat(colour(ramp), BAR, axis=1)), at)
    draw.rectangle((x - 1, y - 1, x + BAR, y + height), outline=(200, 200, 204))
    taken: list[float] = []
    for value, text in sorted(bar_labels(drawn), key=lambda one: -abs(one[0] + 0.1)):  # the ends first
        down = y + (highest - value) / max(highest - lowest, 1e-9) * (height - 1)
        draw.line((x + BAR, down, x + BAR + 3, down), fill=INK)
        inside = min(max(down, y + SMALL / 2), y + height - SMALL / 2)
        if any(abs(inside - other) < SMALL for other in taken):
            continue  # a picture of one bar has room for one number
        taken.append(inside)
        write(draw, (x + BAR + 7, inside), text, SMALL, anchor="lm")
