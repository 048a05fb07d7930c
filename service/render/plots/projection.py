"""An attribution as if it were an input: every value on its own, put back into an image's range about mid grey."""

import numpy as np
from numpy.typing import NDArray

from service.render.colormaps import Pixels, Values, grays
from service.render.frame import Caption, framed
from service.render.heatmap import enlarged
from service.render.scale import legend_of, plane, scaled
from service.render.style import Look


def draw_projection(attribution: NDArray[np.floating], look: Look, caption: Caption) -> bytes:
    """A PNG of an attribution (3, H, W) in its own colours, of any other (..., H, W) in grey."""
    values = np.asarray(attribution, np.float32)
    coloured = values.ndim == 3 and values.shape[0] == 3
    drawn = scaled(values if coloured else plane(values, look.channels), look)
    levels = grays(drawn.values, signed=True)[..., 0]
    body = np.moveaxis(levels, 0, -1) if coloured else np.repeat(levels[..., None], 3, axis=-1)
    reading = "each channel on its own: mid grey is zero" if coloured else "mid grey is zero"
    if coloured:
        look = look.model_copy(update={"channels": "sum"})

    def ramp(values: Values) -> Pixels:
        return grays(values, signed=True)

    return framed(
        enlarged(np.ascontiguousarray(body), look.size), caption.adding(legend_of(drawn, look, reading)), drawn, ramp
    )
