"""Nets whose output is no list of logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.animals import animal


class Pooled(nn.Module):
    """A convolution and what a linear head makes of its mean."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.c, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, out)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(torch.relu(self.c(x)).mean((2, 3)))
        return output


@animal(1, 6, 6, output="binary")
class OneLogit(Pooled):
    def __init__(self) -> None:
        super().__init__(1)


@animal(1, 6, 6, output="binary")
class OneLogitWithoutAnAxis(OneLogit):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(1)


@animal(1, 6, 6, output="multilabel")
class Multilabel(Pooled):
    def __init__(self) -> None:
        super().__init__(4)


@animal(1, 6, 6, output="probabilities")
class Probabilities(Pooled):
    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


@animal(1, 6, 6, output="evidence")
class Evidence(Pooled):
    def __init__(self) -> None:
        super().__init__(3)


@animal(6, output="value")
class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Softplus(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.body(x)
        return output


@animal(1, 6, 6, output="value")
class Colours(nn.Module):
    """A picture for a picture: many numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.o = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.o(torch.relu(self.a(x))))


@animal(2, 10, output="segmentation")
class EachMoment(nn.Module):
    """A class for every moment of a series."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.o = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.o(torch.relu(self.a(x)))
        return output
