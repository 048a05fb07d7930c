"""What the tests of the evaluations have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.resources import InMemory, in_memory, no_input
from tests.toys import batch_of
from workers.engine.model.model import Model
from workers.explanation.result import Row
from workers.explanation.target import Target
from workers.methods.method import parse_method


def judged(
    model: Model, x: Tensor, method: dict[str, Any], target: int | Target | None = None, **fields: Any
) -> list[Row]:
    """The rows of an evaluation of inputs."""
    made = parse_method(method)
    made.refuse(model)
    fields.setdefault("seeds", [method.get("seed", 0)] * len(x))
    return made.explain(model, batch_of(x, target, **fields)).rows()


def over(model: Model, method: dict[str, Any], resources: InMemory) -> Row:
    """The one row of an evaluation over a dataset."""
    made = parse_method(method)
    made.refuse(model)
    (row,) = made.explain(model, no_input(model, resources)).rows()
    return row


def linear(weights: Any, bias: float = 0.0) -> nn.Module:
    """A model with one output w . x + b."""
    module = nn.Linear(len(weights), 1)
    module.weight.data = torch.tensor([weights], dtype=torch.float32)
    module.bias.data = torch.tensor([bias])
    return module


class Difference(nn.Module):
    """max(0, a1 - a2): S4 Fig. 13.3."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 1, bias=False)
        self.fc.weight.data = torch.tensor([[1.0, -1.0]])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.fc(x))


class Planted(nn.Module):
    """An image's score is the sum of its places times planted weights: the gradient is these weights."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights: Tensor
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weights).flatten(1).sum(1, keepdim=True)


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def training(x: Tensor, **fields: Any) -> InMemory:
    """Resources whose dataset `training` is x with labels, boxes or masks."""
    found = in_memory(x)
    for name, value in fields.items():
        object.__setattr__(found.datasets["training"], name, value)
    return found


def assert_close(one: Any, other: Any, rtol: float = 1e-5) -> None:
    expected = np.asarray(other, np.float64)
    np.testing.assert_allclose(
        np.asarray(one, np.float64), expected, rtol=rtol, atol=rtol * (abs(expected).max() + 1e-9)
    )
