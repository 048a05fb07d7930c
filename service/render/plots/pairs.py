"""Pairs of pieces of two inputs as PNG: the inputs beside each other, and a line for each of the strongest pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.axis_kinds import Layout
from service.render.colormaps import Pixels, colours
from service.render.frame import SMALL, WHITE, Caption, framed
from service.render.scale import colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, fitted, length, write
from service.render.tokens import words_of

SIDE, BETWEEN, ROW, EDGE = 260, 280, 24, 10
HEAD = SMALL + 14
MOST_LINES, MOST_ROWS, WIDEST = 40, 40, 9
FINE = 2  # lines are drawn so many times as large, and made smaller: slanted ones are smooth
_BORDER = (200, 200, 204)


@dataclass(frozen=True, slots=True)
class Side:
    """An input: its `picture`, or a row for each of its `labels`; `groups` (pieces,) say to which of these each piece
    belongs, -1 where it is not drawn."""

    name: str
    labels: tuple[str, ...]
    groups: NDArray[np.int64]
    picture: Image.Image | None = None
    centres: tuple[tuple[float, float], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        if self.picture is not None:
            return self.picture.size
        widest = max((int(length(label, SMALL)) for label in self.labels), default=0)
        return min(SIDE, widest + 2 * EDGE), ROW * max(1, len(self.labels))

    def anchor(self, group: int, left: bool) -> tuple[float, float]:
        """Where the lines of a label begin: the middle of a patch, or the end of a row that faces the other input."""
        if self.picture is not None:
            return self.centres[group]
        return (self.size[0] if left else 0), ROW * (group + 0.5)


def side_of(meta: Mapping[str, Any], told: Mapping[str, Any], plane: Sequence[int], levels: Pixels | None) -> Side:
    """An input by what its pieces are (`told`), the shape of its attribution, and, of an image, its colours."""
    name, grid, patch = told["input"], tuple(told["grid"]), int(told["patch"])
    if name in meta.get("texts", {}):
        words = words_of(meta["texts"][name]["tokens"])[:MOST_ROWS]
        groups = np.full(grid, -1)
        for i, word in enumerate(words):
            groups[word.first : word.first + len(word.pieces)] = i
        return Side(name, tuple(fitted("".join(word.pieces), SMALL, SIDE - 2 * EDGE) for word in words), groups)
    count = int(np.prod(grid))
    if levels is not None and len(grid) == 2:
        scale = SIDE / max(plane[-2:])
        size = (max(1, round(plane[-1] * scale)), max(1, round(plane[-2] * scale)))
        middles = [
            [(i * patch + min((i + 1) * patch, full)) / 2 * scale for i in range(n)]
            for n, full in zip(grid, plane[-2:], strict=True)
        ]
        centres = tuple((x, y) for y in middles[0] for x in middles[1])
        return Side(name, (), np.arange(count), Image.fromarray(levels).resize(size, Image.Resampling.NEAREST), centres)
    layout = Layout.of({"layout": meta.get("layouts", {}).get(name, {})})
    labels = [
        fitted(_label(np.unravel_index(i, grid), patch, layout), SMALL, SIDE - 2 * EDGE)
        for i in range(min(count, MOST_ROWS))
    ]
    return Side(name, tuple(labels), np.where(np.arange(count) < MOST_ROWS, np.arange(count), -1))


def _label(at: Sequence[Any], patch: int, layout: Layout) -> str:
    if len(at) == 1 and patch == 1:
        return layout.name(int(at[0]))
    return ", ".join(f"{i * patch} to {(i + 1) * patch - 1}" if patch > 1 else str(i) for i in map(int, at))


def draw_pairs(pairs: NDArray[np.floating], sides: tuple[Side, Side], look: Look, caption: Caption) -> bytes:
    """A PNG of pairs (pieces, pieces): red lines where they speak for the score, the wider the more."""
    one, other = sides
    table = np.zeros((int(one.groups.max(initial=0)) + 1, int(other.groups.max(initial=0)) + 1), np.float32)
    drawn_pairs = pairs[np.ix_(one.groups >= 0, other.groups >= 0)]
    np.add.at(table, np.ix_(one.groups[one.groups >= 0], other.groups[other.groups >= 0]), drawn_pairs)
    drawn = scaled(table, look.model_copy(update={"clip": 100.0}))
    name = colormap_for(drawn, look)
    strongest = np.abs(drawn.values).ravel().argsort(kind="stable")[::-1][:MOST_LINES][::-1]
    shown = [divmod(int(at), table.shape[1]) for at in strongest if drawn.values.ravel()[at]]
    width = one.size[0] + BETWEEN + other.size[0] + 2 * EDGE
    height = HEAD + max(one.size[1], other.size[1]) + EDGE
    body = Image.new("RGB", (width, height), WHITE)
    places = ((EDGE, HEAD), (EDGE + one.size[0] + BETWEEN, HEAD))
    for side, place in zip(sides, places, strict=True):
        _draw_side(body, side, place)
    body = body.resize((FINE * width, FINE * height), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(body)
    for row, column in shown:
        value = float(drawn.values[row, column])
        red, green, blue = colours(np.asarray([value], np.float32), name)[0].tolist()
        ends = [
            tuple(FINE * (a + b) for a, b in zip(side.anchor(group, side is one), place, strict=True))
            for side, group, place in ((one, row, places[0]), (other, column, places[1]))
        ]
        pen.line([*ends[0], *ends[1]], fill=(red, green, blue), width=max(1, round(WIDEST * abs(value))))
        for x, y in ends:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(red, green, blue))
    body = body.resize((width, height), Image.Resampling.LANCZOS)
    said = f"the {len(shown)} strongest of {table.size} pairs; {legend(drawn, look, name)}"
    return framed(body, caption.adding(said), drawn, lambda ramp: colours(ramp, name))


def _draw_side(body: Image.Image, side: Side, place: tuple[int, int]) -> None:
    x, y = place
    pen = ImageDraw.Draw(body)
    write(pen, (x, y - SMALL - 6), fitted(side.name, SMALL, SIDE), SMALL, ink=FAINT)
    if side.picture is not None:
        body.paste(side.picture, place)
        pen.rectangle((x - 1, y - 1, x + side.size[0], y + side.size[1]), outline=_BORDER)
        return
    for row, label in enumerate(side.labels):
        top = y + ROW * row
        pen.rounded_rectangle((x, top + 2, x + side.size[0], top + ROW - 2), 4, outline=_BORDER)
        write(pen, (x + side.size[0] / 2, top + ROW / 2), label, SMALL, anchor="mm")
