"""The names of the baselines, torch-free."""

from typing import Literal, TypeAlias

Baseline: TypeAlias = Literal["zero", "minimum", "constant", "mean", "blur", "uniform"]
DESCRIPTION = (
    "The input that stands for absence: zero of the model's own input, minimum of its range (black), a constant, each "
    "channel's mean, a blurred copy, or uniform noise over the range."
)
