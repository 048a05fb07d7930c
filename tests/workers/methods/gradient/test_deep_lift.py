"""deep_lift: Captum where that is right, formulas written out where it is not, and the sum in every case."""

from __future__ import annotations

import warnings
from copy import deepcopy

import pytest
import torch
from captum.attr import DeepLift
from torch import Tensor, nn
from torch.nn import functional

from tests.references import needs_references, photographs, prepared, reference_model
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.deep_lift_runs import lifted
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.gradient.test_gradient_family import at, function
from workers.engine.model.model import Model
from workers.explanation.target import UnitTarget
from workers.methods.gradient.deep_lift.assign import multipliers
from workers.methods.gradient.deep_lift.baseline_pass import contrast

COMPLETE = ["rescale", "reveal_cancel"]


def captum(module: nn.Module, x: Tensor, x0: Tensor, target: int = 0) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values: Tensor = DeepLift(deepcopy(module).double()).attribute(x, x0, target=target)
    return values.detach()


def between(model: Model, x: Tensor, x0: Tensor, target: int = 0) -> Tensor:
    """The contributions by Rescale from a baseline of the test's own choice."""
    batch = batch_of(x, target)
    return multipliers(contrast(model, batch, x0), model.start(batch)[1], "rescale") * (x - x0)


def modules(act: type[nn.Module], pool: type[nn.Module] = nn.MaxPool2d) -> nn.Sequential:
    """A net that Captum gets right: every activation a module of its own, none beside a pooling, windows apart."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), pool(2), nn.BatchNorm2d(4), act(), nn.Conv2d(4, 6, 3, stride=2, groups=2),
        act(), nn.Flatten(), nn.Dropout(), nn.Linear(54, 5), act(), nn.Linear(5, 3),
    ).eval()  # fmt: skip


SHAPE = (2, 16, 16)
ACTIVATIONS = [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus]


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_rescale_equals_captum_where_that_is_right(act: type[nn.Module]) -> None:
    x, x0 = inputs(2, 1, SHAPE).double(), inputs(2, 2, SHAPE).double()
    found = between(model_of(modules(act), SHAPE, torch.float64), x, x0, 1)
    torch.testing.assert_close(found, captum(modules(act), x, x0, 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.4])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_rescale_equals_captum_from_a_constant_baseline(act: type[nn.Module], value: float) -> None:
    """Without max pooling: a window of equal values has no one maximum, and Captum's choice is up to rounding."""
    x, module = inputs(2, shape=SHAPE).double(), modules(act, nn.AvgPool2d)
    found = lifted(model_of(module, SHAPE, torch.float64), x, 1, baseline="constant", value=value)
    torch.testing.assert_close(found, captum(module, x, torch.full_like(x, value), 1), rtol=1e-9, atol=1e-12)


def test_an_activation_may_stand_right_before_a_pooling() -> None:
    """As in VGG and SqueezeNet. Captum's hooks on the tensor between both then run in the wrong order, and its sum is
    off without a word; it is right once a pooling over single pixels stands between."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(2, 4, 3), nn.Linear(196, 3)
    beside = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), last)
    apart = nn.Sequential(first, nn.ReLU(), nn.AvgPool2d(1), nn.MaxPool2d(2), nn.Flatten(), last)
    x, x0 = inputs(2, 1, SHAPE).double(), inputs(2, 2, SHAPE).double()
    found = between(model_of(beside, SHAPE, torch.float64), x, x0)
    torch.testing.assert_close(found, captum(apart, x, x0), rtol=1e-9, atol=1e-12)


def test_what_is_the_maximum_both_times_passes_everything_on() -> None:
    """Before a constant baseline a pooling window has no one maximum: the input's alone counts, as on the way there."""
    model = model_of(nn.Sequential(nn.MaxPool1d(4), nn.Flatten()), (1, 4), torch.float64)
    x = torch.tensor([[[0.3, 0.1, 0.8, -0.2]], [[-0.3, -0.1, -0.8, -0.2]]], dtype=torch.float64)
    assert lifted(model, x)[:, 0].tolist() == [[0, 0, 0.8, 0], [0, -0.1, 0, 0]]


