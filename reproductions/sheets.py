"""Sheets of maps, each on its own scale, beside the inputs that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.scale import plane, scaled
from service.render.style import Look
from service.render.text import write

PICTURES = Path(__file__).parent / "pictures"
LEFT, TOP, LINE, GAP, SIDE = 150, 22, 14, 8, 96
Cell: TypeAlias = NDArray[Any]  # an input (h, w) or (h, w, 3) in 0 to 1, or a map (channels, h, w)


def sheet(
    name: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]], notes: Sequence[Sequence[str]] = ()
) -> None:
    """Draw pictures/NAME.png: a row for each of `rows`, with a label of some lines, and under its cells their notes."""
    wide = max(_width(cell) for _, cells in rows for cell in cells) + (3 * GAP if notes else GAP)
    high = SIDE + GAP + (LINE if notes else 0)
    page = Image.new("RGB", (LEFT + wide * len(columns), TOP + high * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    for at, column in enumerate(columns):
        write(draw, (LEFT + wide * at, 4), column, 11)
    for at, (label, cells) in enumerate(rows):
        top = TOP + high * at
        for line, text in enumerate(label.split("\n")):
            write(draw, (4, top + 20 + LINE * line), text, 11)
        for place, cell in enumerate(cells):
            page.paste(_drawn(cell), (LEFT + wide * place, top))
            if notes:
                write(draw, (LEFT + wide * place, top + SIDE + 1), notes[at][place], 10)
    few = page.quantize(255, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


def _is_input(cell: Cell) -> bool:
    return cell.ndim == 2 or cell.shape[-1] == 3


def _width(cell: Cell) -> int:
    height, width = cell.shape[:2] if _is_input(cell) else cell.shape[1:]
    scaled: int = round(SIDE * width / height)
    return scaled


def _drawn(cell: Cell) -> Image.Image:
    """Grey or in colours as it is; a map blue, white and red around zero."""
    if _is_input(cell):
        values = np.round(255 * np.clip(cell, 0, 1)).astype(np.uint8)
    else:
        values = colours(scaled(plane(cell.astype(np.float32), "sum"), Look(clip=99.5)).values, "blue_red")
    return Image.fromarray(values).convert("RGB").resize((_width(cell), SIDE), Image.Resampling.NEAREST)
