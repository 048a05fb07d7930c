"""A tree of merges as brackets: what scipy's linkage tells, from the leaves at 0 to the root at 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bracket:
    """Two branches at places `first` and `second` from heights `low_first` and `low_second`, joined at `height`."""

    first: float
    second: float
    low_first: float
    low_second: float
    height: float

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """Its corners, each a place and a height."""
        return (
            (self.first, self.low_first),
            (self.first, self.height),
            (self.second, self.height),
            (self.second, self.low_second),
        )


def brackets(merges: NDArray[Any], order: Sequence[int]) -> list[Bracket]:
    """Places count leaves as they are drawn: the i-th of `order` is at i + 0.5; heights are shares of the root's."""
    place = {int(leaf): i + 0.5 for i, leaf in enumerate(order)}
    height = dict.fromkeys(place, 0.0)
    top = float(merges[:, 2].max(initial=0.0)) or 1.0
    found = []
    for i, (first, second, distance, _) in enumerate(np.asarray(merges, float).tolist()):
        a, b = int(first), int(second)
        found.append(Bracket(place[a], place[b], height[a], height[b], distance / top))
        place[len(order) + i], height[len(order) + i] = (place[a] + place[b]) / 2, distance / top
    return found
