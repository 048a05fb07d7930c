"""What the tests of deep_lift and reveal_cancel share."""

from __future__ import annotations

from torch import Tensor

from tests.toys import batch_of
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.model.model import Model


def lifted(model: Model, x: Tensor, target: int = 0, **method: object) -> Tensor:
    return attribution(model, batch_of(x, target), name="deep_lift", **method)
