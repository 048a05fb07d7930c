"""Single layers against iNNvestigate's stored attributions, and small nets against Captum's and the book's figures."""

from __future__ import annotations

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
from tests.workers.methods.reference_cases import Attribute, of, rule
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec

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


def times_output(**method: object) -> Attribute:
    """Signals that start from the neuron's value, as theirs do, and not from one."""

    def scaled(model: Model, x: Tensor) -> Tensor:
        return of(**method)(model, x) * model.forward(x).amax(1).view(-1, 1, 1, 1)

    return scaled


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
