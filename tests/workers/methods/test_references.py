"""Single layers against iNNvestigate's stored attributions, and small nets against Captum's and the book's figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.references import SHARED, needs_references
from tests.toys import batch_of, exported, model_of
from tests.workers.methods.gradient.test_gradient_family import attribution
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec

Attribute = Callable[[Model, Any], Tensor]
LAYERS = ["Dense", "Dense_relu", "Conv2D", "Conv2D_relu", "AveragePooling2D", "MaxPooling2D"]


class Layer(nn.Module):
    """One layer of channels-last inputs (10, 10, 3), its output flattened to scores as theirs is."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.relu = kind.endswith("_relu")
        self.last = kind.startswith("Dense")
        made: dict[str, nn.Module] = {
            "Dense": nn.Linear(3, 5), "Conv2D": nn.Conv2d(3, 5, 3),
            "AveragePooling2D": nn.AvgPool2d(2), "MaxPooling2D": nn.MaxPool2d(2),
        }  # fmt: skip
        self.layer = made[kind.removesuffix("_relu")]

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x) if self.last else self.layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (torch.relu(x) if self.relu else x).flatten(1)


@cache
def stored() -> dict[str, NDArray[Any]]:
    return dict(np.load(SHARED / "data" / "innvestigate_refs" / "layer_refs.npz"))


@cache
def program(layer: str) -> torch.export.ExportedProgram:
    return exported(Layer(layer), (10, 10, 3))


def single(method: str, layer: str, kind: str = "") -> Model:
    """The layer with the weights that were drawn for this method, in float64."""
    weights = stored().get(f"{method}/{layer}/w0")
    if weights is not None:
        weights = weights.T if weights.ndim == 2 else weights.transpose(3, 2, 0, 1)
        program(kind or layer).state_dict["layer.weight"].data = torch.from_numpy(weights.copy())
        program(kind or layer).state_dict["layer.bias"].data = torch.from_numpy(stored()[f"{method}/{layer}/w1"])
    spec = replace(model_of(nn.Linear(2, 2), (2,)).spec, input=InputSpec(kind="tensor", shape=(10, 10, 3)))
    return Model.from_program(spec, program(kind or layer), dtype=torch.float64)


def of(**method: object) -> Attribute:
    return lambda model, x: attribution(model, x if isinstance(x, Batch) else batch_of(x), **method)


def times_output(**method: object) -> Attribute:
    """Signals that start from the neuron's value, as theirs do, and not from one."""

    def scaled(model: Model, x: Tensor) -> Tensor:
        return of(**method)(model, x) * model.forward(x).amax(1).view(-1, 1, 1, 1)

    return scaled


def rule(**spec: object) -> Attribute:
    """The rule at layers with weights; theirs share averages in proportion under every rule."""
    weighted = [{"ops": ops, "epsilon": 1e-12, **spec} for ops in ("convolution", "linear")]
    return of(name="lrp", composite=[*weighted, {"rule": "zero"}])


def preset(alpha: float) -> Attribute:
    """alpha-beta in convolutions, epsilon 0.1 in dense layers; their Flat twins are flat in the first layer."""
    convolution = {"ops": "convolution", "rule": "alpha_beta", "alpha": alpha, "epsilon": 1e-12}
    return of(
        name="lrp", composite=[convolution, {"ops": "linear", "rule": "epsilon", "epsilon": 0.1}, {"rule": "zero"}]
    )


def sixty_four_points(model: Model, x: Tensor) -> Tensor:
    """Their integral is the plain mean over 64 points that include the baseline, where the gradient is that at 0."""
    inner = of(name="integrated_gradients", rule="right", steps=63)(model, x)
    at_zero = of(name="gradient")(model, Batch(x * 0, model.resolve(batch_of(x))))
    return (63 * inner + x * at_zero) / 64


METHODS: dict[str, Attribute] = {
    "Gradient": of(name="gradient"),
    "InputTimesGradient": of(name="input_times_gradient"),
    "IntegratedGradients": sixty_four_points,
    "GuidedBackprop": times_output(name="guided_backprop"),
    "Deconvnet": times_output(name="deconvnet"),
    "LRPZ": of(name="lrp", composite="zero"),
    "LRPZIgnoreBias": of(name="lrp", composite="zero"),
    "LRPEpsilon": rule(rule="epsilon", epsilon=1e-7),
    "LRPEpsilonIgnoreBias": rule(rule="epsilon", epsilon=1e-7),
    "LRPZPlus": rule(rule="z_plus"),
    "LRPZPlusFast": rule(rule="z_plus"),
    "LRPAlpha1Beta0": rule(rule="alpha_beta", alpha=1),
    "LRPAlpha1Beta0IgnoreBias": rule(rule="alpha_beta", alpha=1),
    "LRPAlpha2Beta1": rule(rule="alpha_beta", alpha=2),
    "LRPAlpha2Beta1IgnoreBias": rule(rule="alpha_beta", alpha=2),
    "LRPWSquare": rule(rule="w_square"),
    "LRPFlat": rule(rule="flat"),
    "LRPZ_Flat_input_layer_rule": rule(rule="flat"),
    "LRPZ_boxed_input_layer_rule": rule(rule="z_box", low=-10, high=10),
    "LRPSequentialPresetA": preset(alpha=1),
    "LRPSequentialPresetB": preset(alpha=2),
    "LRPSequentialPresetAFlat": rule(rule="flat"),
    "LRPSequentialPresetBFlat": rule(rule="flat"),
    "DeepTaylor": of(name="deep_taylor", bounds="positive"),
    "BoundedDeepTaylor": of(name="deep_taylor", bounds=(-128, 128)),
}


