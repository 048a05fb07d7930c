"""Priors that are models: a density's gradient and a denoiser's pull, where both are known in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tests.resources import InMemory, in_memory
from tests.toys import model_of, net
from tests.workers.methods.synthesis.test_prior_table import SLOW, linear, made
from workers.engine.model.function import Function
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.names.references import with_models
from workers.explanation.target import ClassTarget, ValueTarget
from workers.methods.catalogue import parse_method

W = [1.0, -2.0, 0.5]
MEAN = torch.tensor([0.3, 1.0, -2.0], dtype=torch.float64)


class Rbm(nn.Module):
    """log p(x) of a restricted Boltzmann machine with Gaussian visible units, but for a constant."""

    def __init__(self, hidden: int, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.b = nn.Parameter(MEAN.float())
        self.c = nn.Parameter(torch.linspace(-1, 1, max(hidden, 1)))
        drawn = torch.randn(3, max(hidden, 1), generator=torch.Generator().manual_seed(0))
        self.w = nn.Parameter(drawn if hidden else 0 * drawn)

    def forward(self, x: Tensor) -> Tensor:
        near = -((x - self.b) / self.sigma).square().sum(1, keepdim=True) / 2
        return near + softplus(self.c + x / self.sigma**2 @ self.w).sum(1, keepdim=True)


class Best(nn.Module):
    """The best denoiser of data N(mean, spread^2) with noise N(0, noise^2) on top."""

    def __init__(self, spread: float, noise: float, mean: Tensor = MEAN) -> None:
        super().__init__()
        self.kept = spread**2 / (spread**2 + noise**2)
        self.mean = nn.Parameter(mean.float())

    def forward(self, x: Tensor) -> Tensor:
        return self.mean + self.kept * (x - self.mean)


def served(**modules: tuple[nn.Module, int]) -> InMemory:
    """Resources in which these models are served, each with the size of its input."""
    resources = in_memory(torch.zeros(1, 3))
    for name, (module, size) in modules.items():
        resources.models[name] = model_of(module, (size,), output="value", dtype=torch.float64)
    return resources


def ascended(resources: InMemory, prior: dict[str, Any], **fields: Any) -> Tensor:
    found = made(linear(W), ValueTarget(), resources, priors=[prior], **SLOW, **fields)
    values: Tensor = found.arrays["synthesis"][0, 0]
    return values


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_a_machine_without_weights_is_a_gaussian(weight: float) -> None:
    """x* = mu + sigma^2 w / weight."""
    found = ascended(served(rbm=(Rbm(0, 0.7), 3)), {"kind": "density", "model": "rbm", "weight": weight})
    torch.testing.assert_close(found, MEAN + 0.49 * torch.tensor(W).double() / weight, rtol=0, atol=0.02)


def test_a_linear_unit_stops_where_the_density_falls_as_it_rises() -> None:
    """The gradient of log p at x* is -w, hidden units and all."""
    found = ascended(served(rbm=(Rbm(4, 1.0), 3)), {"kind": "density", "model": "rbm"}).requires_grad_()
    slope = torch.autograd.grad(Rbm(4, 1.0).double()(found[None]).sum(), found)[0]
    torch.testing.assert_close(slope, -torch.tensor(W).double(), rtol=0, atol=0.05)


def test_the_best_denoiser_pulls_as_the_density_of_data_and_noise() -> None:
    """(R(h) - h) / noise^2 = -(h - mu) / (s^2 + noise^2), so that x* = mu + (s^2 + noise^2) w."""
    prior = {"kind": "denoiser", "model": "dae", "noise": 0.4}
    found = ascended(served(dae=(Best(0.6, 0.4), 3)), prior)
    torch.testing.assert_close(found, MEAN + (0.36 + 0.16) * torch.tensor(W).double(), rtol=0, atol=0.02)


def test_in_the_space_of_codes_it_is_the_code_that_is_pulled() -> None:
    """h* = mu + (s^2 + noise^2) G^T w."""
    generator = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        generator.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.0, -1.0]]))
    mean = torch.tensor([0.5, -0.5])
    resources = served(dae=(Best(0.6, 0.4, mean), 2), maker=(generator, 2))
    found = ascended(resources, {"kind": "denoiser", "model": "dae", "noise": 0.4}, generator="maker")
    code = mean.double() + 0.52 * generator.weight.detach().double().T @ torch.tensor(W).double()
    torch.testing.assert_close(found, generator.weight.detach().double() @ code, rtol=0, atol=0.03)


def test_the_sampler_of_flat_activations_draws_from_the_density() -> None:
    """With noise and a denoiser alone h walks by chance around the mean: the variance is that of the chain.

    A step is h + length * pull / size, so that what remains is checked by the mean, which no step size moves.
    """
    model = model_of(nn.Sequential(Zero()), (3,), output="value", dtype=torch.float64)
    priors = [{"kind": "denoiser", "model": "dae", "noise": 0.4}, {"kind": "noise", "width": 0.02}]
    asked = {"priors": priors, "count": 60, "steps": 400, "rate": 0.02}
    found = made(model, ValueTarget(), served(dae=(Best(0.6, 0.4), 3)), **asked).arrays["synthesis"][0]
    torch.testing.assert_close(found.mean(0), MEAN, rtol=0, atol=0.15)
    assert (found.std(0) > 0.05).all()


class Zero(nn.Module):
    """Says the same of every input."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 0).sum(1)


