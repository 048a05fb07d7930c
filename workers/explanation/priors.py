"""Priors of synthesis, torch-free: what keeps an input that is made up from becoming noise (S4 4.2)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from workers.explanation.names.references import ModelName


class _Prior(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    of_pixels: ClassVar[bool] = False  # whether it changes the input between steps, which a generator's cannot be


class L2(_Prior):
    """Takes weight * the mean of ((x - to) / range)^2 from the objective (S3 eq. 1); of a code, of itself."""

    kind: Literal["l2"] = "l2"
    weight: float = Field(
        default=10.0,
        ge=0,
        le=1e6,
        description="Weight of the mean square, in units of the input's range: it means the same for every model.",
    )
    to: Literal["zero", "mean"] = Field(
        default="zero", description="Zero of the model's own input, or the mean of the dataset's items of the class."
    )


class TotalVariation(_Prior):
    """Takes weight * the mean of (difference of neighbours / range)^power, along each axis, from the objective."""

    kind: Literal["total_variation"] = "total_variation"
    weight: float = Field(default=100.0, ge=0, le=1e6, description="Weight of the means, summed over the axes.")
    power: float = Field(default=2.0, ge=1, le=4, description="Power of the differences.")


class Blur(_Prior):
    """Blurs the input after every so many steps (S4 eq. 4.5)."""

    of_pixels: ClassVar[bool] = True

    kind: Literal["blur"] = "blur"
    width: float = Field(default=0.5, gt=0, le=50, description="Standard deviation of the Gaussian, in places.")
    every: int = Field(default=4, ge=1, le=1000, description="Steps from one blur to the next.")


class GradientBlur(_Prior):
    """Blurs the gradient, not the input."""

    of_pixels: ClassVar[bool] = True

    kind: Literal["gradient_blur"] = "gradient_blur"
    width: float = Field(default=1.0, gt=0, le=50, description="Standard deviation of the Gaussian, in places.")


class Centre(_Prior):
    """Weighs the gradient by a Gaussian around the input's centre, so that one object grows there."""

    of_pixels: ClassVar[bool] = True

    kind: Literal["centre"] = "centre"
    width: float = Field(default=0.3, gt=0, le=10, description="Standard deviation, as a share of each side.")


class Noise(_Prior):
    """Adds Gaussian noise after every step (S4 eq. 4.11), to the input or to a generator's code."""

    kind: Literal["noise"] = "noise"
    width: float = Field(
        default=0.01,
        gt=0,
        le=10,
        description="Standard deviation, as a share of the input's range; of a code, in its units.",
    )


class Clip(_Prior):
    """Keeps every number of what is moved, the input or a generator's code, within the limit (S4 4.3)."""

    kind: Literal["clip"] = "clip"
    limit: float = Field(default=2.5, gt=0, le=1e6, description="The largest magnitude, in the units of what is moved.")


class AlphaNorm(_Prior):
    """Takes weight * the mean of |x / range|^power from the objective: against extreme values (S4 4.2, l.1137)."""

    kind: Literal["alpha_norm"] = "alpha_norm"
    weight: float = Field(default=10.0, ge=0, le=1e6, description="Weight of the mean.")
    power: float = Field(default=6.0, ge=1, le=20, description="Power of the magnitudes.")


class Bilateral(_Prior):
    """Smooths the input after every so many steps, but not across edges: a bilateral filter (S4 4.2, l.1138)."""

    of_pixels: ClassVar[bool] = True

    kind: Literal["bilateral"] = "bilateral"
    width: float = Field(default=1.0, gt=0, le=10, description="Standard deviation over places.")
    tone: float = Field(
        default=0.1, gt=0, le=10, description="Standard deviation over values, as a share of the input's range."
    )
    every: int = Field(default=4, ge=1, le=1000, description="Steps from one filtering to the next.")


class Expert(_Prior):
    """Adds weight * log p(x) to the objective: what inputs are like, as an expert has it (S3 eq. 3).

    The density is a Gaussian around the mean of the dataset's items of the class, whose variance is one number, or one
    for each feature. At the optimum of a linear unit x = mean + variance * w / weight.
    """

    kind: Literal["expert"] = "expert"
    weight: float = Field(default=1.0, ge=0, le=1e6, description="Weight of the logarithm of the density.")
    variance: Literal["isotropic", "diagonal"] = Field(
        default="isotropic", description="Of the Gaussian: the same for all features, or each its own."
    )


class Density(_Prior):
    """Adds weight * log p(x), which a second model gives: a restricted Boltzmann machine, say (S3 eq. 3).

    That model gives one number for what is moved, the input or a generator's code: log p but for a constant, which of a
    restricted Boltzmann machine is its free energy, negated.
    """

    kind: Literal["density"] = "density"
    model: ModelName
    weight: float = Field(default=1.0, ge=0, le=1e6, description="Weight of the logarithm of the density.")


class Denoiser(_Prior):
    """Adds weight * (R(h) - h) / noise^2 to the gradient, R(h) being h without its noise, as a second model has it.

    That is the gradient of the logarithm of the density that the model was trained on, with the noise added, wherever R
    is the best that there is: what plug and play generative networks have for a prior (S4 4.3-4.4, eq. 4.11).
    """

    kind: Literal["denoiser"] = "denoiser"
    model: ModelName
    noise: float = Field(
        default=0.1,
        gt=0,
        le=1e6,
        description="Standard deviation of the noise that it was trained to take off, in the units of what is moved: "
        "the input, or a generator's code.",
    )
    weight: float = Field(default=1.0, ge=0, le=1e6, description="Weight of that gradient.")


class Jitter(_Prior):
    """Shows the input to the model rolled along each axis of places, by chance anew in every step."""

    kind: Literal["jitter"] = "jitter"
    places: int = Field(default=8, ge=1, le=512, description="At most so far either way.")


class Rotate(_Prior):
    """Shows an image to the model rotated, by chance anew in every step."""

    kind: Literal["rotate"] = "rotate"
    degrees: float = Field(default=5.0, gt=0, le=180, description="At most so far either way.")


class Scale(_Prior):
    """Shows an image to the model enlarged or shrunk, by chance anew in every step."""

    kind: Literal["scale"] = "scale"
    share: float = Field(default=0.1, gt=0, lt=1, description="At most by this share either way.")


Prior: TypeAlias = Annotated[
    L2
    | TotalVariation
    | AlphaNorm
    | Expert
    | Density
    | Denoiser
    | Blur
    | Bilateral
    | GradientBlur
    | Centre
    | Noise
    | Clip
    | Jitter
    | Rotate
    | Scale,
    Field(discriminator="kind"),
]
Learned: TypeAlias = Density | Denoiser
Transform: TypeAlias = Jitter | Rotate | Scale
