"""Signals through gates and norms: rectifiers hand back as the method says, every other node its own derivative."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.oracles import architecture
from tests.toys import batch_of, inputs, model_of
from tests.workers.methods.gradient.gradient_runs import attribution
from tests.workers.methods.gradient.test_backprop import SIGNALS, Activation, Deconvolve, Guide
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method


class Signal(nn.Module):
    """A ReLU that hands back as guided_backprop or deconvnet do."""

    def __init__(self, name: str) -> None:
        super().__init__()
        function = Guide if name == "guided_backprop" else Deconvolve
        self.hand: Activation = function.apply

    def forward(self, x: Tensor) -> Tensor:
        return self.hand(x)


def signalling(module: nn.Module, name: str) -> nn.Module:
    """The module with every ReLU replaced, in float64."""
    for at, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, at, Signal(name))
        else:
            signalling(child, name)
    return module.double().eval()


class Excited(nn.Module):
    """A convolution whose channels are gated by what all places say (squeeze-and-excite)."""

    def __init__(self, gate: nn.Module, act: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.squeeze, self.excite = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)
        self.norm, self.last, self.gate = nn.GroupNorm(2, 6), nn.Linear(6, 3), gate
        self.act, self.small = act or nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.norm(self.first(x)))
        h = h * self.gate(self.excite(self.small(self.squeeze(h.mean((2, 3), keepdim=True)))))
        output: Tensor = self.last(h.amax((2, 3)))
        return output


GATES: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid, "hardsigmoid": nn.Hardsigmoid, "silu": nn.SiLU, "hardswish": nn.Hardswish, "tanh": nn.Tanh,
    "softmax": lambda: nn.Softmax(1), "leaky_relu": nn.LeakyReLU,
}  # fmt: skip


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", SIGNALS)
def test_gates_keep_their_derivative(name: str, gate: str) -> None:
    x = inputs(3).double()
    leaf = x.clone().requires_grad_()
    signalling(Excited(GATES[gate]()), name)(leaf)[:, 1].sum().backward()
    model = model_of(Excited(GATES[gate]()), (1, 8, 8), dtype=torch.float64)
    torch.testing.assert_close(attribution(model, batch_of(x, 1), name=name), leaf.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_mobilenet_v3_equals_replaced_relus() -> None:
    module, x = architecture("mobilenet_v3_small", num_classes=5), inputs(1, shape=(3, 32, 32)).double()
    model = model_of(module, (3, 32, 32), dtype=torch.float64)
    for name in SIGNALS:
        leaf = x.clone().requires_grad_()
        signalling(copy.deepcopy(module), name)(leaf)[:, 2].sum().backward()
        assert leaf.grad is not None
        found = attribution(model, batch_of(x, 2), name=name)
        torch.testing.assert_close(found, leaf.grad, rtol=1e-8, atol=1e-8 * float(leaf.grad.abs().max()))


def test_guided_grad_cam_runs_through_gates() -> None:
    model, x = model_of(Excited(nn.Sigmoid()), (1, 8, 8), dtype=torch.float64), inputs(2).double()
    fine = attribution(model, batch_of(x, 1), name="guided_backprop")
    coarse = attribution(model, batch_of(x, 1), name="grad_cam")
    torch.testing.assert_close(attribution(model, batch_of(x, 1), name="guided_grad_cam"), fine * coarse)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_net_without_a_rectifier_is_refused_and_one_is_enough(name: str) -> None:
    torch.manual_seed(1)
    smooth = nn.Sequential(nn.Linear(4, 3), nn.SiLU(), nn.Linear(3, 2))
    with pytest.raises(MethodNotApplicable, match=r"has none: its first activation, 1 \(silu\)"):
        parse_method(name).refuse(model_of(smooth, (4,)))
    with pytest.raises(MethodNotApplicable, match="has none: it is linear"):
        parse_method(name).refuse(model_of(nn.Linear(4, 2), (4,)))
    parse_method(name).refuse(model_of(nn.Sequential(smooth, nn.ReLU(), nn.Linear(2, 2)), (4,)))


@pytest.mark.parametrize("name", [*SIGNALS, "guided_grad_cam"])
def test_a_signal_may_start_from_the_score(name: str) -> None:
    """S2 A.2: s = y at the output neuron. In a net of rectifiers that scales the map by a positive score."""
    model, x = model_of(Excited(nn.Sigmoid()), (1, 8, 8), dtype=torch.float64), inputs(3).double()
    scores = model.start(batch_of(x, 1))[0].view(-1, 1, 1, 1)
    from_one, from_score = (attribution(model, batch_of(x, 1), name=name, start=s) for s in ("one", "score"))
    positive = scores.flatten() > 0
    torch.testing.assert_close(from_score[positive], (from_one * scores)[positive])
    unit = UnitTarget(layer="first", channel=2)  # with no rectifier below, each unit of the channel starts from its own
    if name != "guided_grad_cam":
        module = Excited(nn.Sigmoid()).double()
        values = module.first(x).detach()
        values[:, [0, 1, 3, 4, 5]] = 0
        expected = nn.functional.conv_transpose2d(values, module.first.weight.detach())
        torch.testing.assert_close(attribution(model, batch_of(x, unit), name=name, start="score"), expected)
