"""A synthesis, finished or running: its inputs as images, preprocessing undone, and how each one's activation grew."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors.numpy import load

from service.queue.status import Status
from service.render.colormaps import Pixels
from service.render.frame import GAP, MARGIN, SMALL, TITLE, WHITE, Caption, png
from service.render.heatmap import enlarged
from service.render.style import DEFAULT_LOOK, Look
from service.render.text import FAINT, fitted, number, write
from workers.contract import PREVIEW, ImageSpec

CURVE = 40  # height of a curve, in pixels
LINE = (33, 102, 172)


def draw_synthesis(
    made: NDArray[np.floating],
    trace: NDArray[np.floating],
    spec: ImageSpec | None,
    look: Look,
    caption: Caption,
    notes: Sequence[str] = (),
) -> bytes:
    """A PNG of images (count, channels, height, width), beneath each its note and its objective over the steps."""
    columns = min(len(made), max(1, round(len(made) ** 0.5 * 1.3)))
    side = look.size if len(made) == 1 else max(96, look.size // columns)
    tiles = [enlarged(pixels(one, spec), side) for one in made]
    curves = np.atleast_2d(trace)
    width, height = tiles[0].width, tiles[0].height + SMALL + 8 + (CURVE if curves.shape[1] else 0)
    rows = -(-len(tiles) // columns)
    top = MARGIN + TITLE + 6 + SMALL + 12
    canvas = Image.new(
        "RGB",
        (max(columns * (width + GAP) - GAP, 320) + 2 * MARGIN, top + rows * (height + GAP) - GAP + MARGIN),
        WHITE,
    )
    draw = ImageDraw.Draw(canvas)
    room = canvas.width - 2 * MARGIN
    whole = caption if spec else caption.adding("no preprocessing is known: least to most drawn black to white")
    write(draw, (MARGIN, MARGIN), fitted(whole.title, TITLE, room), TITLE)
    write(draw, (MARGIN, MARGIN + TITLE + 6), fitted(whole.subtitle, SMALL, room), SMALL, ink=FAINT)
    for at, tile in enumerate(tiles):
        x, y = MARGIN + at % columns * (width + GAP), top + at // columns * (height + GAP)
        canvas.paste(tile, (x, y))
        draw.rectangle((x - 1, y - 1, x + width, y + tile.height), outline=(200, 200, 204))
        note = notes[at] if at < len(notes) else ""
        write(draw, (x, y + tile.height + 5), fitted(note, SMALL, width), SMALL)
        if curves.shape[1]:
            _curve(draw, (x, y + tile.height + SMALL + 10), width, curves[at % len(curves)])
    return png(canvas)


def draw_preview(stored: bytes, status: Status, spec: ImageSpec | None) -> bytes:
    """PNG bytes; `stored` is what the worker keeps of it, as safetensors."""
    made = load(stored)[PREVIEW]
    progress = status.progress
    so_far = f"{progress.done} of {progress.total} {progress.unit}" if progress else "begun"
    caption = Caption(f"in the making: {so_far}", f"model {status.model}")
    return draw_synthesis(made, np.zeros((len(made), 0), np.float32), spec, DEFAULT_LOOK, caption)


def notes_of(info: dict[str, Any]) -> list[str]:
    """What is written beneath each image: its activation, and that of the start, or which item of a dataset it is."""
    if "activation_at_start" not in info:
        items = zip(info.get("items", ()), info.get("activation", ()), strict=True)
        return [f"item {item}: {number(value)}" for item, value in items]
    pairs = zip(info.get("activation", ()), info.get("activation_at_start", ()), strict=True)
    return [f"{number(end)} (start {number(start)})" for end, start in pairs]


def pixels(x: NDArray[np.floating], spec: ImageSpec | None) -> Pixels:
    """An image (channels, height, width) in a model's own units as (height, width, 3) of bytes.

    Mean, standard deviation and scale of the card are undone; without a card, least to most is black to white.
    """
    values = np.asarray(x, np.float64)
    if spec is None:
        values = (values - values.min()) / (float(np.ptp(values)) or 1.0)
        values = values if len(values) in (1, 3) else values.mean(0, keepdims=True)
    else:
        std, mean = (np.asarray(part, np.float64).reshape(-1, 1, 1) for part in (spec.std, spec.mean))
        values = (values * std + mean) / spec.scale
        values = values[::-1] if spec.mode == "BGR" else values
    colours = np.broadcast_to(values.transpose(1, 2, 0), (*values.shape[1:], 3))
    return np.asarray((colours * 255).round().clip(0, 255), np.uint8)


def _curve(draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, values: NDArray[np.floating]) -> None:
    """The objective over the steps, from its least to its most, which are named."""
    x, y = at
    least, most = float(values.min()), float(values.max())
    height = CURVE - 8
    labels = [number(most), number(least)]
    left = x + int(max(draw.textlength(text, font_size=SMALL) for text in labels)) + 8
    share = (np.asarray(values, np.float64) - least) / ((most - least) or 1.0)
    across = np.linspace(left, x + width - 1, len(share)) if len(share) > 1 else np.array([left])
    write(draw, (left - 5, y), labels[0], SMALL - 2, ink=FAINT, anchor="ra")
    write(draw, (left - 5, y + height), labels[1], SMALL - 2, ink=FAINT, anchor="rs")
    draw.line((left, y, left, y + height), fill=(200, 200, 204))
    points = [(float(a), y + (1 - float(b)) * height) for a, b in zip(across, share, strict=True)]
    draw.line(points if len(points) > 1 else points * 2, fill=LINE, width=2)
