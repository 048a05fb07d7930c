"""Composite: what a request says of how relevance passes, besides the table of rules. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

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


class Units(BaseModel):
    """Which channels of a layer relevance may pass: an empty list stops it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = Field(max_length=300)
    channels: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=10000)
