"""Scores of methods as PNG and as CSV: a curve for each, a table of all pairs, or a bar for each."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render import frame
from service.render.colormaps import colours
from service.render.frame import MARGIN, SMALL, TITLE, WHITE
from service.render.picture import target_text
from service.render.plots.axes import Axis
from service.render.plots.lines import plot
from service.render.text import FAINT, INK, fitted, length, number, write

PAIR_ROW, CELL = 20, 58
BAR_WIDTH, BAR_ROW, MOST_BARS = 560, 24, 40
BLUE = (0, 114, 178)
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


def png(meta: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The picture of a result of the kind scores; `arrays` are its arrays by name."""
    if top := meta.get("info", {}).get("prediction"):
        highest = {"scores": np.array([one["score"] for one in top])}
        return frame.png(_titled(_bars([class_name(one["index"], one.get("label")) for one in top], highest), meta))
    names = labels(meta, arrays)
    if "matrix" in arrays:
        return frame.png(_titled(_table(*_sides(meta, names), arrays["matrix"]), meta))
    if "curves" in arrays and arrays["curves"].shape[-1] > 1:
        info = meta.get("info", {})
        return frame.png(_titled(plot(arrays, names, info.get("axes", {}), str(info.get("measure", ""))), meta))
    return frame.png(_titled(_bars(names, arrays), meta))


