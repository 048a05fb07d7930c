"""The digits that most of these are about."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def read(path: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures (n, 1, 28, 28) from 0 to 1 and their classes, those to learn from and those to test with."""
    stored = np.load(path)
    x, test = (torch.from_numpy(stored[name][:, None]).float() / 255 for name in ("x_train", "x_test"))
    y, truth = (torch.from_numpy(stored[name]).long() for name in ("y_train", "y_test"))
    return x, y, test, truth
