"""What the number of a method's passes hangs on besides its parameters: the model, and the size of datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.explanation.card import InputSpec, Layer, ModelCard
from workers.explanation.inputs import explained

UNKNOWN = InputSpec(kind="image", shape=(3, 224, 224))  # what is assumed of an input that is not known

RECTIFIERS = ("relu", "relu6")
WEIGHTED = ("conv", "linear", "embedding", "layer_norm", "group_norm", "rms_norm")

ELEMENTS = 2**18  # of the widest value in one walk: what the caches hold (measured)


def side_by_side(widest: int) -> int:
    """How many walks through a layer's net are taken at once, by the size of its widest value."""
    return max(1, min(256, ELEMENTS // widest))


@dataclass(frozen=True)
class Extent:
    """A model by its card, and how many items the datasets have that a method names.

    What is not known is assumed: an image of 224 x 224, and of a dataset as many items as a method takes at most, or
    one.
    """

    card: ModelCard | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def input(self) -> InputSpec:
        return self.card.input if self.card else UNKNOWN

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Sizes of the input's axes that are no channels."""
        return self.input.spatial_shape

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.card.layers if self.card else ()

    @property
    def weighted(self) -> int:
        """How many layers with weights it has; batch norm, which is folded into them, is none of its own."""
        return sum(one.op.startswith(WEIGHTED) for one in self.layers)

    def layer(self, name: str | None) -> Layer | None:
        """The named layer."""
        return next((one for one in self.layers if name in (one.name, *one.aliases)), None)

    def windows(self, patch: int | None, stride: int | None) -> int:
        """How many windows of that side slide over the places; by default a fourteenth of the longest side."""
        side = patch or (1 if self.input.kind == "table" else None)
        return sum(_windows(places, side, stride) for places in self._each())

    def segments(self, count: int) -> int:
        """About how many segments an input is cut into: of a flat one each feature is one."""
        if self.input.parts:
            flat = [part.channels is None for part in explained(self.input)]
            return sum(
                math.prod(places) if alone else min(count, math.prod(places))
                for places, alone in zip(self._each(), flat, strict=True)
            )
        most = math.prod(self.spatial_shape)
        return most if self.input.channel_axis is None else min(count, most)

    def _each(self) -> list[tuple[int, ...]]:
        """The places of the input, or of each of several that is explained."""
        return [part.spatial_shape for part in explained(self.input)] if self.input.parts else [self.spatial_shape]

    def fills(self, fill: object) -> int:
        """How many inputs stand for absence: of a background all of its rows."""
        return max(1, self.input.background_rows) if fill == "background" else 1

    def items(self, dataset: str | None, most: int | None = None) -> int:
        """How many items of a dataset are looked at, at most `most`; one where none is named."""
        if dataset is None:
            return 1
        count = self.counts.get(dataset)
        known = [one for one in (count, most) if one is not None]
        return max(1, min(known, default=1))


def _windows(places: tuple[int, ...], patch: int | None, stride: int | None) -> int:
    side = patch or max(1, max(places) // 14)
    step = stride or side
    return math.prod(len(range(0, max(1, size - side + step), step)) for size in places)
