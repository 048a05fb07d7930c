"""Excitation backprop: winning probabilities, and their contrast."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of
from tests.workers.methods.gradient.backprop_nets import plain
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.explanation.target import UnitTarget


def mlp(bias: bool) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Linear(6, 7, bias=bias), nn.ReLU(), nn.Linear(7, 5, bias=bias), nn.ReLU(), nn.Linear(5, 3, bias=bias)
    )


def winners(weights: list[Tensor], activations: list[Tensor], target: int, sign: float = 1.0) -> Tensor:
    """P(a_j) = sum over i of P(a_j | a_i) P(a_i), unit by unit (Zhang et al. 2018, eq. 1 and 4), one row."""
    p = torch.zeros(len(weights[-1]), dtype=torch.float64)
    p[target] = 1
    for depth in reversed(range(len(weights))):
        below = torch.zeros(weights[depth].shape[1], dtype=torch.float64)
        for i, chance in enumerate(p):
            w = weights[depth][i] * (sign if depth == len(weights) - 1 else 1)
            excites = w.clamp(min=0) * activations[depth]
            if excites.sum() > 0:
                below += chance * excites / excites.sum()
        p = below
    return p


@pytest.mark.parametrize("bias", [False, True])
def test_excitation_backprop_is_the_chain_of_winning_probabilities(bias: bool) -> None:
    module, x = mlp(bias), inputs(1, shape=(6,)).abs().double()
    model = model_of(module, (6,), dtype=torch.float64)
    layers = [layer.double() for layer in module if isinstance(layer, nn.Linear)]
    activations = [x[0]]
    for layer in layers[:-1]:
        activations.append(torch.relu(layer(activations[-1])).detach())
    weights = [layer.weight.detach() for layer in layers]
    for target in range(3):
        result = explain(model, batch_of(x, target), name="excitation_backprop")
        for_it = winners(weights, activations, target)
        torch.testing.assert_close(result.arrays["attribution"][0], for_it, rtol=1e-4, atol=1e-6)
        assert result.checks[0][0].expected == 1
        assert result.checks[0][0].gap < 1e-4
        contrast = explain(model, batch_of(x, target), name="excitation_backprop", contrastive=True)
        against = winners(weights, activations, target, sign=-1)
        torch.testing.assert_close(contrast.arrays["attribution"][0], for_it - against, rtol=1e-6, atol=1e-6)
        assert abs(contrast.checks[0][0].observed) < 1e-6


def test_excitation_backprop_is_z_plus_from_one_on_positive_activations() -> None:
    model, x = model_of(mlp(False), (6,), dtype=torch.float64), inputs(3, shape=(6,)).abs().double()
    batch = batch_of(x)
    z_plus = attribution(model, batch, name="lrp", composite=[{"rule": "z_plus", "epsilon": 1e-9}])
    scores = model.start(batch)[0].view(-1, 1)
    torch.testing.assert_close(attribution(model, batch, name="excitation_backprop"), z_plus / scores)


def test_excitation_backprop_starts_from_one_for_a_whole_channel_and_is_read_at_any_layer() -> None:
    model, x = model_of(plain(), (1, 8, 8), dtype=torch.float64), inputs(2).abs().double()
    batch = batch_of(x, UnitTarget(layer="4", channel=1))
    for layer, shape in (("input", (1, 8, 8)), ("3", (6, 4, 4))):
        result = explain(model, batch, name="excitation_backprop", layer=layer)
        assert result.arrays["attribution"].shape == (2, *shape)
        assert result.checks[1][0].observed == pytest.approx(1, abs=1e-3)
        assert (result.arrays["attribution"] >= 0).all()


def test_what_speaks_for_every_class_cancels_in_contrast() -> None:
    """The first feature excites both classes, each other one its own: the plain map cannot tell which is which."""
    linear = nn.Linear(3, 2, bias=False)
    linear.weight.data = torch.tensor([[4.0, 1.0, -1.0], [4.0, -1.0, 1.0]])
    model = model_of(linear, (3,), dtype=torch.float64)
    batch = batch_of(torch.ones(1, 3, dtype=torch.float64), 0)
    plain_map = attribution(model, batch, name="excitation_backprop")[0].tolist()
    contrast = attribution(model, batch, name="excitation_backprop", contrastive=True)[0].tolist()
    assert plain_map == pytest.approx([0.8, 0.2, 0.0], abs=1e-5)
    assert contrast == pytest.approx([0.8, 0.2, -1.0], abs=1e-5)