ELSEWISE = {("DeepTaylor", "AveragePooling2D"), ("BoundedDeepTaylor", "AveragePooling2D")}
STEADY = ["Dense", "Conv2D", "AveragePooling2D"]


def largest_difference(found: Tensor, method: str, layer: str) -> float:
    """As a share of the largest stored value."""
    expected = stored()[f"{method}/{layer}/attribution"]
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


@needs_references
@pytest.mark.parametrize(
    ("method", "layer"), [(m, la) for m in METHODS for la in LAYERS if (m, la) not in ELSEWISE], ids=str
)
def test_single_layers_are_explained_as_innvestigate_stored(method: str, layer: str) -> None:
    """25 of their 26 methods, 148 of 150 layers, to 1e-5; SmoothGrad, the 26th, is below."""
    x, output = torch.from_numpy(stored()["input"]).double(), stored()[f"{method}/{layer}/output"]
    # Without a rectifier signals are refused; one after the layer changes nothing of a score that is positive.
    rectified = method in ("GuidedBackprop", "Deconvnet") and not layer.endswith("_relu")
    model = single(method, layer, f"{layer}_relu" if rectified else layer)
    assert (output.max(1) > 0).all()
    np.testing.assert_allclose(model.forward(x), output.clip(0) if rectified else output, rtol=1e-5, atol=1e-6)
    assert largest_difference(METHODS[method](model, x), method, layer) < 1e-5


@needs_references
@pytest.mark.parametrize("method", ["DeepTaylor", "BoundedDeepTaylor"])
def test_their_deep_taylor_shares_an_average_alike_and_ours_in_proportion(method: str) -> None:
    """A mean has a root point like any weighted sum: what contributes more carries more, as in their own z+ rule."""
    layer = "AveragePooling2D"
    x, model = torch.from_numpy(stored()["input"]).double(), single(method, layer)
    assert largest_difference(times_output(name="gradient")(model, x), method, layer) < 1e-5
    assert largest_difference(METHODS[method](model, x), "LRPZPlus", layer) < 1e-5


@needs_references
@pytest.mark.parametrize("layer", STEADY)
def test_their_smooth_grad_where_noise_changes_nothing(layer: str) -> None:
    """Where the gradient is the same everywhere the mean is that; in the three other layers their draws decide."""
    x, model = torch.from_numpy(stored()["input"]).double(), single("SmoothGrad", layer)
    found = of(name="smooth_grad", samples=4, noise=0.5)(model, x)
    assert largest_difference(found, "SmoothGrad", layer) < 1e-5


def dense(*weights: list[list[float]]) -> list[nn.Linear]:
    """Bias-free linear layers of these weights."""
    made = [nn.Linear(len(w[0]), len(w), bias=False) for w in weights]
    for layer, w in zip(made, weights, strict=True):
        layer.weight.data = torch.tensor(w, dtype=torch.float32)
    return made


def lrp(model: Model, x: list[Any], rule: dict[str, object], target: int = 0, **more: object) -> list[Any]:
    batch = batch_of(torch.tensor(x, dtype=torch.float64), target)
    values: list[Any] = attribution(model, batch, name="lrp", composite=[rule], **more).tolist()
    return values


EPSILON: dict[str, object] = {"rule": "epsilon", "epsilon": 1e-9}
GAMMA: dict[str, object] = {"rule": "gamma", "gamma": 0.25, "epsilon": 1e-12}


