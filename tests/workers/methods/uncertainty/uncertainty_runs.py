"""What the tests of uncertainty and resampling share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tests.resources import in_memory
from tests.toys import batch_of, inputs
from workers.engine.model.model import Model
from workers.explanation.result import Row
from workers.methods.catalogue import parse_method

GXI = "input_times_gradient"


def explained(
    model: Model, name: str, x: Tensor, target: int | None = None, seeds: Any = (), **fields: Any
) -> list[Row]:
    resources = fields.pop("resources", None) or in_memory(inputs(20, seed=4))
    method = parse_method({"name": name, **fields})
    method.refuse(model)
    return method.explain(model, batch_of(x, target, seeds=seeds, resources=resources)).rows()
