"""How a score comes about: a step for each feature, from the score of the baseline to that of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from service.render.colormaps import colours
from service.render.frame import GAP, MARGIN, SMALL, Caption, headed, png
from service.render.plots.axes import Axis
from service.render.plots.lines import GRID
from service.render.plots.steps import Step, check, score_of, steps, suits
from service.render.text import FAINT, INK, fitted, number, room, write
from workers.contract import InvalidParameter

ROW = 24
NAMES, MOST_NAMES, PLOT, NUMBERS = 170, 340, 420, 64
_MORE, _LESS = (tuple(int(part) for part in colours(np.array(share, np.float32), "blue_red")) for share in (0.7, -0.7))


def draw_waterfall(values: NDArray[np.floating], labels: Sequence[str], meta: Mapping[str, Any], of: Caption) -> bytes:
    """A PNG of the features, the strongest first; what is weaker than the strongest 20 is one step.

    Raises InvalidParameter where the values are not meant to lead from one score to the other.
    """
    if not suits(meta):
        raise InvalidParameter(
            "a waterfall is drawn of one number a feature that sum to the score less that of the baseline, as those of "
            "kernel_shap, shapley_sampling and integrated_gradients do; take heatmap.png, which draws them as bars",
            pointer="/picture",
        )
    told, score = check(meta) or {}, score_of(meta) or 0.0
    start = score - float(told["expected"])
    found = steps(np.asarray(values, float), labels, start, score)
    ends = [start, score, *(step.end for step in found)]
    across = Axis.over(min(ends), max(ends)).rounded()
    height = ROW * (len(found) + 2)
    beside = room((step.name for step in found), SMALL, NAMES, MOST_NAMES)
    width = beside + PLOT + NUMBERS + 2 * MARGIN
    fill = meta["method"].get("fill") or meta["method"].get("baseline")
    usual = "the background's mean" if fill == "background" else "the baseline"
    canvas, pen, top = headed(width, height + SMALL + GAP, of.adding(f"from {usual} to the score"))

    def at(value: float) -> float:
        return MARGIN + beside + across.share(value) * PLOT

    for mark in across.marks():
        pen.line((at(mark), top, at(mark), top + height), fill=GRID)
        write(pen, (at(mark), top + height + 6), across.written(mark), SMALL, ink=FAINT, anchor="ma")
    _end(pen, top, beside, usual, across.written(start), at(start))
    for row, step in enumerate(found, 1):
        _bar(pen, top + row * ROW, beside, step, at)
    _end(pen, top + (len(found) + 1) * ROW, beside, "score", across.written(score), at(score))
    return png(canvas)


def _bar(pen: ImageDraw.ImageDraw, top: int, beside: int, step: Step, at: Any) -> None:
    left, right = sorted((at(step.start), at(step.end)))
    more, middle = step.end >= step.start, top + ROW // 2
    write(pen, (MARGIN + beside - 10, middle), fitted(step.name, SMALL, beside - 12), SMALL, anchor="rm")
    fill = FAINT if step.name == "not attributed" else _MORE if more else _LESS
    pen.rectangle((left, middle - 8, max(right, left + 1), middle + 8), fill=fill)
    pen.line((at(step.end), middle + 8, at(step.end), middle + ROW - 8), fill=FAINT)
    write(pen, (right + 6, middle), _signed(step.end - step.start), SMALL, ink=FAINT, anchor="lm")


def _end(pen: ImageDraw.ImageDraw, top: int, beside: int, name: str, value: str, x: float) -> None:
    middle = top + ROW // 2
    write(pen, (MARGIN + beside - 10, middle), fitted(name, SMALL, beside - 12), SMALL, ink=FAINT, anchor="rm")
    pen.line((x, middle - 8, x, middle + ROW - 8 if name != "score" else middle + 8), fill=INK, width=2)
    write(pen, (x + 6, middle), value, SMALL, anchor="lm")


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)
