"""guided_backprop, deconvnet and excitation_backprop: their formulas, Captum where it is right, stored relevance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop
from torch import Tensor, nn

from tests.references import SHARED, cifar_test_images, needs_references
from tests.toys import Net, batch_of, inputs, model_of, net
from tests.workers.methods.gradient.backprop_nets import plain
from tests.workers.methods.gradient.gradient_runs import attribution
from tests.workers.methods.gradient.test_gradient_family import relative
from tests.workers.methods.lrp.test_lrp import Functional
from tests.workers.methods.lrp.test_lrp_resnet import left_behind
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method

Activation = Callable[[Tensor], Tensor]
SIGNALS = ["guided_backprop", "deconvnet"]


class Guide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return signal * (signal > 0) * (x > 0)


class Deconvolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Tensor:
        return signal * (signal > 0)


def replica(twin: Net, x: Tensor, target: int, name: str) -> Tensor:
    """The net written out with rectifiers that treat signals as the method says, by plain autograd."""
    function = Guide if name == "guided_backprop" else Deconvolve
    rectify: Activation = function.apply
    leaf = x.clone().requires_grad_()
    z = rectify(twin.bn1(twin.conv1(leaf)))
    z = rectify(twin.conv2(z) + z)
    score = twin.fc(nn.functional.max_pool2d(z, 2).flatten(1))[:, target].sum()
    return torch.autograd.grad(score, leaf)[0]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("functional", [False, True])
def test_signals_are_right_on_functional_inplace_and_reused_rectifiers(name: str, functional: bool) -> None:
    twin, x = net().double(), inputs(3).double()
    expected = replica(twin, x, 1, name)
    module = net()  # one nn.ReLU(inplace=True), called twice
    model = model_of(Functional(module) if functional else module, (1, 8, 8), dtype=torch.float64)
    found = attribution(model, batch_of(x, 1), name=name)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert relative(attribution(model, batch_of(x, 1), name="gradient"), expected) > 0.1


def captums(name: str, module: nn.Module, x: Tensor, target: int) -> Tensor:
    theirs = {"guided_backprop": GuidedBackprop, "deconvnet": Deconvolution}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Tensor = theirs(module).attribute(x.clone().requires_grad_(), target=target)
    return found


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_equal_captums_where_every_relu_is_a_module(name: str) -> None:
    x = inputs(4).double()
    theirs = captums(name, plain().double(), x, 2)
    model = model_of(plain(), (1, 8, 8), dtype=torch.float64)
    assert relative(attribution(model, batch_of(x, 2), name=name), theirs) < 1e-10


@pytest.mark.parametrize("name", SIGNALS)
def test_captum_gives_the_plain_gradient_for_functional_relus(name: str) -> None:
    """Why parity is asked for only where it works."""
    module, x = Functional(net()), inputs(2)
    model = model_of(module, (1, 8, 8))
    theirs = captums(name, module, x, 1)
    assert relative(attribution(model, batch_of(x, 1), name="gradient"), theirs) < 1e-5
    assert relative(attribution(model, batch_of(x, 1), name=name), theirs) > 0.1


class Between(nn.Module):
    """An activation between two linear layers."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.activation = nn.Linear(6, 8), nn.Linear(8, 2), activation

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.last(self.activation(self.first(x)))
        return output


