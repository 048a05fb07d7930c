"""The picture of an attribution whose axes are no image's: a series, a text, a video, a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.render.axis_kinds import TIMES, Layout
from service.render.frame import Caption
from service.render.plots.series import draw_series
from service.render.scale import plane
from service.render.slices import draw_slices
from service.render.style import Look
from service.render.tokens import draw_tokens


def series(
    attribution: NDArray[np.floating], seen: NDArray[Any], layout: Layout, look: Look, caption: Caption
) -> bytes:
    """Steps of time last, every other axis a channel."""
    running = layout.running()
    values, line = (_running_last(np.asarray(array, np.float32), running) for array in (attribution, seen))
    return draw_series(values, line, look, caption, layout.names if running else ())


def tokens(
    attribution: NDArray[np.floating], seen: NDArray[Any], layout: Layout, look: Look, caption: Caption
) -> bytes:
    """A token's number is the sum over what stands for it; its text the card's name for its place, else its id."""
    running = layout.running()
    reduced = plane(_running_last(np.asarray(attribution, np.float32), running)[:, None, :], look.channels)[0]
    if layout.names and not running:
        words = list(layout.names)
    elif seen.ndim == 1 and np.array_equal(seen, np.round(seen)):
        words = [f"{one:g}" for one in seen.tolist()]
    else:
        words = [str(i) for i in range(len(reduced))]
    return draw_tokens(reduced, words, look, caption)


def slices(
    attribution: NDArray[np.floating], seen: NDArray[Any], layout: Layout, look: Look, caption: Caption
) -> bytes:
    """Frames or slices first, channels reduced as the look says; the input by its mean over channels."""
    along = layout.along() or 0
    word = "frame" if layout.axes[along] in TIMES else "slice"
    maps = np.stack([plane(one, look.channels) for one in np.moveaxis(np.asarray(attribution), along, 0)])
    moved = np.moveaxis(np.asarray(seen, np.float32), along, 0)
    ground = moved.reshape(len(moved), -1, *moved.shape[-2:]).mean(axis=1)
    span = float(np.ptp(ground)) or 1.0
    return draw_slices(maps, np.asarray((ground - ground.min()) / span * 255, np.uint8), look, caption, word)


def _running_last(array: NDArray[np.float32], running: int) -> NDArray[np.float32]:
    last = np.moveaxis(array, running, -1)
    return last.reshape(-1, last.shape[-1])
