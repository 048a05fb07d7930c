"""The parameters that perturbation methods have in common, and the names of the baselines. Torch-free."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

Cut: TypeAlias = Literal["slic", "quickshift", "grid"]
Segments = Annotated[
    Cut | None,
    Field(
        description="How the input is cut: slic or quickshift superpixels of an image, or a regular grid (windows "
        "along time, blocks of a volume, each feature of a flat input). By default slic for images, else grid."
    ),
]
SegmentCount = Annotated[
    int,
    Field(
        ge=2,
        le=2000,
        description="How many segments slic and grid aim at; quickshift finds its own number, and the features of a "
        "flat input are one segment each.",
    ),
]
NoiseOf: TypeAlias = Literal["range", "std"]
SHARE_OF = (
    "What the standard deviation of Gaussian noise is a share of: the width of the input's range (the row's own where "
    "the card gives none), or the standard deviation of the input's own values."
)
FillValue = Annotated[float, Field(description="The value of a constant fill.")]
Score = Annotated[
    Literal["logit", "probability"],
    Field(
        description="Watch the model's own output, or the probability of the target's class: the softmax of logits, "
        "the sigmoid of a binary or multilabel output, a probability as it is, the mean over a segmentation's places."
    ),
]


Baseline: TypeAlias = Literal["zero", "minimum", "constant", "mean", "blur", "uniform", "background"]
DESCRIPTION = (
    "The input that stands for absence: zero of the model's own input, minimum of its range (black), a constant, each "
    "channel's mean, a blurred copy, uniform noise over the range, or the rows of a table's background: games, "
    "occlusion and prediction_difference average the score over them, and what fills once takes their mean, of a "
    "category the most frequent."
)
