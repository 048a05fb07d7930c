"""An attribution over an image's plane as PNG: heatmap, overlay on the input, grey map."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.render.colormaps import Pixels, Values, colours, grays
from service.render.frame import Caption, framed
from service.render.scale import Scaled, colormap_for, from_its_floor, legend, plane, scaled
from service.render.style import Look, Picture

_LIGHTEST = 0.35
_FAINTEST = 0.25


def draw_map(picture: Picture, attribution: NDArray[np.floating], look: Look, caption: Caption, below: Pixels) -> bytes:
    """A PNG of an attribution (..., H, W); `below`: the input as the model saw it, (h, w) in grey levels.

    Raises InvalidParameter where the colour map would hide the sign.
    """
    drawn = from_its_floor(scaled(plane(attribution, look.channels), look))
    return _DRAWERS[picture](drawn, look, caption, below)


def _heatmap(drawn: Scaled, look: Look, caption: Caption, _: Pixels) -> bytes:
    name = colormap_for(drawn, look)

    def colour(values: Values) -> Pixels:
        return colours(values, name)

    return framed(enlarged(colour(drawn.values), look.size), caption.adding(legend(drawn, look, name)), drawn, colour)


def _gray(drawn: Scaled, look: Look, caption: Caption, _: Pixels) -> bytes:
    def colour(values: Values) -> Pixels:
        return grays(values, signed=drawn.signed)

    return framed(enlarged(colour(drawn.values), look.size), caption.adding(legend(drawn, look, None)), drawn, colour)


def _overlay(drawn: Scaled, look: Look, caption: Caption, below: Pixels) -> bytes:
    name = colormap_for(drawn, look)

    def blend(values: Values, ground: NDArray[np.float32]) -> Pixels:
        weight = look.alpha * np.sqrt(np.abs(values))[..., None]
        strong = np.asarray(np.sign(values) * (_LIGHTEST + (1 - _LIGHTEST) * np.abs(values)), np.float32)
        return np.asarray((weight * colours(strong, name) + (1 - weight) * ground).round(), np.uint8)

    heat = np.asarray(enlarged_values(drawn.values, look.size))
    height, width = heat.shape
    ground = np.asarray(
        enlarged(below, max(height, width)).resize((width, height), Image.Resampling.BICUBIC), np.float32
    )
    ground = (255 - (255 - ground) * (1 - _FAINTEST))[..., None]

    def colour(values: Values) -> Pixels:
        return blend(values, np.full((*values.shape, 1), 235, np.float32))

    return framed(Image.fromarray(blend(heat, ground)), caption.adding(legend(drawn, look, name)), drawn, colour)


_DRAWERS: Mapping[Picture, Callable[[Scaled, Look, Caption, Pixels], bytes]] = {
    "heatmap": _heatmap,
    "overlay": _overlay,
    "gray": _gray,
}


def enlarged(pixels: Pixels, size: int) -> Image.Image:
    """The pixels (H, W) or (H, W, 3) at the whole factor that brings the longer side nearest to `size`."""
    image = Image.fromarray(pixels)
    height, width = _sides(image.height, image.width, size)
    return image.resize((width, height), Image.Resampling.NEAREST)


def enlarged_values(values: Values, size: int) -> Values:
    """As `enlarged`, for numbers."""
    image = Image.fromarray(values).resize(
        _sides(values.shape[0], values.shape[1], size)[::-1], Image.Resampling.NEAREST
    )
    return np.asarray(image, np.float32)


def _sides(height: int, width: int, size: int) -> tuple[int, int]:
    factor = max(1, round(size / max(height, width)))
    thinnest = size // 6  # a few channels over many steps would else be a line
    return (
        height * max(factor, round(thinnest / height)),
        width * max(factor, round(thinnest / width)),
    )
