"""The prior table of the book's chapter 4, each by what it promises in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, in_memory, no_input
from tests.toys import model_of
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Result
from workers.explanation.target import ClassTarget, Target, UnitTarget, ValueTarget
from workers.methods.catalogue import parse_method
from workers.methods.synthesis.activation_maximization.priors import bilateral

SLOW = {"steps": 600, "rate": 0.05}


class Linear(nn.Module):
    """w . x."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.fc = nn.Linear(len(weights), 1, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([weights]))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(x)[:, 0]
        return output


def made(model: Model, target: Target, resources: InMemory, **fields: object) -> Result:
    batch = no_input(model, resources)
    batch.targets, batch.seeds = [target], [0]
    return parse_method({"name": "activation_maximization", **fields}).explain(model, batch)


def linear(weights: list[float]) -> Model:
    return model_of(Linear(weights), (len(weights),), output="value", dtype=torch.float64)


@pytest.mark.parametrize("variance", ["isotropic", "diagonal"])
def test_an_expert_and_a_linear_unit_agree_on_the_mean_and_the_weights(variance: str) -> None:
    """S3 eq. 3: x* = mu + sigma^2 w."""
    w = [1.0, -2.0, 0.5]
    source = torch.Generator().manual_seed(0)
    spread = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    items = torch.randn(500, 3, generator=source, dtype=torch.float64) * spread + torch.tensor([0.3, 1.0, -2.0])
    prior = {"kind": "expert", "variance": variance}
    found = made(linear(w), ValueTarget(), in_memory(items), dataset="training", priors=[prior], **SLOW)
    own = items.var(0, correction=0)
    sigma = own if variance == "diagonal" else own.mean()
    expected = items.mean(0) + sigma * torch.tensor(w, dtype=torch.float64)
    torch.testing.assert_close(found.arrays["synthesis"][0, 0], expected, rtol=0, atol=0.02)


def test_an_alpha_norm_stops_a_linear_unit_where_its_slope_does() -> None:
    """w_i = weight * power |x|^(power - 1) / n, so that x_i = (n w_i / (weight power))^(1 / (power - 1))."""
    w = [2.0, -1.0]
    prior = {"kind": "alpha_norm", "weight": 0.5, "power": 4}
    found = made(linear(w), ValueTarget(), in_memory(torch.zeros(1, 2)), priors=[prior], **SLOW)
    expected = torch.tensor([(2 * 2 / 2) ** (1 / 3), -((2 * 1 / 2) ** (1 / 3))], dtype=torch.float64)
    torch.testing.assert_close(found.arrays["synthesis"][0, 0], expected, rtol=0, atol=0.02)


class Flat(nn.Module):
    """Says the same of every input."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 0).sum(1)


def generated() -> tuple[Model, InMemory]:
    """A flat objective, and a generator whose code is what it makes."""
    model = model_of(Flat(), (50,), output="value", dtype=torch.float64)
    generator = model_of(nn.Identity(), (50,), output="value", dtype=torch.float64)
    resources = in_memory(torch.zeros(1, 50))
    resources.models["maker"] = generator
    return model, resources


def test_noise_in_the_space_of_codes_is_a_walk_by_chance() -> None:
    """PPGN: of a flat objective the variance of h_T - h_0 is T epsilon^2."""
    model, resources = generated()
    asked = {"generator": "maker", "count": 40, "rate": 1e-6}
    steps, epsilon = 25, 0.1
    still = made(model, ValueTarget(), resources, priors=[], steps=1, **asked).arrays["synthesis"][0]
    noise = [{"kind": "noise", "width": epsilon}]
    walked = made(model, ValueTarget(), resources, priors=noise, steps=steps, **asked).arrays["synthesis"][0]
    variance = float((walked - still).var())
    # the standard error of a variance over 2000 numbers is sqrt(2 / 2000) of it: 3.2 %
    assert variance == pytest.approx(steps * epsilon**2, rel=0.15)


def test_codes_are_clipped() -> None:
    model, resources = generated()
    priors = [{"kind": "noise", "width": 1.0}, {"kind": "clip", "limit": 0.7}]
    found = made(model, ValueTarget(), resources, generator="maker", priors=priors, steps=5).arrays["synthesis"]
    assert found.abs().max() <= 0.7
    assert (found.abs() == 0.7).any()


def test_two_planted_clusters_give_two_inputs() -> None:
    source = torch.Generator().manual_seed(0)
    centres = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 2.0]])
    items = centres.repeat_interleave(torch.tensor([30, 10]), 0) + 0.05 * torch.randn(40, 4, generator=source)
    model = model_of(Linear([1.0, 1, 1, 1]), (4,), output="value")
    asked = {"dataset": "training", "start": "facets", "count": 2, "priors": [{"kind": "l2", "to": "mean"}]}
    found = made(model, ValueTarget(), in_memory(items), steps=1, rate=1e-6, **asked)
    pair = sorted(found.arrays["synthesis"][0].round(decimals=1).tolist())
    assert pair == [[0.0, 0.0, 0.0, 2.0], [2.0, 0.0, 0.0, 0.0]]
    assert sorted(found.info[0]["items"]) == [10, 30]
    with pytest.raises(InvalidParameter, match="50 facets"):
        made(model, ValueTarget(), in_memory(items), steps=1, **{**asked, "count": 50})


class Hidden(nn.Module):
    """Two hidden units that share a feature; the second has one of its own, too."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 2, bias=False)
        self.out = nn.Linear(2, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[1.0, 0.2], [1.0, -0.2]]))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.out(self.hidden(x).relu())
        return output


@pytest.mark.parametrize(("score", "shared"), [("activation", True), ("log_probability", False)])
def test_a_selective_stimulus_of_a_hidden_unit_leaves_out_what_others_like_as_well(score: str, shared: bool) -> None:
    """S4 4.4.1: the slope of log softmax is sum_j p_j (w_i - w_j): of the shared feature it is 0."""
    model = model_of(Hidden(), (2,), dtype=torch.float64)
    target = UnitTarget(layer="hidden", channel=0)
    found = made(model, target, in_memory(torch.zeros(1, 2)), score=score, priors=[], steps=200, rate=0.05)
    common, own = found.arrays["synthesis"][0, 0].tolist()
    assert own > 1
    assert (common > 1) == shared


def test_a_bilateral_filter_smooths_and_keeps_edges() -> None:
    """= the sum over neighbours, written out; a step far larger than the tone stays."""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 5, 6, generator=source, dtype=torch.float64)
    tone = torch.tensor(0.8, dtype=torch.float64)
    found = bilateral(x, (2, 3), 1.0, tone)
    for i in range(5):
        for j in range(6):
            total, weights = torch.zeros(2, dtype=torch.float64), 0.0
            for di in range(-2, 3):
                for dj in range(-2, 3):
                    there = x[0, :, min(max(i + di, 0), 4), min(max(j + dj, 0), 5)]
                    unlike = float(((there - x[0, :, i, j]) / 0.8).square().mean())
                    weight = float(torch.exp(torch.tensor(-(di * di + dj * dj + unlike) / 2, dtype=torch.float64)))
                    total, weights = total + weight * there, weights + weight
            torch.testing.assert_close(found[0, :, i, j], total / weights)
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    torch.testing.assert_close(bilateral(step, (2, 3), 1.0, torch.tensor(0.05)), step)


def test_a_class_keeps_its_probability_of_the_output() -> None:
    model = model_of(Hidden(), (2,), dtype=torch.float64)
    found = made(model, ClassTarget(index=1), in_memory(torch.zeros(1, 2)), score="log_probability", steps=5)
    assert found.arrays["trace"].max() <= 0