@pytest.mark.parametrize(
    ("kind", "module", "size", "why"),
    [
        ("density", Rbm(2, 1.0), 3, "takes the shape"),
        ("density", nn.Linear(4, 2), 4, "returns one number"),
        ("denoiser", nn.Linear(4, 2), 4, r"returns the shape \[4\]"),
    ],
)
def test_a_model_that_does_not_fit_is_named(kind: str, module: nn.Module, size: int, why: str) -> None:
    resources = served(second=(module, size))
    model = model_of(nn.Linear(4, 1), (4,), output="value", dtype=torch.float64)
    with pytest.raises(InvalidParameter, match=why) as error:
        made(model, ValueTarget(), resources, priors=[{"kind": "clip"}, {"kind": kind, "model": "second"}])
    assert error.value.pointer == "/method/priors/1/model"


@pytest.mark.parametrize(("mean", "fits"), [(0.5, True), (0.2, False)])
def test_one_of_pictures_in_other_numbers_is_refused(mean: float, fits: bool) -> None:
    picture = InputSpec(kind="image", shape=(1, 8, 8), image=ImageSpec(mode="L", mean=(mean,), std=(0.5,)))
    whole = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    resources = in_memory(torch.zeros(1, 3))
    resources.models["second"] = model_of(whole, (1, 8, 8), output="value", input=picture)
    model = model_of(net(), (1, 8, 8), image=True)
    asked: dict[str, Any] = {"steps": 1, "priors": [{"kind": "density", "model": "second"}]}
    if fits:
        made(model, ClassTarget(index=1), resources, **asked)
        return
    with pytest.raises(InvalidParameter, match=r"toy takes pictures with mode L, scale 1.0, mean \[0.2\]") as error:
        made(model, ClassTarget(index=1), resources, **asked)
    assert error.value.pointer == "/method/priors/0/model"


@pytest.mark.parametrize("asked", [{"priors": [{"kind": "density", "model": "far"}]}, {"generator": "far"}])
def test_a_model_on_another_server_has_no_gradients(asked: dict[str, Any]) -> None:
    model, resources = linear(W), served()
    far = Function(model.card.model_copy(update={"name": "far"}), model.device, model.dtype, 8)
    resources.models["far"] = far  # type: ignore[assignment]  # what a remote model is
    with pytest.raises(InvalidParameter, match="far is computed on another server"):
        made(model, ValueTarget(), resources, **asked)


def test_the_models_of_priors_are_part_of_an_id() -> None:
    method = parse_method({"name": "activation_maximization", "priors": [{"kind": "density", "model": "rbm"}]})
    seen: list[tuple[str, str]] = []

    def digest(name: str, pointer: str) -> str:
        seen.append((name, pointer))
        return "sha256:0"

    with_models(method, digest)
    assert seen == [("rbm", "/method/priors/0/model")]


def test_a_second_model_costs_a_pass_a_step() -> None:
    from workers.methods.extent import Extent

    asked = {"name": "activation_maximization", "steps": 10, "count": 2}
    plain = parse_method({**asked, "priors": []}).passes(Extent())
    assert parse_method({**asked, "priors": [{"kind": "density", "model": "rbm"}]}).passes(Extent()) == plain + 20
