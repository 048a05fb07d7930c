"""What many explanations say together: the mean map of each class, and how far the checks are missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.frame import GAP, MARGIN, SMALL, headed, png
from service.render.scale import Scaled, colormap_for, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, fitted, number, write
from service.render.thumbnails import THUMB, heading, plane_of, thumbnail

MOST_CLASSES = 40
BINS = 24
PLOT = (360, 90)
COLUMN, LINE = 170, SMALL + 9  # of a list of words
MOST_LISTS, MOST_TOLD = 8, 15


def summary(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], look: Look) -> bytes:
    """A PNG of the mean map of each class, on one scale for each input, of the words that count most in texts, and of
    how the checks' gaps are spread.
    """
    told = meta["info"]
    means = {name.partition(".")[2]: arrays[name] for name in sorted(arrays) if name.partition(".")[0] == "means"}
    rows = [_Maps(name, told, np.asarray(one, np.float32), look) for name, one in means.items() if len(one)]
    lists = [_Lists(name, told, classes) for name, classes in told.get("words", {}).items() if classes]
    blocks: list[_Maps | _Lists] = [*rows, *lists]
    plots = (PLOT[1] + 2 * SMALL + 20) * (1 if told["checks"] else 0)
    width = max(*(block.width for block in blocks), len(told["checks"]) * (PLOT[0] + GAP), 480) + 2 * MARGIN - GAP
    said = heading(meta).adding("; ".join(block.said for block in blocks if block.said))
    canvas, pen, y = headed(width, sum(block.height for block in blocks) + plots, said)
    for block in blocks:
        block.draw(canvas, pen, y)
        y += block.height
    for at, check in enumerate(told["checks"]):
        _spread(pen, (MARGIN + at * (PLOT[0] + GAP), y), check, arrays["gaps"][:, at])
    return png(canvas)


class _Maps:
    """The mean maps of one input, a class each."""

    def __init__(self, name: str, told: Mapping[str, Any], means: NDArray[np.float32], look: Look) -> None:
        self.classes = told["classes"][:MOST_CLASSES]
        self.drawn = scaled(np.stack([plane_of(means[i]) for i in range(len(self.classes))]), look)
        self.colormap = colormap_for(self.drawn, look)
        self.name = name
        self.said = _scale(self.drawn, told["by"]) if not name else ""
        self.per_row = max(1, min(10, len(self.classes)))
        self.head = SMALL + 6 if name else 0
        self.width = self.per_row * (THUMB + GAP)
        self.height = self.head + -(-len(self.classes) // self.per_row) * (THUMB + SMALL + 8 + GAP)

    def draw(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, top: int) -> None:
        if self.name:
            said = f"{self.name}: {_scale(self.drawn, 'class')}"
            write(pen, (MARGIN, top), fitted(said, SMALL, canvas.width - 2 * MARGIN), SMALL, ink=FAINT)
        for at, one in enumerate(self.classes):
            x = MARGIN + at % self.per_row * (THUMB + GAP)
            y = top + self.head + at // self.per_row * (THUMB + SMALL + 8 + GAP)
            write(pen, (x, y), fitted(f"{_class(one)} ({one['items']})", SMALL, THUMB), SMALL)
            canvas.paste(thumbnail(colours(self.drawn.values[at], self.colormap)), (x, y + SMALL + 6))
            pen.rectangle((x - 1, y + SMALL + 5, x + THUMB, y + SMALL + 6 + THUMB), outline=(210, 210, 214))


class _Lists:
    """The words of one text that count most, a list for each class, each on the colour of its sum."""

    def __init__(self, name: str, told: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]) -> None:
        named = {one["index"]: one for one in told["classes"]}
        self.lists = [(named.get(one["index"], {"index": one["index"], "label": None, "items": 0}), one["words"])
                      for one in classes[:MOST_LISTS]]  # fmt: skip
        self.largest = max((abs(word["sum"]) for _, words in self.lists for word in words), default=0.0)
        self.said = (
            f"the words of {name} that count most, and what they come to in all"
            if name != "input"
            else ("the words that count most, and what they come to in all")
        )
        self.width = len(self.lists) * (COLUMN + GAP)
        self.height = (MOST_TOLD + 1) * LINE + GAP

    def draw(self, _: Image.Image, pen: ImageDraw.ImageDraw, top: int) -> None:
        for at, (one, words) in enumerate(self.lists):
            x = MARGIN + at * (COLUMN + GAP)
            write(pen, (x, top), fitted(f"{_class(one)} ({one['items']})", SMALL, COLUMN), SMALL)
            for line, word in enumerate(words[:MOST_TOLD], 1):
                self._word(pen, (x, top + line * LINE), word)

    def _word(self, pen: ImageDraw.ImageDraw, at: tuple[int, int], word: Mapping[str, Any]) -> None:
        x, y = at
        size = abs(word["sum"]) / self.largest if self.largest else 0.0
        ink = (203, 75, 66) if word["sum"] > 0 else (72, 117, 192)
        pen.rectangle((x, y + LINE - 4, x + round(size * COLUMN), y + LINE - 3), fill=ink)
        text = f"{word['text']} ({word['count']})" if word["count"] > 1 else word["text"]
        write(pen, (x, y), fitted(text, SMALL, COLUMN - 56), SMALL)
        write(pen, (x + COLUMN, y), number(word["sum"]), SMALL, ink=FAINT, anchor="ra")


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