@pytest.mark.parametrize(
    ("a", "one", "three"),
    [
        ([1.0, 0.5], [5 / 6, -1 / 3], [1 / 3, 1 / 6]),
        ([0.8, 0.2], [0.75, -0.15], [0.48, 0.12]),
        ([2.0, 1.0], [5 / 3, -2 / 3], [2 / 3, 1 / 3]),
        ([1.0, 0.0], [1.0, 0.0], [1.0, 0.0]),
    ],
)
def test_two_implementations_of_one_function(a: list[float], one: list[float], three: list[float]) -> None:
    """S4 Fig. 13.5: max(0, a1 - a2) by one neuron and by three; the gradient does not see which, LRP-gamma does."""
    single_neuron = model_of(nn.Sequential(*dense([[1, -1]]), nn.ReLU()), (2,), dtype=torch.float64)
    first, second = dense([[1, 9], [0, 10]], [[1, -1]])
    three_neurons = model_of(nn.Sequential(first, nn.ReLU(), second, nn.ReLU()), (2,), dtype=torch.float64)
    x = torch.tensor([a], dtype=torch.float64)
    products = [
        attribution(model, batch_of(x, 0), name="input_times_gradient") for model in (single_neuron, three_neurons)
    ]
    torch.testing.assert_close(*products)
    assert lrp(single_neuron, [a], GAMMA)[0] == pytest.approx(one, abs=1e-6)
    assert lrp(three_neurons, [a], GAMMA)[0] == pytest.approx(three, abs=1e-6)


@pytest.mark.parametrize(("theta", "share"), [(0, 0.5), (1, 0.54545), (10, 0.75), (1000, 0.99505)])
def test_a_neuron_split_in_two_draws_relevance_to_itself(theta: float, share: float) -> None:
    """S4 l.4672: copies weighted w + theta and -theta leave the function as it is."""
    first, second = dense([[1, 0], [0, 1], [0, 1]], [[1, 1 + theta, -theta]])
    model = model_of(nn.Sequential(first, nn.ReLU(), second), (2,), dtype=torch.float64)
    assert float(model.forward(torch.ones(1, 2, dtype=torch.float64))) == pytest.approx(2)
    assert lrp(model, [[1.0, 1.0]], GAMMA)[0][1] / 2 == pytest.approx(share, abs=1e-5)


def simple(corner: float = 2.0, weight: float = 2.0, top: float = 3.0, between: nn.Module | None = None) -> Model:
    """Captum's SimpleLRPModel: 3 -> 3 -> 1, one weight in each layer but for the corner of the first."""
    first, second = dense([[corner, weight, weight], [weight] * 3, [weight] * 3], [[top] * 3])
    return model_of(nn.Sequential(first, between or nn.ReLU(), second), (3,), dtype=torch.float64)


def test_captums_simple_model() -> None:
    """The numbers of Captum's own tests. Its two-input model (16, 32, 48) has no twin: a Whence model takes one."""
    x = [1.0, 2.0, 3.0]
    assert lrp(simple(), [x, [3.0, 6.0, 9.0]], EPSILON) == [
        pytest.approx([18, 36, 54]),
        pytest.approx([54, 108, 162]),
    ]
    gamma: dict[str, object] = {"rule": "gamma", "gamma": 1, "epsilon": 1e-9}
    assert lrp(simple(corner=-2), [x], gamma)[0] == pytest.approx([28 / 3, 104 / 3, 52])
    alpha: dict[str, object] = {"rule": "alpha_beta", "alpha": 1, "epsilon": 1e-9}
    assert lrp(simple(corner=-2), [x], alpha)[0] == pytest.approx([12, 33.6, 50.4])
    tanh = simple(corner=0.1, weight=0.1, top=0.1, between=nn.Tanh())
    assert lrp(tanh, [x], EPSILON)[0] == pytest.approx([0.0269, 0.0537, 0.0806], abs=1e-4)


def test_captums_identity_rule_is_relevance_read_above_that_layer() -> None:
    """Its IdentityRule hands a layer's relevance through unchanged, whichever unit is whose: no rule of ours."""
    assert lrp(simple(corner=-2), [[1.0, 2.0, 3.0]], EPSILON, to="0")[0] == pytest.approx([24, 36, 36])


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        (self.linear,) = dense([[5, 5], [5, 5]])

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.linear(x) + x
        return output


def test_captums_skip_connection_without_its_addition_module() -> None:
    assert lrp(model_of(Skip(), (2,), dtype=torch.float64), [[2.0, 3.0]], EPSILON, 1)[0] == pytest.approx([10, 18])


def test_captums_maximum_pooling() -> None:
    two = model_of(nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), (1, 2, 2), dtype=torch.float64)
    assert lrp(two, [[[[1.0, 2.0], [5.0, 6.0]]]], EPSILON)[0] == [[[0, 0], [0, pytest.approx(6)]]]
    one = nn.Sequential(*dense([[2, 2], [2, 2]]), nn.MaxPool1d(2), nn.Flatten())
    found = lrp(model_of(one, (2, 2), dtype=torch.float64), [[[1.0, 2.0], [5.0, 6.0]]], EPSILON, 1)
    assert found[0] == [[0, 0], [pytest.approx(10), pytest.approx(12)]]