class Functional(nn.Module):
    """The net of `modules` with one activation called as a function: Captum takes that for linear."""

    def __init__(self) -> None:
        super().__init__()
        self.body = modules(nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        conv1, pool, norm, _, conv2, _, flat, _, fc1, _, fc2 = self.body
        x = functional.relu(norm(pool(conv1(x))))
        x = functional.relu(fc1(flat(torch.relu_(conv2(x)))))
        output: Tensor = fc2(x)
        return output


class Reused(nn.Module):
    """The same net with one ReLU for all places: Captum raises an error."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act = modules(nn.ReLU), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        conv1, pool, norm, _, conv2, _, flat, _, fc1, _, fc2 = self.body
        x = self.act(norm(pool(conv1(x))))
        output: Tensor = fc2(self.act(fc1(flat(self.act(conv2(x))))))
        return output


@pytest.mark.parametrize("written", [Functional, Reused])
def test_the_way_a_net_is_written_changes_nothing(written: type[nn.Module]) -> None:
    x, x0 = inputs(2, 1, SHAPE).double(), inputs(2, 2, SHAPE).double()
    found = between(model_of(written(), SHAPE, torch.float64), x, x0)
    torch.testing.assert_close(found, captum(modules(nn.ReLU), x, x0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", COMPLETE)
@pytest.mark.parametrize("act", [nn.GELU, nn.SiLU, nn.Hardswish, nn.PReLU, nn.ReLU6, nn.Mish, nn.Sigmoid, nn.Hardtanh])
def test_the_sum_is_the_difference_for_any_activation(act: type[nn.Module], rule: str) -> None:
    """Captum passes most of these as if they were linear: its sums are off by up to 0.6."""
    model, x = model_of(modules(act), SHAPE, torch.float64), inputs(3, shape=SHAPE).double()
    expected = (model.forward(x) - model.forward(torch.full_like(x, 0.3)))[:, 2]
    result = explain(model, batch_of(x, 2), name="deep_lift", rule=rule, baseline="constant", value=0.3)
    torch.testing.assert_close(result.arrays["attribution"].flatten(1).sum(1), expected, rtol=1e-10, atol=1e-12)
    for (check,), want in zip(result.checks, expected.tolist(), strict=True):
        assert check.name == "completeness"
        assert check.expected == pytest.approx(want, abs=1e-12)
        assert check.gap < 1e-9


@pytest.mark.parametrize("rule", COMPLETE)
@pytest.mark.parametrize("baseline", ["zero", "minimum", "mean", "blur", "uniform"])
def test_the_sum_is_the_difference_from_any_baseline(baseline: str, rule: str) -> None:
    """On the toy net: an in-place ReLU in two places, a residual sum, batch norm, max pooling."""
    model = model_of(net(), (1, 8, 8), torch.float64, image=True)
    result = explain(
        model, batch_of(inputs(3).double(), 1, seeds=[4, 5, 6]), name="deep_lift", rule=rule, baseline=baseline
    )
    assert all(check.gap < 1e-10 for (check,) in result.checks)


def test_without_biases_rescale_is_input_times_gradient() -> None:
    """S4 Prop. 3: ReLUs cross the origin, so from the zero baseline nothing but the gradient is left."""
    model, x = model_of(net(bias=False, norm=False), (1, 8, 8), torch.float64), inputs(2).double()
    torch.testing.assert_close(lifted(model, x), attribution(model, batch_of(x, 0), name="input_times_gradient"))


def test_without_a_rule_it_is_the_gradient_times_the_difference() -> None:
    model, x = model_of(net(), (1, 8, 8), torch.float64), inputs(2).double()
    found = lifted(model, x, rule="none", baseline="constant", value=0.5)
    torch.testing.assert_close(found, attribution(model, batch_of(x, 0), name="gradient") * (x - 0.5))


def test_a_product_is_shared_alike_and_sums_to_the_difference() -> None:
    """S4 ch. 9: h = relu(x1 - 1) relu(x2) at (2, 2) is 2; DeepLIFT without a rule for products gives (2, 2)."""
    model = function(lambda a, b: functional.relu(a - 1) * functional.relu(b))
    assert attribution(model, at(2.0, 2.0), name="deep_lift")[0].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("rule", COMPLETE)
def test_what_equals_the_baseline_gets_nothing_and_what_nearly_does_is_sound(rule: str) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(3)
    x[0] = 0.0
    x[1, :, 4:] = 0.0
    x[2] = torch.tensor(1e-6)
    found = lifted(model, x, 1, rule=rule)
    assert (found[0] == 0).all()
    assert (found[1, :, 4:] == 0).all()
    tiny = attribution(model, batch_of(x, 1), name="gradient")[2] * x[2]
    torch.testing.assert_close(found[2], tiny, rtol=1e-2, atol=float(tiny.abs().max()) * 1e-2)


def test_a_unit_of_a_layer_can_be_explained() -> None:
    model, x = model_of(net(), (1, 8, 8), torch.float64), inputs(2).double()
    batch = batch_of(x, UnitTarget(layer="conv2", channel=1))
    result = explain(model, batch, name="deep_lift")
    node = model.layer("conv2").index
    at_conv = model.folded.run(torch.cat([x, 0 * x]), [node])[1][node][:, 1].flatten(1).sum(1)
    torch.testing.assert_close(result.arrays["attribution"].flatten(1).sum(1), at_conv[:2] - at_conv[2:])


class Windows(nn.Module):
    """Parts of each row explained side by side, as Swin does: batch and windows share an axis, so a baseline of one
    row would not fit beside the inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.last = nn.Linear(4, 6), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = functional.gelu(self.inner(x.reshape(-1, 4)))
        output: Tensor = self.last(parts.reshape(-1, 24))
        return output


def test_one_row_stands_for_a_baseline_that_all_rows_share() -> None:
    x = inputs(3, shape=(16,)).double()
    for module, rows in ((nn.Sequential(nn.Linear(16, 3)), 1), (Windows(), 3)):
        model = model_of(module, (16,), torch.float64)
        batch = batch_of(x, 0)
        pair = contrast(model, batch, torch.zeros_like(x))
        assert len(pair.base[0]) == rows
        together = explain(model, batch, name="deep_lift")
        assert all(check.gap < 1e-10 for (check,) in together.checks)
        torch.testing.assert_close(together.arrays["attribution"][1:2], lifted(model, x[1:2]))


def test_a_baseline_of_another_method_is_not_mistaken_for_its_own() -> None:
    """Methods on one input share passes; a pass of one baseline must not serve for another."""
    model, x = model_of(net(), (1, 8, 8)), inputs(2)
    shared = batch_of(x, 0)
    for value in (0.0, 0.5, 0.0):
        ours = attribution(model, shared, name="deep_lift", baseline="constant", value=value)
        torch.testing.assert_close(ours, lifted(model, x, baseline="constant", value=value))


@needs_references
@pytest.mark.parametrize("rule", COMPLETE)
def test_squeezenet_sums_to_the_difference(rule: str) -> None:
    """Its pooling windows overlap, where Captum loses all but one of the shares of a shared maximum."""
    model = reference_model("squeezenet1_1")
    result = explain(model, batch_of(prepared(model, photographs()[:2])), name="deep_lift", rule=rule)
    assert all(check.gap < 1e-4 for (check,) in result.checks)
