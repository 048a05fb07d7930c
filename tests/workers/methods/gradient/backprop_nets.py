"""What the tests of backprop and excitation_backprop share."""

from __future__ import annotations

import torch
from torch import nn


def plain() -> nn.Sequential:
    """What Captum knows: every ReLU a module of its own."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, stride=2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3),
    ).eval()  # fmt: skip
