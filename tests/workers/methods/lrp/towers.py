"""Models of two towers and a head over what they make, and how bilrp is asked about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.several import model_of_inputs, rows_of
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.result import Row
from workers.explanation.target import Target, ValueTarget
from workers.methods.method import parse_method
from workers.runtime.execute.model_support import check

FIVE, FOUR = InputSpec(shape=(5,)), InputSpec(shape=(4,))
SPECS = {"user": FIVE, "item": FOUR}
Head = Callable[[Tensor, Tensor], Tensor]


class Towers(nn.Module):
    """Two encoders without biases, linear or not, and a head over what they make."""

    def __init__(self, head: Head, rectified: bool = False, bias: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.user, self.item, self.head = nn.Linear(5, 6, bias=bias), nn.Linear(4, 6, bias=bias), head
        self.act = nn.ReLU() if rectified else nn.Identity()

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.head(self.act(self.user(user)), self.act(self.item(item)))


def product(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def matrix(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] @ b[:, :, None])[:, 0, 0]


def cosine_in_full(a: Tensor, b: Tensor) -> Tensor:
    sizes = a.square().sum(1) * b.square().sum(1)
    return (a * b).sum(1) / sizes.clamp(min=1e-24).sqrt()


PRODUCTS: dict[str, Head] = {
    "mul and sum": product,
    "matmul": matrix,
    "bmm": lambda a, b: torch.bmm(a.unsqueeze(1), b.unsqueeze(2)).flatten(),
    "einsum": lambda a, b: torch.einsum("nk,nk->n", a, b),
    "scaled and shifted": lambda a, b: 3 * product(a, b) - 2,
    "two halves": lambda a, b: product(a[:, :3], b[:, :3]) + 2 * product(a[:, 3:], b[:, 3:]),
}
COSINES: dict[str, Head] = {
    "cosine_similarity": lambda a, b: functional.cosine_similarity(a, b, dim=1),
    "normalised": lambda a, b: product(functional.normalize(a, dim=1), functional.normalize(b, dim=1)),
    "divided by sizes": lambda a, b: product(a, b) / (a.norm(dim=1) * b.norm(dim=1)),
    "divided in full": cosine_in_full,
    "one less half of it": lambda a, b: 1 - functional.cosine_similarity(a, b) / 2,
}
DISTANCES: dict[str, Head] = {
    "squared": lambda a, b: -(a - b).square().sum(1),
    "power": lambda a, b: -((a - b) ** 2).sum(1),
}


def model_of_towers(head: Head, **more: Any) -> tuple[Towers, Model]:
    module = Towers(head, **more).double()
    floats = {name: torch.randn(2, *spec.shape, dtype=torch.float64) for name, spec in SPECS.items()}
    return module, model_of_inputs(module, SPECS, floats, output="value")


def asked(model: Model, rows: Mapping[str, Tensor], target: Target | None = None, **fields: Any) -> list[Row]:
    """The answer's rows, in the numbers of a float64 model."""
    method, wanted = parse_method({"name": "bilrp", **fields}), target or ValueTarget()
    check(model, method, wanted)
    x = model.join(rows)
    result = named(method.explain(model, Batch(x, [wanted] * len(x))), model.card.input, maps=False)
    return [
        Row("attribution", {key: value[i] for key, value in result.arrays.items()}, result.checks[i], result.info[i])
        for i in range(len(x))
    ]


def doubles(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With floats of 64 bits."""
    return {name: one.double() if one.is_floating_point() else one for name, one in rows.items()}


def towers_rows(n: int = 3) -> dict[str, Tensor]:
    return doubles(rows_of(SPECS, n))