def csv(meta: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The same numbers as UTF-8 CSV: a column for each method's curve, else a row for each method."""
    out = io.StringIO()
    rows = csv_format.writer(out, lineterminator="\n")
    names = labels(meta, arrays)
    if "matrix" in arrays:
        sides = _sides(meta, names)
        rows.writerow(["method" if "methods" in meta.get("info", {}) else "name", *sides[1]])
        rows.writerows([name, *map(_exact, values)] for name, values in zip(sides[0], arrays["matrix"], strict=True))
    elif "curves" in arrays:
        rows.writerow([meta.get("info", {}).get("axes", {}).get("x", "at"), *names])
        rows.writerows(map(_exact, (at, *values)) for at, *values in zip(arrays["at"], *arrays["curves"], strict=True))
    else:
        columns = [name for name, array in arrays.items() if array.shape == arrays["scores"].shape]
        rows.writerow(["method" if "methods" in meta.get("info", {}) else "name", *columns])
        values = zip(*(arrays[name].ravel() for name in columns), strict=True)
        rows.writerows([name, *map(_exact, row)] for name, row in zip(names, values, strict=True))
    return out.getvalue().encode()


def labels(meta: Mapping[str, Any], arrays: Arrays) -> list[str]:
    """What each score is of: a method, a layer, a class, or its place in the list."""
    info = meta.get("info", {})
    for key, name in (("methods", "label"), ("layers", "layer"), ("concepts", "concept"), ("groups", "group")):
        found = info.get(key, ())
        if len(found) == arrays["scores"].size and all(isinstance(one, Mapping) and name in one for one in found):
            return [str(one[name]) for one in found]
    if "prediction" in info and arrays["scores"].ndim <= 1:
        known = {one["index"]: one.get("label") for one in info["prediction"] if isinstance(one["index"], int)}
        return [class_name(i, known.get(i)) for i in range(arrays["scores"].size)]
    return [f"[{i}]" for i in range(arrays["scores"].size)]


def class_name(index: int | list[int], label: str | None) -> str:
    """A class by its number, and by its name where that says more; one of many numbers by its index."""
    place = str(index) if isinstance(index, int) else ", ".join(map(str, index))
    return place if label in (None, place) else f"{place} {label}"


def _titled(body: Image.Image, meta: Mapping[str, Any]) -> Image.Image:
    """The body under what it shows, of what, and which way is better."""
    info, method = meta.get("info", {}), meta["method"]
    over = f"over {info['inputs']} inputs" if "inputs" in info else "over a dataset"
    of = over if method.get("dataset") else target_text(meta)
    better = {"higher": "higher is better", "lower": "lower is better"}.get(info.get("better") or "", "")
    parts = [str(info.get("measure", "")), better, f"model {meta['model']['name']}"]
    top = MARGIN + TITLE + 6 + SMALL + 12
    canvas = Image.new("RGB", (max(420, body.width + 2 * MARGIN), top + body.height + MARGIN), WHITE)
    draw = ImageDraw.Draw(canvas)
    room = canvas.width - 2 * MARGIN
    write(draw, (MARGIN, MARGIN), fitted(f"{method['name']}: {of}", TITLE, room), TITLE)
    subtitle = "; ".join(part for part in parts if part)
    write(draw, (MARGIN, MARGIN + TITLE + 6), fitted(subtitle, SMALL, room), SMALL, ink=FAINT)
    canvas.paste(body, (MARGIN, top))
    return canvas


def _sides(meta: Mapping[str, Any], names: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What the rows and the columns of a table are of: of all pairs the same."""
    info = meta.get("info", {})
    return info.get("rows", names), info.get("columns", names)


def _table(rows: Sequence[str], columns: Sequence[str], matrix: NDArray[Any]) -> Image.Image:
    """The first 40 rows: blue -1, white 0, red 1. Columns that are the rows again have their numbers at the head."""
    pairs, rows = rows is columns, rows[:MOST_BARS]
    left = min(240, int(max(length(name, SMALL) for name in rows))) + 36
    image = Image.new("RGB", (left + CELL * len(columns) + 2, PAIR_ROW + CELL * len(rows) + 2), WHITE)
    draw = ImageDraw.Draw(image)
    for column, name in enumerate(columns):
        head = f"[{column + 1}]" if pairs else fitted(name, SMALL, CELL - 4)
        write(draw, (left + CELL * column + CELL / 2, PAIR_ROW / 2), head, SMALL, anchor="mm")
    for row, name in enumerate(rows):
        middle = PAIR_ROW + CELL * row + CELL // 2
        said = f"{fitted(name, SMALL, left - 32)} [{row + 1}]" if pairs else fitted(name, SMALL, left - 12)
        write(draw, (left - 8, middle), said, SMALL, anchor="rm")
        for column in range(len(columns)):
            value = float(matrix[row, column])
            red, green, blue = colours(np.float32([value]), "blue_red")[0].tolist()  # type: ignore[arg-type]  # a list becomes an array
            corner = left + CELL * column, PAIR_ROW + CELL * row
            draw.rectangle((*corner, corner[0] + CELL, corner[1] + CELL), fill=(red, green, blue), outline=WHITE)
            ink = WHITE if abs(value) > 0.6 else INK
            write(draw, (corner[0] + CELL / 2, middle), f"{value:.2f}", SMALL, ink=ink, anchor="mm")
    return image


def _bars(names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Image.Image:
    """The first 40 scores, each with its standard error where there is one."""
    scores = np.asarray(arrays["scores"], float).ravel()
    errors = np.asarray(arrays.get("standard_error", np.zeros_like(scores)), float).ravel()
    shown = min(MOST_BARS, len(scores))
    left = min(260, int(max(length(name, SMALL) for name in names[:shown]))) + 12
    axis = Axis.over(min(0.0, float((scores - errors).min())), max(0.0, float((scores + errors).max())))
    image = Image.new("RGB", (left + BAR_WIDTH + 80, BAR_ROW * shown), WHITE)
    draw = ImageDraw.Draw(image)
    zero = left + axis.share(0.0) * BAR_WIDTH
    for i in range(shown):
        middle = BAR_ROW * i + BAR_ROW // 2
        end = left + axis.share(scores[i]) * BAR_WIDTH
        draw.rectangle((min(zero, end), middle - 7, max(zero, end), middle + 7), fill=BLUE)
        low, high = (left + axis.share(scores[i] + sign * errors[i]) * BAR_WIDTH for sign in (-1, 1))
        if errors[i]:
            draw.line((low, middle, high, middle), fill=INK)
            draw.line((low, middle - 4, low, middle + 4), fill=INK)
            draw.line((high, middle - 4, high, middle + 4), fill=INK)
        write(draw, (left - 8, middle), fitted(names[i], SMALL, left - 12), SMALL, anchor="rm")
        write(draw, (max(zero, end, high) + 6, middle), number(scores[i]), SMALL, anchor="lm")
    draw.line((zero, 0, zero, image.height), fill=FAINT)
    return image


def _exact(value: Any) -> str:
    """A float32 in as many digits as it has."""
    return str(np.float32(value))
