"""Composite: which rule for which node, and which channels, as ordered data that a request can carry. Torch-free."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

EPSILON = 1e-6
MOST_ENTRIES = 200  # of a table; one that names every layer of a deep net has fewer
Epsilon_: TypeAlias = Annotated[float, Field(ge=0, le=1e3, description="Added to |z|, with z's sign.")]


Where: TypeAlias = Literal["first", "lower_half", "upper_half"]
Ops: TypeAlias = Literal[
    "convolution", "linear", "average_pooling", "max_pooling", "sum", "normalisation", "product"
]  # fmt: skip


class _Entry(BaseModel):
    """One line of a composite: every condition given must hold; the first line that matches a node gives its rule."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layers: str | None = Field(default=None, max_length=300, description="Layers by name; * and ? stand for anything.")
    ops: Ops | None = Field(
        default=None,
        description="The class of operation. Only this reaches maximum pools, or `layers` with their whole name.",
    )
    where: Where | None = Field(
        default=None,
        description="Of the layers with weights: those that read the input, or the lower or upper half of the "
        "convolutions (of the linear layers, where `ops` is linear), counted along the longest way from the input; the "
        "middle one of an odd number is in the lower half. Linear layers lie above all convolutions.",
    )


class ZeroEntry(_Entry):
    """LRP-0: in proportion to the contributions, unstabilised; what a node of value zero is given it absorbs."""

    epsilon: ClassVar[float] = 0.0
    rule: Literal["zero"] = "zero"


class EpsilonEntry(_Entry):
    """LRP-epsilon: absolute, or `std` standard deviations of the node's output."""

    rule: Literal["epsilon"] = "epsilon"
    epsilon: Epsilon_ = EPSILON
    std: float = Field(default=0.0, ge=0, le=100)


class GammaEntry(_Entry):
    """LRP-gamma: positive contributions favoured by the factor 1 + gamma."""

    rule: Literal["gamma"] = "gamma"
    gamma: float = Field(default=0.25, ge=0, le=1e4)
    epsilon: Epsilon_ = EPSILON


class AlphaBetaEntry(_Entry):
    """LRP-alpha-beta: positive contributions weighted alpha, negative ones beta = alpha - 1."""

    rule: Literal["alpha_beta"] = "alpha_beta"
    alpha: float = Field(default=2.0, ge=1, le=100)
    epsilon: Epsilon_ = EPSILON


class ZPlusEntry(_Entry):
    """z+: positive contributions only."""

    rule: Literal["z_plus"] = "z_plus"
    epsilon: Epsilon_ = EPSILON
    bias: bool = Field(default=True, description="Whether a positive bias takes its share, which is then lost.")


class FlatEntry(_Entry):
    """Flat: every input of a unit alike."""

    rule: Literal["flat"] = "flat"
    epsilon: Epsilon_ = EPSILON


class WSquareEntry(_Entry):
    """w squared: by the squared weights."""

    rule: Literal["w_square"] = "w_square"
    epsilon: Epsilon_ = EPSILON


class ZBoxEntry(_Entry):
    """z^B: for inputs within a box; `low` and `high` are the card's range of the input unless given."""

    rule: Literal["z_box"] = "z_box"
    low: float | None = None
    high: float | None = None
    epsilon: Epsilon_ = EPSILON


Entry: TypeAlias = Annotated[
    ZeroEntry | EpsilonEntry | GammaEntry | AlphaBetaEntry | ZPlusEntry | FlatEntry | WSquareEntry | ZBoxEntry,
    Field(discriminator="rule"),
]
Pooling: TypeAlias = Literal["winner_take_all", "proportional"]
Gate: TypeAlias = Literal["all", "prop", "abs", "half"]


class NamedGate(BaseModel):
    """Which factor of a product is its gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    products: str = Field(default="*", max_length=300, description="Products by name; * and ? stand for anything.")
    gate: str = Field(
        max_length=300, description="`first` or `second`, as the factors are written; or the name of the gate's layer."
    )


class Choices(NamedTuple):
    """How relevance passes nodes without weights, where there is a choice."""

    pooling: Pooling = "winner_take_all"
    gate: Gate = "all"
    gates: tuple[NamedGate, ...] = ()
    stabiliser: float | None = None


DEFAULT = Choices()

Preset: TypeAlias = Literal[
    "zero", "epsilon", "gamma", "alpha1_beta0", "alpha2_beta1", "epsilon_plus", "epsilon_plus_flat",
    "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box", "composite",
]  # fmt: skip
Table: TypeAlias = Annotated[tuple[Entry, ...], Field(max_length=MOST_ENTRIES)]

_FLAT = FlatEntry(where="first")
_BOX = ZBoxEntry(where="first")
_EPSILON = EpsilonEntry()
_CONV_PLUS = ZPlusEntry(ops="convolution")
_CONV_ALPHA2 = AlphaBetaEntry(ops="convolution", alpha=2)

PRESETS: dict[Preset, Table] = {
    "zero": (ZeroEntry(),),
    "epsilon": (_EPSILON,),
    "gamma": (GammaEntry(),),
    "alpha1_beta0": (AlphaBetaEntry(alpha=1),),
    "alpha2_beta1": (AlphaBetaEntry(alpha=2),),
    "epsilon_plus": (_CONV_PLUS, _EPSILON),
    "epsilon_plus_flat": (_FLAT, _CONV_PLUS, _EPSILON),
    "epsilon_alpha2_beta1": (_CONV_ALPHA2, _EPSILON),
    "epsilon_alpha2_beta1_flat": (_FLAT, _CONV_ALPHA2, _EPSILON),
    "epsilon_gamma_box": (_BOX, GammaEntry(ops="convolution"), _EPSILON),
    "composite": (
        _BOX,
        GammaEntry(ops="convolution", where="lower_half"),
        EpsilonEntry(ops="convolution", where="upper_half", std=0.25),
        ZeroEntry(),
    ),
}


class Units(BaseModel):
    """Which channels of a layer relevance may pass: an empty list stops it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = Field(max_length=300)
    channels: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=10000)
