"""Rows of the seeds whose closed form is that of f = w.x + b, each over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.service.seeds.asking import answered, sent, tensor
from tests.toys import inputs, model_of
from whence import Client
from workers.engine.model.model import Model

X = inputs(12, seed=3).numpy()
OWN = inputs(1, seed=4)[0].numpy()
HIGH = 5.0


DRAW = np.random.default_rng(0)
W = DRAW.uniform(0.05, 0.2, (3, 1, 8, 8)) * DRAW.choice([-1, 1], (3, 1, 8, 8))  # none near 0, where no shift will do
B = DRAW.normal(size=3)
FIRST, LAST = DRAW.normal(size=(8, 64)) / 8, DRAW.normal(size=(3, 8))


def layer(weights: Any, bias: Any = 0.0) -> nn.Linear:
    made = nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weights))
        made.bias.copy_(torch.as_tensor(bias))
    return made


def models() -> dict[str, Model]:
    flat = W.reshape(3, 64)
    made: dict[str, list[nn.Module]] = {
        "linear": [layer(flat, B)],
        "blind": [layer(flat[:1] * np.array([[1], [2], [3]]))],  # every class is the same function, more or less of it
        "unsure": [layer(FIRST), nn.Dropout(0.5), layer(LAST)],
    }
    return {
        name: model_of(
            nn.Sequential(nn.Flatten(), *layers), (1, 8, 8), digest=f"sha256:{at:064d}", low=-HIGH, high=HIGH
        )
        for at, (name, layers) in enumerate(made.items())
    }


def scores(x: Any) -> Any:
    return np.tensordot(W, x, 3) + B


BASELINES = {
    "own": (tensor(OWN), OWN),
    "mean": ("dataset", X.mean(0)),
    "white": ("white", np.full_like(OWN, HIGH)),
    "number": ([0.5], np.full_like(OWN, 0.5)),
}


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_a_baseline_of_ones_own_gives_weight_times_difference(client: Client, method: str, name: str) -> None:
    given, there = BASELINES[name]
    if given == "dataset":
        given = {"dataset": sent(client, inputs=X), "mean": True}
    found = answered(client, "linear", {"name": method, "baseline": given}, 1, input=tensor(X[0]))
    np.testing.assert_allclose(found.map, W[1] * (X[0] - there), rtol=1e-4, atol=1e-5)


def test_at_a_temperature_deep_lift_is_that_by_the_temperature(client: Client) -> None:
    found = answered(client, "linear", {"name": "at_temperature", "temperature": 2.5}, 1, input=tensor(X[0]))
    np.testing.assert_allclose(found.map, W[1] * X[0] / 2.5, rtol=1e-4, atol=1e-6)


def test_maps_of_noisy_inputs_add_up_by_class(client: Client) -> None:
    """sum_c count_c map_c = sum of maps."""
    found = answered(client, "linear", {"name": "noisy_inputs", "samples": 20, "of": "gradient"}, input=tensor(X[0]))
    counts = np.array(found.info["counts"])
    assert counts.sum() == 20
    assert (counts > 0).sum() > 1
    by_class = found.arrays["by_class"]
    np.testing.assert_allclose(np.tensordot(counts, by_class, 1), 20 * found.map, rtol=1e-4, atol=1e-5)
    for label, count, one in zip(found.info["classes"], counts, by_class, strict=True):
        np.testing.assert_allclose(one, W[label] if count else 0 * one, rtol=1e-4, atol=1e-6)


def test_deep_lift_of_a_net_with_dropout_is_the_mean_over_its_samples(client: Client) -> None:
    """Of a net that is linear but for its dropout the mean tends to that of the net without, w x."""
    plain = (LAST @ FIRST)[1].reshape(1, 8, 8) * X[0]
    method = {"name": "mc_dropout", "of": "deep_lift", "samples": 400}
    found = answered(client, "unsure", method, 1, input=tensor(X[0]))
    away = np.abs(found.map - plain) / (found.arrays["std"] / np.sqrt(400))
    assert 0 < away.mean() < 1.6  # 0.8 of an error where it is a normal one


def test_the_least_change_is_as_long_as_the_lead_by_the_weights(client: Client) -> None:
    """|delta| = min over k of |z_c - z_k| / |w_c - w_k|."""
    found = answered(client, "linear", "counterfactual", input=tensor(X[0]))
    z = scores(X[0])
    c = int(z.argmax())
    lengths = [(z[c] - z[k]) / np.linalg.norm(W[c] - W[k]) for k in range(3) if k != c]
    assert found.info["reached"]
    assert found.info["length"] == pytest.approx(min(lengths), rel=1e-4)
    assert np.linalg.norm(found.map) == pytest.approx(min(lengths), rel=1e-4)


@pytest.mark.parametrize(("scale", "part"), [("none", 1.0), ("largest", 0.5), ("sum", 0.5)])
def test_the_difference_of_two_maps_is_of_maps_of_one_size(client: Client, scale: str, part: float) -> None:
    """w x less w (x - own), each by its size; of twice a map and the map nothing is left, but unscaled."""
    own = {"name": "deep_lift", "baseline": tensor(-X[0])}  # w (x + x), twice the other
    method = {"name": "difference", "of": own, "less": "input_times_gradient", "scale": scale}
    found = answered(client, "linear", method, 1, input=tensor(X[0]))
    wanted = W[1] * X[0] if part == 1 else np.zeros_like(X[0])
    np.testing.assert_allclose(found.map, wanted, rtol=1e-4, atol=1e-5)


def test_a_shift_makes_input_times_gradient_what_was_wanted(client: Client) -> None:
    """m = s / grad - x, and G x I of the second model is s."""
    found = answered(client, "linear", {"name": "shift_attack", "wanted": tensor(OWN)}, 1, input=tensor(X[0]))
    np.testing.assert_allclose(found.map, OWN, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.arrays["shift"], OWN / W[1] - X[0], rtol=1e-3, atol=1e-3)


def test_a_shift_by_an_own_image_moves_what_is_not_invariant(client: Client) -> None:
    """The relative difference of G x I is |m w| / |x w|, and that of the gradient is 0."""
    asked = {"name": "input_shift_invariance", "of": ["input_times_gradient", "gradient"]}
    method = {**asked, "shift": tensor(OWN), "amount": 0.5, "noise": 0}
    found = answered(client, "linear", method, 1, input=tensor(X[0]))
    wanted = np.linalg.norm(0.5 * OWN * W[1]) / np.linalg.norm(X[0] * W[1])
    np.testing.assert_allclose(found.arrays["scores"], np.array([wanted, 0.0]), rtol=1e-3, atol=1e-5)


def test_a_map_that_is_blind_to_the_target_has_correlation_one(client: Client) -> None:
    found = answered(client, "blind", {"name": "selectivity", "of": ["gradient"]}, 1, input=tensor(X[0]))
    np.testing.assert_allclose(found.arrays["scores"], [1.0], rtol=1e-6)
