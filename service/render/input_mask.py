"""The input itself as far as an attribution speaks: scaled by its magnitude, masked or outlined by its top share."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.render.colormaps import Pixels, Values, colours
from service.render.frame import Caption, framed
from service.render.heatmap import enlarged_values
from service.render.scale import READING, colormap_for, from_its_floor, legend_of, of_polarity, plane, scaled
from service.render.style import Look
from service.render.text import number

_HIDDEN = 222
_PALE, _LINE = 130, 3
_TINT, _SHADE = 0.4, np.float32(0.75)


def draw_scaled(attribution: NDArray[np.floating], look: Look, caption: Caption, seen: Pixels) -> bytes:
    """The input (h, w, 3), each pixel as bright as its share of the largest magnitude in an attribution (..., H, W)."""
    signed = from_its_floor(scaled(plane(attribution, look.channels), look))
    drawn = replace(signed, values=np.abs(signed.values), signed=False)
    strength = enlarged_values(drawn.values, look.size)
    body = Image.fromarray((strength[..., None] * _fitted(seen, strength)).round().astype(np.uint8))
    reading = "brightness: magnitude, of either sign" if signed.signed else "the brighter, the more"

    def gray(values: Values) -> Pixels:
        return np.repeat((values * 255).round().astype(np.uint8)[..., None], 3, axis=-1)

    return framed(body, caption.adding(legend_of(drawn, look, reading)), drawn, gray)


def draw_mask(attribution: NDArray[np.floating], look: Look, caption: Caption, seen: Pixels) -> bytes:
    """The input where the magnitude of an attribution (..., H, W) is in the top share, in a tint of its sign."""
    values = of_polarity(plane(attribution, look.channels), look.polarity)
    drawn = scaled(values, look.model_copy(update={"clip": 100.0}))
    name = colormap_for(drawn, look)
    least = threshold(values, look.share)

    def veiled(values: Values, ground: NDArray[np.float32]) -> Pixels:
        tint = _TINT if drawn.signed else 0.0
        kept = (1 - tint) * ground + tint * colours(_SHADE * np.sign(values), name)
        shown = (np.abs(values) >= least)[..., None] & (values != 0)[..., None]
        return np.asarray(np.where(shown, kept, _HIDDEN).round(), np.uint8)

    heat = enlarged_values(values, look.size)
    body = Image.fromarray(veiled(heat, _fitted(seen, heat)))
    signs = f"; {READING[name, True]}" if drawn.signed else ""
    reading = f"top {100 * look.share:.3g}% in sight, from {number(least)}{signs}"

    def bar(ramp: Values) -> Pixels:
        return veiled(ramp * np.float32(drawn.limit), np.full((*ramp.shape, 1), 128, np.float32))

    return framed(body, caption.adding(legend_of(drawn, look, reading)), drawn, bar)


def draw_outlines(attribution: NDArray[np.floating], look: Look, caption: Caption, seen: Pixels) -> bytes:
    """The input with a line around where the magnitude of an attribution (..., H, W) is in the top share, by sign."""
    values = of_polarity(plane(attribution, look.channels), look.polarity)
    drawn = scaled(values, look.model_copy(update={"clip": 100.0}))
    name = colormap_for(drawn, look)
    least = threshold(values, look.share)
    heat = enlarged_values(values, look.size)
    body = np.asarray(_PALE + (1 - _PALE / 255) * _fitted(seen, heat), np.uint8)
    inside = (np.abs(heat) >= least) & (heat != 0)
    for sign in (1, -1):
        line = edge(inside & (np.sign(heat) == sign))
        body = np.where(line[..., None], colours(np.full(heat.shape, sign, np.float32), name), body)
    signs = f"; {READING[name, True]}" if drawn.signed else ""
    reading = f"around the top {100 * look.share:.3g}%, from {number(least)}{signs}"

    def bar(ramp: Values) -> Pixels:
        kept = np.abs(ramp) * np.float32(drawn.limit) >= least
        return np.where(kept[..., None], colours(np.sign(ramp), name), np.uint8(_HIDDEN))

    return framed(Image.fromarray(body), caption.adding(legend_of(drawn, look, reading)), drawn, bar)


def edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost places of a region, as wide as a line that is seen."""
    core = np.pad(inside, _LINE)
    height, width = inside.shape
    steps = [(down, across) for down in (0, _LINE, 2 * _LINE) for across in (0, _LINE, 2 * _LINE)]
    within = np.all([core[down : down + height, across : across + width] for down, across in steps], axis=0)
    return np.asarray(inside & ~within)


def threshold(values: Values, share: float) -> float:
    """The least magnitude in the top share of the values: at least one of them, and as many more as equal it."""
    count = max(1, round(share * values.size))
    return float(np.partition(np.abs(values).ravel(), -count)[-count])


def _fitted(seen: Pixels, to: Values) -> NDArray[np.float32]:
    height, width = to.shape
    resample = Image.Resampling.NEAREST if height >= seen.shape[0] else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(seen).resize((width, height), resample), np.float32)
