"""Target: which number of the model an explanation explains."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

MAX_AXES = 8  # of an index or a mask


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ClassTarget(_Target):
    """The score of a class, by index."""

    kind: Literal["class"] = "class"
    index: int = Field(ge=0)


class RankTarget(_Target):
    """The score of the class that has this rank for this input; rank 0 is the predicted class."""

    kind: Literal["rank"] = "rank"
    rank: int = Field(ge=0)


class UnitTarget(_Target):
    """A channel or a token of a layer (its sum over the other axes), or one unit by its index without the batch axis.

    `axis` is which of the layer's axes counts the channels or tokens; the card knows.
    """

    kind: Literal["unit"] = "unit"
    layer: str = Field(max_length=300)
    channel: int | None = Field(default=None, ge=0)
    token: int | None = Field(default=None, ge=0)
    index: tuple[int, ...] | None = Field(default=None, max_length=MAX_AXES)
    axis: int = Field(default=0, ge=0)

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was written before tokens and other axes could be named: those of that kind keep their ids."""
        written: dict[str, Any] = handler(self)
        for key, default in (("token", None), ("axis", 0)):
            if written.get(key) == default:
                written.pop(key, None)
        return written


def _frozen(raw: Any) -> Any:
    """Nested lists of truth values, or of 0 and 1, as nested tuples of truth values; raises ValueError."""
    return _rows(raw, MAX_AXES)


def _rows(raw: Any, deepest: int) -> Any:
    if isinstance(raw, list | tuple) and deepest:
        return tuple(_rows(one, deepest - 1) for one in raw)
    if raw in (0, 1):
        return bool(raw)
    raise ValueError("a mask holds true and false, in nested lists of the shape of the places")


class MaskTarget(_Target):
    """A class of a segmentation output, summed over a mask of its places, of any rank."""

    kind: Literal["mask"] = "mask"
    index: int = Field(ge=0)
    mask: Annotated[tuple[Any, ...], BeforeValidator(_frozen)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Raises ValueError where the lists are of different lengths."""
        return np.asarray(self.mask).shape


class ValueTarget(_Target):
    """The output of a model with one number."""

    kind: Literal["value"] = "value"


class ElementTarget(_Target):
    """One of the numbers of a `value` output, by its index without the batch axis."""

    kind: Literal["element"] = "element"
    index: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=MAX_AXES)


class ReducedTarget(_Target):
    """All numbers of a `value` output in one: their sum, or their mean."""

    kind: Literal["reduced"] = "reduced"
    reduce: Literal["sum", "mean"]


Target: TypeAlias = Annotated[
    ClassTarget | RankTarget | UnitTarget | MaskTarget | ValueTarget | ElementTarget | ReducedTarget,
    Field(discriminator="kind"),
]
