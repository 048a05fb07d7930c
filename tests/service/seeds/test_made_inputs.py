"""The seeds' table of priors over HTTP: what maximises a unit that is linear, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.service.seeds.asking import answered, sent
from tests.toys import model_of
from tests.workers.methods.synthesis.test_learned_priors import MEAN, Best, Rbm
from tests.workers.methods.synthesis.test_prior_table import SLOW, Flat, Hidden, Linear
from whence import Client
from workers.engine.model.model import Model

W = np.array([1.0, -2.0, 0.5])
CODES = 50


def models() -> dict[str, Model]:
    values: dict[str, tuple[nn.Module, int]] = {
        "linear": (Linear(W.tolist()), 3),
        "flat": (Flat(), CODES),
        "maker": (nn.Identity(), CODES),
        "machine": (Rbm(0, 0.7), 3),
        "denoiser": (Best(0.6, 0.4), 3),
    }
    made = {
        name: model_of(module, (size,), digest=f"sha256:{at:064d}", output="value")
        for at, (name, (module, size)) in enumerate(values.items())
    }
    torch.manual_seed(0)
    picture = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    return {
        **made,
        "hidden": model_of(Hidden(), (2,), digest=f"sha256:{98:064d}"),
        "picture": model_of(picture, (1, 8, 8), image=True, digest=f"sha256:{99:064d}"),
    }


def made(client: Client, model: str, target: Any = "value", **fields: Any) -> Any:
    """What was made, (count, *shape); of rows there is no picture."""
    method = {"name": "activation_maximization", **fields}
    return answered(client, model, method, target, drawn=model == "picture").arrays["synthesis"]


def test_an_expert_pulls_to_the_mean_and_the_weights(client: Client) -> None:
    """x* = mu + sigma^2 w."""
    items = np.random.default_rng(0).normal([0.3, 1.0, -2.0], 0.7, (200, 3)).astype(np.float32)
    found = made(client, "linear", priors=[{"kind": "expert"}], dataset=sent(client, inputs=items), **SLOW)
    np.testing.assert_allclose(found[0], items.mean(0) + items.var(0).mean() * W, atol=0.02)


@pytest.mark.parametrize(
    ("prior", "variance"),
    [
        ({"kind": "density", "model": "machine"}, 0.7**2),
        ({"kind": "denoiser", "model": "denoiser", "noise": 0.4}, 0.6**2 + 0.4**2),
    ],
)
def test_a_model_for_a_prior_pulls_as_its_density(client: Client, prior: dict[str, Any], variance: float) -> None:
    """x* = mu + sigma^2 w, sigma^2 that of the machine, or of data and noise."""
    found = made(client, "linear", priors=[prior], **SLOW)
    np.testing.assert_allclose(found[0], MEAN.numpy() + variance * W, atol=0.03)


def test_an_alpha_norm_stops_a_linear_unit_where_its_slope_does(client: Client) -> None:
    """x_i = (n w_i / (weight power))^(1 / (power - 1))."""
    found = made(client, "linear", priors=[{"kind": "alpha_norm", "weight": 0.5, "power": 4}], **SLOW)
    np.testing.assert_allclose(found[0], np.cbrt(3 * W / (0.5 * 4)), atol=0.02)


def test_noise_in_the_space_of_codes_is_a_walk_by_chance(client: Client) -> None:
    """Of a flat objective the variance of h_T - h_0 is T epsilon^2."""
    still = {"generator": "maker", "count": 40, "rate": 1e-6}
    noise = [{"kind": "noise", "width": 0.1}]
    first, last = (made(client, "flat", priors=p, steps=n, **still) for p, n in (([], 1), (noise, 25)))
    assert (last - first).var() == pytest.approx(25 * 0.1**2, rel=0.15)


def test_codes_are_clipped(client: Client) -> None:
    priors = [{"kind": "noise", "width": 1.0}, {"kind": "clip", "limit": 0.7}]
    found = np.abs(made(client, "flat", generator="maker", priors=priors, steps=5))
    assert found.max() == pytest.approx(0.7)


def test_two_planted_clusters_are_two_starts(client: Client) -> None:
    centres = np.array([[2.0, 0, 0], [0, 0, 2.0]]).repeat([30, 10], 0)
    items = (centres + 0.05 * np.random.default_rng(0).normal(size=(40, 3))).astype(np.float32)
    fields = {"dataset": sent(client, inputs=items), "start": "facets", "count": 2, "steps": 1, "rate": 1e-6}
    found = made(client, "linear", priors=[{"kind": "l2", "to": "mean"}], **fields)
    assert sorted(np.abs(found.round(1)).tolist()) == [[0, 0, 2], [2, 0, 0]]


@pytest.mark.parametrize(("score", "shared"), [("activation", True), ("log_probability", False)])
def test_a_selective_stimulus_leaves_out_what_other_units_like_as_well(
    client: Client, score: str, shared: bool
) -> None:
    """The slope of log softmax is sum_j p_j (w_i - w_j): of the shared feature it is 0."""
    target = {"layer": "hidden", "channel": 0}
    common, own = made(client, "hidden", target, score=score, priors=[], steps=200, rate=0.05)[0]
    assert own > 1
    assert (common > 1) == shared


def test_a_bilateral_filter_makes_a_picture_smoother(client: Client) -> None:
    """Neighbours that differ by less than the tone come nearer to each other."""
    plain, smooth = (
        made(client, "picture", 1, priors=priors, steps=20) for priors in ([], [{"kind": "bilateral", "tone": 10.0}])
    )
    assert np.abs(np.diff(smooth)).mean() < 0.5 * np.abs(np.diff(plain)).mean()