RECTIFIERS: dict[str, Activation] = {
    "relu6": nn.functional.relu6,
    "clamp": lambda x: x.clamp(0, 6),
    "clamp_keyword": lambda x: torch.clamp(x, min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "hardtanh": lambda x: nn.functional.hardtanh(x, 0.0, 6.0),
    "scaled": lambda x: torch.relu(x * 2) / 2,
    "threshold": lambda x: nn.functional.threshold(x, 0.0, 0.0),
    "leaky_of_nothing": lambda x: nn.functional.leaky_relu(x, 0.0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum_constant": lambda x: torch.fmax(torch.tensor(0.0), x),
    "product": lambda x: x * (x > 0),
    "product_of_numbers": lambda x: (x > 0).to(x.dtype) * x,
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "where_not": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
}


@pytest.mark.parametrize("kind", RECTIFIERS)
@pytest.mark.parametrize("name", SIGNALS)
def test_what_rectifies_counts_as_a_rectifier(name: str, kind: str) -> None:
    x = inputs(3, shape=(6,))
    found, expected = (
        attribution(model_of(Between(a), (6,)), batch_of(x, 1), name=name) for a in (RECTIFIERS[kind], torch.relu)
    )
    torch.testing.assert_close(found, expected)


def test_a_saturated_rectifier_is_not_active_and_deconvnet_does_not_ask() -> None:
    first, last = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data, last.weight.data = torch.eye(2), torch.ones(1, 2)
    model = model_of(nn.Sequential(first, nn.ReLU6(), last), (2,))
    batch = batch_of(torch.tensor([[9.0, 3.0]]), 0)
    assert attribution(model, batch, name="guided_backprop").tolist() == [[0, 1]]
    assert attribution(model, batch, name="deconvnet").tolist() == [[1, 1]]


UNDEFINED: dict[str, Activation] = {
    "gelu": nn.functional.gelu, "silu": nn.functional.silu, "leaky_relu": nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "elu": nn.functional.elu, "hardswish": nn.functional.hardswish,
    "softmax": lambda x: x.softmax(1), "mul": lambda x: x * (x > 1), "where": lambda x: torch.where(x > 0, x, 1.0),
    "masked_fill": lambda x: x.masked_fill(x < -1, 0.0), "maximum": lambda x: torch.maximum(x, x * 0),
    "threshold": lambda x: nn.functional.threshold(x, 0.1, 0.0), "hardtanh": nn.functional.hardtanh,
    "linear": lambda x: nn.functional.linear(x, x.mean(0).expand(8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("op", UNDEFINED)
@pytest.mark.parametrize("name", [*SIGNALS, "deep_taylor"])
def test_other_activations_are_refused_by_name_and_not_given_the_gradient(name: str, op: str) -> None:
    with pytest.raises(MethodNotApplicable, match=rf"\({op}\)"):
        parse_method(name).refuse(model_of(Between(UNDEFINED[op]), (6,), low=0.0, high=1.0))


ZENNITS: dict[str, object] = {"name": "lrp", "composite": [{"rule": "z_plus", "epsilon": 1e-6}]}


@needs_references
@pytest.mark.parametrize(
    ("stored", "method", "close"),
    [
        ("guided_backprop", {"name": "guided_backprop"}, 1e-4),
        ("excitation_backprop", ZENNITS, 1e-4),
        ("excitation_backprop", {"name": "excitation_backprop", "bias": True}, 1e-3),
    ],
)
def test_resnet20_has_zennits_stored_signals(stored: str, method: dict[str, Any], close: float) -> None:
    """They start from the logit, ours from one; Zennit's excitation backprop counts biases, and adds 1e-6 to every
    denominator: with that ours is theirs, without it the small values of some sums keep what theirs lose."""
    expected = np.load(SHARED / "data" / "zennit_refs" / "resnet20_cifar10.npz")[stored]
    model, batch = left_behind(), batch_of(cifar_test_images(torch.float64))
    start = 1.0 if method["name"] == "lrp" else model.start(batch)[0].view(-1, 1, 1, 1)
    assert relative(attribution(model, batch, **method) * start, torch.from_numpy(expected)) < close


def test_deconvnet_starts_from_a_layers_own_activations() -> None:
    """With no rectifier below, that is one transposed convolution."""
    module, x = net(norm=False), inputs(2)
    model = model_of(module, (1, 8, 8))
    found = attribution(model, batch_of(x), name="deconvnet", layer="conv1")
    activations = module.conv1(x).detach()
    expected = nn.functional.conv_transpose2d(activations, module.conv1.weight.detach(), padding=1)
    torch.testing.assert_close(found, expected)
    units = [{"layer": "conv1", "channels": [2]}]
    one = attribution(model, batch_of(x), name="deconvnet", layer="conv1", units=units)
    activations[:, [0, 1, 3]] = 0
    torch.testing.assert_close(
        one, nn.functional.conv_transpose2d(activations, module.conv1.weight.detach(), padding=1)
    )


def test_partial_reconstructions_sum_to_the_full_one_where_the_path_is_linear() -> None:
    model, batch = model_of(net(), (1, 8, 8), dtype=torch.float64), batch_of(inputs(2).double(), 1)

    def parts(layer: str) -> Tensor:
        each = [
            attribution(model, batch, name="deconvnet", units=[{"layer": layer, "channels": [channel]}])
            for channel in range(4)
        ]
        return torch.stack(each).sum(0)

    full = attribution(model, batch, name="deconvnet")
    torch.testing.assert_close(parts("conv1"), full)
    assert relative(parts("conv2"), full) > 0.01  # a rectifier lies below: what cancelled there no longer does


def test_deconvnet_refuses_layers_and_channels_that_there_are_not() -> None:
    model = model_of(net(), (1, 8, 8))
    with pytest.raises(InvalidParameter, match="no layer"):
        parse_method({"name": "deconvnet", "layer": "nowhere"}).refuse(model)
    with pytest.raises(InvalidParameter, match="0 to 3"):
        parse_method({"name": "deconvnet", "units": [{"layer": "conv1", "channels": [4]}]}).refuse(model)


def test_signals_of_a_hidden_unit_start_at_that_unit() -> None:
    module = net()
    model, x = model_of(module, (1, 8, 8)), inputs(2)
    found = attribution(model, batch_of(x, UnitTarget(layer="bn1", index=(2, 4, 4))), name="guided_backprop")
    assert int((found != 0).sum()) == 2 * 9
