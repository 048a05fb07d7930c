"""The gradient of a pass that nobody asks for again, against float64 autograd of the module itself and the tape."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from workers.engine.graph.tape import Tape
from workers.explanation.target import ClassTarget, ReducedTarget, Target, UnitTarget
from workers.methods.method import parse_method


class Branches(nn.Module):
    """A value that four others read, one of them by a batch norm, and whose parts are joined again."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.norm = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.norm.running_mean, self.norm.running_var = torch.randn(4), torch.rand(4) + 0.5
        self.last = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        joined = torch.cat([self.norm(self.second(h)) + h, h.tanh() * h, h.relu()], 1)
        return self.last(joined.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("target", [ClassTarget(index=2), ReducedTarget(reduce="sum")])
@pytest.mark.parametrize("module", [net().eval(), Branches().eval()], ids=["net", "branches"])
def test_it_is_the_gradient_of_the_module(module: nn.Module, target: Target) -> None:
    model, exact = model_of(module, (1, 8, 8)), copy.deepcopy(module).double()
    batch = replace(batch_of(inputs(3)), targets=[target] * 3, once=True)
    x = batch.x.double().requires_grad_()
    outputs = exact(x)
    scores = outputs.sum() if isinstance(target, ReducedTarget) else outputs[:, 2].sum()
    wanted = torch.autograd.grad(scores, x)[0]
    found = torch.as_tensor(parse_method("gradient").explain(model, batch).arrays["attribution"])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    assert batch.cache.find(Tape) is None


def test_a_unit_within_the_net_is_as_by_the_tape() -> None:
    model = model_of(net(), (1, 8, 8))
    layer = next(node.layer for node in model.folded.nodes[1:] if node.layer and len(node.shape or ()) == 3)
    batch = replace(batch_of(inputs(2)), targets=[UnitTarget(layer=layer, channel=1)] * 2, once=True)
    torch.testing.assert_close(model.gradients(batch)[1][0], model.gradients(replace(batch, once=False))[1][0])


def test_an_output_that_is_the_same_everywhere_has_a_slope_of_zero() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x).flatten(1)

    model = model_of(Constant(), (4,))
    batch = replace(batch_of(torch.ones(2, 4), 1), once=True)
    assert not model.gradients(batch)[1][0].any()
