"""What the tests of gradient_family and smooth_grad share."""

from __future__ import annotations

from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.result import Result
from workers.methods.catalogue import parse_method


def explain(model: Model, batch: Batch, **method: object) -> Result:
    return parse_method(method).explain(model, batch)


def attribution(model: Model, batch: Batch, **method: object) -> Tensor:
    values: Tensor = explain(model, batch, **method).arrays["attribution"]
    return values
