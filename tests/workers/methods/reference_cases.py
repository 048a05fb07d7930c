"""What the tests of references and published_examples share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.toys import batch_of
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model

Attribute = Callable[[Model, Any], Tensor]


def of(**method: object) -> Attribute:
    return lambda model, x: attribution(model, x if isinstance(x, Batch) else batch_of(x), **method)


def rule(**spec: object) -> Attribute:
    """The rule at layers with weights; theirs share averages in proportion under every rule."""
    weighted = [{"ops": ops, "epsilon": 1e-12, **spec} for ops in ("convolution", "linear")]
    return of(name="lrp", composite=[*weighted, {"rule": "zero"}])


def lrp(model: Model, x: list[Any], rule: dict[str, object], target: int = 0, **more: object) -> list[Any]:
    batch = batch_of(torch.tensor(x, dtype=torch.float64), target)
    values: list[Any] = attribution(model, batch, name="lrp", composite=[rule], **more).tolist()
    return values
