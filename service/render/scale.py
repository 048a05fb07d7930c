"""From an attribution to what is drawn: one number per pixel, on a scale that is symmetric about zero."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.render.colormaps import Colormap, Values
from service.render.style import Channels, Look, Polarity
from workers.contract import InvalidParameter


@dataclass(frozen=True, slots=True)
class Scaled:
    """Values in -1..1 of their `limit`, in the attribution's own unit; `beyond`: some values pass the limit.

    Where no value is near zero, 0 stands for the least, `floor`.
    """

    values: Values
    limit: float
    signed: bool
    beyond: bool
    floor: float = 0.0


def scaled(values: Values, look: Look) -> Scaled:
    """Values by polarity, divided by the clip percentile of their magnitudes; all zero where nothing remains."""
    drawn = of_polarity(values, look.polarity)
    magnitudes = np.abs(drawn[drawn != 0])
    largest = float(magnitudes.max(initial=0.0))
    limit = float(np.percentile(np.abs(drawn), look.clip)) or largest
    signed = bool((drawn < 0).any())
    if not limit:
        return Scaled(np.zeros_like(drawn), 0.0, signed=False, beyond=False)
    return Scaled(np.clip(drawn / np.float32(limit), -1, 1), limit, signed, largest > limit * 1.0005)


def from_its_floor(drawn: Scaled) -> Scaled:
    """A map whose least value is over a third of its limit, scaled from that: else a pedestal hides what it shows."""
    least = 0.0 if drawn.signed else float(drawn.values.min(initial=1.0))
    if not drawn.limit or not 1 / 3 < least < 1:
        return drawn
    return replace(drawn, values=(drawn.values - least) / (1 - least), floor=least * drawn.limit)


def plane(attribution: NDArray[np.floating], channels: Channels) -> Values:
    """An attribution (..., H, W) as (H, W), its leading axes reduced by sum, abs or norm; (N,) as it is."""
    array = np.asarray(attribution, np.float32)
    leading = tuple(range(array.ndim - 2))
    if not leading:
        return array
    if channels == "norm":
        return np.asarray(np.sqrt(np.square(array).sum(axis=leading)))
    return np.asarray((np.abs(array) if channels == "abs" else array).sum(axis=leading))


def colormap_for(drawn: Scaled, look: Look) -> Colormap:
    """The colour map of these values; raises InvalidParameter where the one asked for would hide their sign."""
    if look.colormap == "heat" and drawn.signed:
        raise InvalidParameter(
            "the colour map heat would hide the sign of these values; use blue_red, or polarity=absolute",
            pointer="/colormap",
        )
    return look.colormap or ("blue_red" if drawn.signed else "heat")


def of_polarity(values: Values, polarity: Polarity) -> Values:
    """The values that are drawn."""
    if polarity == "positive":
        return np.maximum(values, 0)
    if polarity == "negative":
        return np.minimum(values, 0)
    return np.abs(values) if polarity == "absolute" else values


def legend(drawn: Scaled, look: Look, name: Colormap | None) -> str:
    """What the colours say, in a line; `name` None is the grey map."""
    return legend_of(drawn, look, READING.get((name, drawn.signed), "the darker, the more"))


def legend_of(drawn: Scaled, look: Look, reading: str) -> str:
    """What a picture says that reads so, in a line."""
    said = [reading if drawn.limit else "all values are zero"]
    if look.polarity != "both":
        said.append("magnitudes" if look.polarity == "absolute" else f"{look.polarity} values only")
    if look.channels != "sum":
        said.append(f"channels by {look.channels}")
    if drawn.floor:
        said.append("colours begin at the least value")
    if drawn.beyond:
        said.append(f"colours end at percentile {look.clip:g}")
    return "; ".join(said)


READING = {
    ("blue_red", True): "red positive, blue negative",
    ("purple_green", True): "green positive, purple negative",
    (None, True): "light positive, dark negative",
}
