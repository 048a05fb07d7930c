"""Nets that look at frames and volumes, or put pictures out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.animals import animal
from tests.zoo.blocks import conv


@animal(3, 1, 8, 8)
class TimeDistributed(nn.Module):
    """Three frames, each through one net, which sees them as a batch three times as long."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.p, self.c2, self.fc = conv(1, 4), nn.MaxPool2d(2), conv(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[0]
        h = x.reshape(rows * 3, 1, 8, 8)
        h = torch.relu(self.c2(self.p(torch.relu(self.c(h))))).mean((2, 3))
        output: Tensor = self.fc(h.view(rows, 3, 5).amax(1))
        return output


@animal(1, 8, 8, output="segmentation")
class Unet(nn.Module):
    """Down, up, and a skip that is concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.d, self.u = conv(1, 4), nn.Conv2d(4, 6, 2, 2), nn.ConvTranspose2d(6, 4, 2, 2)
        self.o = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.a(x))
        output: Tensor = self.o(torch.cat([a, torch.relu(self.u(torch.relu(self.d(a))))], 1))
        return output


@animal(1, 4, 8, 8, output="segmentation")
class UnetOfVolumes(nn.Module):
    """The same in three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.d = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 4, 2, 2)
        self.u, self.o = nn.ConvTranspose3d(4, 4, 2, 2), nn.Conv3d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.a(x))
        output: Tensor = self.o(torch.cat([a, torch.relu(self.u(torch.relu(self.d(a))))], 1))
        return output
