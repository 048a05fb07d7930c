"""Functions of one tensor as models, and the relevance of what they return."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution

Function = Callable[[Tensor], Tensor]


class Call(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Function, *held: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.held = nn.ModuleList(held)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def relevance(function: Function, x: Tensor, *held: nn.Module, **fields: object) -> Tensor:
    """LRP-epsilon of the sum of all that the function returns, which starts each value's relevance from itself."""
    module = Call(lambda x: function(x).flatten(1).sum(1, keepdim=True), *held)
    model = model_of(module.float(), x.shape[1:], dtype=torch.float64)
    return attribution(model, batch_of(x, 0), name="lrp", composite="epsilon", **fields)
