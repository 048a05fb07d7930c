"""Which items of a dataset show a class: by their labels, and by how probable the model finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Choice:
    """Which items of a dataset are looked at: of each class the first `images` that give it this probability."""

    dataset: str
    classes: Sequence[int]
    confidence: float
    images: int

    def full(self, of_class: dict[int, int]) -> bool:
        """Whether no more items are wanted."""
        return all(of_class.get(c, 0) >= self.images for c in self.classes)


def assigned(
    rows: int, chances: Tensor | None, labels: NDArray[np.int64] | None, choice: Choice, of_class: dict[int, int]
) -> Tensor:
    """The class that each of some items is looked at for (rows,), -1 for none; counts them in `of_class`.

    That is its label, or where there are none the most probable of the classes.
    """
    found = torch.full((rows,), -1)
    for row in range(rows):
        if labels is not None:
            shown = int(labels[row])
        else:
            shown = choice.classes[0] if chances is None else max(choice.classes, key=chances[row].tolist().__getitem__)
        sure = chances is None or (shown < chances.shape[1] and float(chances[row, shown]) >= choice.confidence)
        if shown in choice.classes and sure and of_class.get(shown, 0) < choice.images:
            of_class[shown] = of_class.get(shown, 0) + 1
            found[row] = shown
    return found
