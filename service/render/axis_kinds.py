"""What the axes of a model's input are, and so which drawing suits an attribution to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Suited: TypeAlias = Literal["bars", "map", "series", "slices", "tokens"]

TIMES = frozenset({"time", "step", "sample", "frame"})
PLACES = (frozenset({"height", "y", "row"}), frozenset({"width", "x", "column"}))
TOKENS = frozenset({"token", "tokens", "word", "words"})


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of the axes without the batch (none where the card is silent), and of the entries of the first one.

    `categories` are what the numbers of a column stand for, by its name.
    """

    axes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    categories: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Layout:
        told = meta.get("layout", {})
        return cls(
            tuple(name.lower() for name in told.get("axes", ())),
            tuple(told.get("names", ())),
            told.get("categories", {}),
        )

    def suited(self, dimensions: int) -> Suited:
        """The drawing of an attribution with so many axes."""
        if dimensions == len(self.axes):
            if dimensions <= 2 and TOKENS & {*self.axes}:
                return "tokens"
            if dimensions <= 2 and TIMES & {*self.axes}:
                return "series"
            if dimensions in (3, 4) and self.axes[-2:][0] in PLACES[0] and self.axes[-1] in PLACES[1]:
                return "slices" if self.along() is not None else "map"
        return "bars" if dimensions < 2 else "map"

    def name(self, feature: int) -> str:
        """Of a feature, or its place."""
        return self.names[feature] if feature < len(self.names) else f"[{feature}]"

    def valued(self, seen: NDArray[Any]) -> list[str]:
        """The name of each feature with its value, as its people write it."""
        return [f"{self.name(at)} = {self._value(at, value)}" for at, value in enumerate(np.ravel(seen).tolist())]

    def _value(self, feature: int, value: float) -> str:
        words = self.categories.get(self.name(feature), ())
        return (
            str(words[int(value)]) if 0 <= value < len(words) and isinstance(words[int(value)], str) else f"{value:g}"
        )

    def along(self) -> int | None:
        """The axis that slices or frames lie along: the one before height and width that is no channel."""
        before = [i for i, name in enumerate(self.axes[:-2]) if name not in ("channel", "channels", "feature")]
        return before[0] if len(before) == 1 else None

    def running(self) -> int:
        """The axis of time, or of tokens."""
        return next(i for i, name in enumerate(self.axes) if name in TIMES | TOKENS)
