"""Composite: which rule for which node, as ordered data that a request can carry. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

EPSILON = 1e-6
Epsilon_: TypeAlias = Annotated[float, Field(ge=0, le=1e3, description="Added to |z|, with z's sign.")]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ZeroSpec(_Spec):
    """LRP-0: in proportion to the contributions, unstabilised but for 1e-9 against division by zero."""

    rule: Literal["zero"] = "zero"


class EpsilonSpec(_Spec):
    """LRP-epsilon: absolute, or `std` standard deviations of the node's output."""

    rule: Literal["epsilon"] = "epsilon"
    epsilon: Epsilon_ = EPSILON
    std: float = Field(default=0.0, ge=0, le=100)


class GammaSpec(_Spec):
    """LRP-gamma: positive contributions favoured by the factor 1 + gamma."""

    rule: Literal["gamma"] = "gamma"
    gamma: float = Field(default=0.25, ge=0, le=1e4)
    epsilon: Epsilon_ = EPSILON


class AlphaBetaSpec(_Spec):
    """LRP-alpha-beta: positive contributions weighted alpha, negative ones beta = alpha - 1."""

    rule: Literal["alpha_beta"] = "alpha_beta"
    alpha: float = Field(default=2.0, ge=1, le=100)
    epsilon: Epsilon_ = EPSILON


class ZPlusSpec(_Spec):
    """z+: positive contributions only."""

    rule: Literal["z_plus"] = "z_plus"
    epsilon: Epsilon_ = EPSILON


class FlatSpec(_Spec):
    """Flat: every input of a unit alike."""

    rule: Literal["flat"] = "flat"
    epsilon: Epsilon_ = EPSILON


class WSquareSpec(_Spec):
    """w squared: by the squared weights."""

    rule: Literal["w_square"] = "w_square"
    epsilon: Epsilon_ = EPSILON


class ZBoxSpec(_Spec):
    """z^B: for inputs within a box; `low` and `high` are the card's range of the input unless given."""

    rule: Literal["z_box"] = "z_box"
    low: float | None = None
    high: float | None = None
    epsilon: Epsilon_ = EPSILON


RuleSpec: TypeAlias = Annotated[
    ZeroSpec | EpsilonSpec | GammaSpec | AlphaBetaSpec | ZPlusSpec | FlatSpec | WSquareSpec | ZBoxSpec,
    Field(discriminator="rule"),
]
Where: TypeAlias = Literal["first", "lower_half", "upper_half"]


class Entry(BaseModel):
    """One line of a composite: every condition given must hold; the first line that matches a node gives its rule.

    `layers` is an fnmatch pattern of layer names, `ops` the class of operation, `where` a place in the net: the layers
    that read the input (`first`), or the lower or upper half of the convolutions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: str | None = None
    ops: Literal["convolution", "linear"] | None = None
    where: Where | None = None
    rule: RuleSpec


Preset: TypeAlias = Literal[
    "zero", "epsilon", "gamma", "alpha1_beta0", "alpha2_beta1", "epsilon_plus", "epsilon_plus_flat",
    "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box", "composite",
]  # fmt: skip
Table: TypeAlias = tuple[Entry, ...]

_FLAT = Entry(where="first", rule=FlatSpec())
_BOX = Entry(where="first", rule=ZBoxSpec())
_EPSILON = Entry(rule=EpsilonSpec())
_CONV_PLUS = Entry(ops="convolution", rule=ZPlusSpec())
_CONV_ALPHA2 = Entry(ops="convolution", rule=AlphaBetaSpec(alpha=2))

PRESETS: dict[Preset, Table] = {
    "zero": (Entry(rule=ZeroSpec()),),
    "epsilon": (_EPSILON,),
    "gamma": (Entry(rule=GammaSpec()),),
    "alpha1_beta0": (Entry(rule=AlphaBetaSpec(alpha=1)),),
    "alpha2_beta1": (Entry(rule=AlphaBetaSpec(alpha=2)),),
    "epsilon_plus": (_CONV_PLUS, _EPSILON),
    "epsilon_plus_flat": (_FLAT, _CONV_PLUS, _EPSILON),
    "epsilon_alpha2_beta1": (_CONV_ALPHA2, _EPSILON),
    "epsilon_alpha2_beta1_flat": (_FLAT, _CONV_ALPHA2, _EPSILON),
    "epsilon_gamma_box": (_BOX, Entry(ops="convolution", rule=GammaSpec()), _EPSILON),
    "composite": (
        _BOX,
        Entry(ops="convolution", where="lower_half", rule=GammaSpec()),
        Entry(ops="convolution", where="upper_half", rule=EpsilonSpec(std=0.25)),
        Entry(rule=ZeroSpec()),
    ),
}
