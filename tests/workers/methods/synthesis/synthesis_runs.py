"""What the tests of synthesis and deep_dream share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.toys import model_of
from workers.engine.model.model import Model


def linear(shape: tuple[int, ...] = (6,), outputs: int = 3, **fields: Any) -> tuple[Model, Tensor]:
    torch.manual_seed(3)
    size = int(np.prod(shape))
    layer = nn.Linear(size, outputs)
    return model_of(nn.Sequential(nn.Flatten(), layer), shape, **fields), layer.weight.detach()
