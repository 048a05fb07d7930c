"""What a net of the zoo is, and how one is entered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.explanation.card import Output


@dataclass(frozen=True)
class Animal:
    """A net that people bring: its module (in evaluation, float32), the shape of one input, what its output is."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    output: Output = "logits"
    image: bool = False
    ids: int = 0  # how many ids there are, where the input is ids

    def module(self) -> nn.Module:
        """The net with the same random weights every time."""
        torch.manual_seed(7)
        return self.build().eval().requires_grad_(False)

    def inputs(self, n: int, seed: int = 0) -> Tensor:
        """n plausible inputs (n, *shape), float32: ids are whole numbers, the last a filler."""
        draw = torch.Generator().manual_seed(seed)
        if not self.ids:
            return torch.randn(n, *self.shape, generator=draw)
        ids = torch.randint(1, self.ids, (n, *self.shape), generator=draw)
        ids[:, -1] = 0
        return ids.float()


ZOO: dict[str, Animal] = {}


def animal(
    *shape: int, output: Output = "logits", image: bool = False, ids: int = 0
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Enter a class of nets into the zoo, under its name in snake case."""

    def entered(kind: type[nn.Module]) -> type[nn.Module]:
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")
        ZOO[name] = Animal(kind, shape, output, image, ids)
        return kind

    return entered
