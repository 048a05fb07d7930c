"""A number for each two methods, as a table in colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.frame import SMALL, WHITE
from service.render.text import INK, fitted, font, write

ROW = 20
CELL = 58


def pairs(names: Sequence[str], matrix: NDArray[Any]) -> Image.Image:
    """All pairs: blue -1, white 0, red 1."""
    count, left = len(names), min(240, int(max(font(SMALL).getlength(name) for name in names))) + 36
    image = Image.new("RGB", (left + CELL * count + 2, ROW + CELL * count + 2), WHITE)
    draw = ImageDraw.Draw(image)
    for row in range(count):
        middle = ROW + CELL * row + CELL // 2
        write(draw, (left - 8, middle), f"{fitted(names[row], SMALL, left - 32)} [{row + 1}]", SMALL, anchor="rm")
        write(draw, (left + CELL * row + CELL / 2, ROW / 2), f"[{row + 1}]", SMALL, anchor="mm")
        for column in range(count):
            value = float(matrix[row, column])
            red, green, blue = colours(np.float32([value]), "blue_red")[0].tolist()  # type: ignore[arg-type]  # a list becomes an array
            corner = left + CELL * column, ROW + CELL * row
            draw.rectangle((*corner, corner[0] + CELL, corner[1] + CELL), fill=(red, green, blue), outline=WHITE)
            ink = WHITE if abs(value) > 0.6 else INK
            write(draw, (corner[0] + CELL / 2, middle), f"{value:.2f}", SMALL, ink=ink, anchor="mm")
    return image
