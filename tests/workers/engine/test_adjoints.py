"""What is known of a node's adjoint without autograd is what autograd says, in every shape that a call may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.toys import model_of
from workers.engine.graph.adjoints import ADJOINTS, adjoint
from workers.engine.graph.tape import Tape

W, B = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), torch.ones(5)
Call: TypeAlias = Callable[[Tensor], Tensor]
CALLS: dict[str, Call] = {
    "linear": lambda x: functional.linear(x, W, B),
    "linear without bias": lambda x: functional.linear(x.transpose(1, 2).transpose(1, 2), W),
    "linear of its own weights": lambda x: functional.linear(x, x[0, :2] @ torch.ones(4, 4)),
    "linear whose bias moves": lambda x: functional.linear(x[:, :, :2] * 0 + 1, W[:, :2], x[0, 0, :1].expand(5)),
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "view": lambda x: x.contiguous().view(x.shape[0], -1, 2),
    "flatten": lambda x: x.flatten(1).view(x.shape[0], 4, 3),
    "unsqueeze": lambda x: x.unsqueeze(1).unsqueeze(-1).squeeze(1),
    "transpose": lambda x: x.unsqueeze(1).transpose(-2, 1).transpose(-1, 2),
    "add": lambda x: x.sin() + x.cos(),
    "add, one broadcast": lambda x: x + x.mean(1, keepdim=True),
    "add, twice the same": lambda x: x + x,
    "add, a share": lambda x: torch.add(x.sin(), x.cos(), alpha=3),
    "add, a constant": lambda x: x + B[:4] + 1.5,
}  # fmt: skip


class Called(nn.Module):
    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


@pytest.mark.parametrize("name", CALLS)
def test_it_is_autograd_s(name: str) -> None:
    model = model_of(Called(CALLS[name]), (3, 4), output="value")
    draw = torch.Generator().manual_seed(2)
    tape = Tape(model.graph, torch.randn(1, 3, 4, generator=draw))
    for local in tape.locals:
        if local is None or local.node.op not in ADJOINTS or not local.output.requires_grad:
            continue
        weights = torch.randn(local.output.shape, generator=draw)
        expected = torch.autograd.grad(local.output, local.leaves, weights, retain_graph=True)
        for found, due, leaf in zip(local.vjp(weights), expected, local.leaves, strict=True):
            assert found is not None
            assert found.shape == leaf.shape
            torch.testing.assert_close(found, due)


def test_each_is_known_of_a_plain_call() -> None:
    met = set()
    for call in CALLS.values():
        tape = Tape(model_of(Called(call), (3, 4), output="value").graph, torch.ones(1, 3, 4))
        for local in filter(None, tape.locals):
            if isinstance(local.output, Tensor) and adjoint(local.node, local.leaves, local.output.detach()):
                met.add(local.node.op)
    assert met >= {"linear", "reshape", "unsqueeze", "transpose", "add"}
