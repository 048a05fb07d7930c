"""Look: how a picture of an attribution is drawn. It never changes the numbers, and is no part of an id."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from service.render.colormaps import Colormap

Picture: TypeAlias = Literal["heatmap", "overlay", "gray", "scaled", "mask", "projection", "outlines", "waterfall"]
Polarity: TypeAlias = Literal["both", "positive", "negative", "absolute"]
Channels: TypeAlias = Literal["sum", "abs", "norm"]


class Look(BaseModel):
    """How to draw: every field is a query parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    colormap: Colormap | None = Field(
        default=None,
        description="Colours: blue_red and purple_green for signed values (zero is white), heat for unsigned ones. "
        "Default: blue_red where there are negative values, else heat.",
    )
    polarity: Polarity = Field(default="both", description="Which values to draw; absolute draws magnitudes.")
    channels: Channels = Field(default="sum", description="How the channels of a pixel become one number.")
    clip: float = Field(
        default=99.5, gt=0, le=100, description="Percentile of the magnitudes at which the colours saturate."
    )
    alpha: float = Field(default=0.85, gt=0, le=1, description="Opacity of the strongest values in an overlay.")
    share: float = Field(
        default=0.2, gt=0, le=1, description="Share of the pixels that a mask leaves in sight, or outlines go around."
    )
    size: int = Field(default=448, ge=64, le=2048, description="Longer side of the map in the picture, in pixels.")


DEFAULT_LOOK = Look()
