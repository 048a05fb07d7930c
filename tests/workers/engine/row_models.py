"""What the tests of rows and row_refusals share."""

from __future__ import annotations

from functools import cache

import torch

from tests.toys import model_of
from tests.workers.engine.merged import NETS
from workers.engine.model.model import Model


@cache
def model(name: str) -> Model:
    return model_of(NETS[name].module().float(), NETS[name].shape, dtype=torch.float64, low=-4.0, high=4.0)
