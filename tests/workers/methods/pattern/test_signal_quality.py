"""The quality of signal estimators holds to its theory (S2 eq. 1, 4, 8; section 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.references import SHARED, needs_references
from tests.resources import InMemory, InMemoryDataset, in_memory, no_input
from tests.toys import inputs, model_of
from tests.workers.methods.gradient.gradient_runs import explain
from tests.workers.methods.pattern.pattern_toys import fitted
from tests.workers.methods.pattern.test_pattern_walks import mlp
from tests.workers.methods.pattern.test_patterns import Layers, toy
from workers.engine.model.model import Model
from workers.explanation.result import Result
from workers.methods.catalogue import parse_method

TWO = {"estimator": "two_component"}
FORMS: list[dict[str, Any]] = [{"estimator": "linear"}, {**TWO, "centred": True}, {**TWO, "centred": False}]


def quality(
    model: Model, data: Tensor, other: Tensor | None = None, third: Tensor | None = None, **parameters: object
) -> Result:
    """signal_quality of patterns fitted on `data`: v optimised on `other`, rho read on `third`, where given."""
    given = {"training": data, "other": data if other is None else other, "third": third}
    resources = InMemory({name: InMemoryDataset(x) for name, x in given.items() if x is not None})
    return explain(
        model, no_input(model, resources), name="signal_quality", dataset="other",
        read_on=None if third is None else "third", patterns={"name": "pattern_fit", **parameters},
    )  # fmt: skip


@pytest.mark.slow
def test_the_quality_of_the_toys_estimators() -> None:
    model, data = toy()
    for estimator, rho in (("linear", 1), ("two_component", 1), ("filter", 1 - 1 / np.sqrt(13)), ("identity", 1)):
        found = quality(model, data, estimator=estimator)
        assert float(found.arrays["scores"][0, 0]) == pytest.approx(rho, abs=2e-3 if rho == 1 else 1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_in_the_data_that_patterns_were_fitted_to(form: dict[str, Any]) -> None:
    """Equations 4 and 8 make cov[y, d] = 0; of two components with S = a y as printed, and S = a (y - E[y]) centred."""
    for module, shape in ((Layers(), (2, 9, 8)), (mlp(), (6,))):
        model = model_of(module, shape, dtype=torch.float64)
        data = 0.7 + inputs(60, seed=2, shape=shape).double()
        found = quality(model, data, **form)
        torch.testing.assert_close(found.arrays["scores"], torch.ones_like(found.arrays["scores"]), rtol=0, atol=1e-6)
        assert (found.arrays["random"] < 0.9).any()


def test_the_mean_that_centred_patterns_bring_is_that_of_the_output_without_its_bias() -> None:
    model, data = model_of(mlp(), (6,), dtype=torch.float64), 0.7 + inputs(50, shape=(6,)).double()
    for more, brought in (({}, True), ({"centred": False}, False), ({"estimator": "linear"}, False)):
        method = parse_method({"name": "pattern_fit", **more})
        arrays = method.explain(model, no_input(model, in_memory(data))).arrays
        assert ("0.mean" in arrays) is brought
        if brought:
            weight = model.layer("0").args[1]
            torch.testing.assert_close(arrays["0.mean"][0], data.mean(0) @ weight.T, rtol=1e-9, atol=1e-12)


def independent(dimensions: int, count: int, seed: int) -> tuple[Model, Tensor, dict[str, Tensor]]:
    """A unit that reads y = x_0, the rest of its inputs telling nothing of it; and its true pattern."""
    linear = nn.Linear(1 + dimensions, 1)
    linear.weight.data = torch.eye(1, 1 + dimensions)
    model = model_of(linear, (1 + dimensions,), dtype=torch.float64, output="value")
    x = torch.randn(count, 1 + dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return model, x, {"linear.pattern": torch.eye(1, 1 + dimensions)}


def test_read_where_v_is_found_rho_is_lowered_by_chance_and_on_a_third_set_it_is_not() -> None:
    """1 - sqrt(d / (N - 1)) of a residual that is independent of y: .493 for d = 64, N = 250."""
    own, third = list[float](), list[float]()
    for seed in range(8):
        model, x, pattern = independent(64, 250, seed)
        sets = {"other": x, "third": independent(64, 4000, 100 + seed)[1]}
        resources = InMemory({name: InMemoryDataset(each) for name, each in sets.items()})
        resources.states[id(model), parse_method("pattern_fit")] = pattern
        for read_on, into in ((None, own), ("third", third)):
            found = explain(model, no_input(model, resources), name="signal_quality", dataset="other", read_on=read_on)
            into.append(float(found.arrays["scores"][0, 0]))
    assert np.mean(own) == pytest.approx(1 - np.sqrt(64 / 249), abs=0.02)  # .493; the mean's own error is .01
    assert np.mean(third) == pytest.approx(1, abs=0.02)


def residuals(module: Layers, x: Tensor, patterns: dict[str, Tensor], unit: int, mean: float) -> tuple[Tensor, Tensor]:
    """x - S(x) (n, inputs) and y (n,) of a unit of the grouped layer, at every place."""
    patches = nn.functional.unfold(x, 3, padding=1, stride=2)
    read = patches[:, 9 * (unit // 3) : 9 * (unit // 3) + 9].transpose(1, 2).reshape(-1, 9)
    y = read @ module.grouped.weight[unit].detach().flatten()
    on = (module.grouped(x).detach()[:, unit].flatten() > 0)[:, None]
    up, down = (
        patterns.get(f"grouped.{sign}", patterns.get("grouped.pattern"))[unit].flatten()  # type: ignore[index]
        for sign in ("positive", "negative")
    )
    d = read - torch.where(on, up, down) * (y - mean)[:, None]
    return d - d.mean(0), y - y.mean()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("form", [*FORMS, {"estimator": "filter"}, {"estimator": "identity"}])
def test_the_closed_form_of_the_quality_is_the_regression(form: dict[str, Any], apart: bool) -> None:
    """v of every unit by least squares from the residuals themselves to y; read on the same data, or on others."""
    module, data = Layers().double(), inputs(40, shape=(2, 9, 8)).double()
    model = model_of(Layers(), (2, 9, 8), dtype=torch.float64)
    other, third = (shift + inputs(60, seed=seed, shape=(2, 9, 8)).double() for shift, seed in ((0.5, 8), (0.3, 9)))
    found = quality(model, data, other, third if apart else None, **form)
    patterns = fitted(model, data, **form)
    reads = nn.functional.unfold(data, 3, padding=1, stride=2)
    expected = []
    for unit in range(6):
        if form["estimator"] == "identity":
            expected.append(1.0)
            continue
        own = (
            reads[:, 9 * (unit // 3) : 9 * (unit // 3) + 9].mean((0, 2))
            @ module.grouped.weight[unit].detach().flatten()
        )
        mean = float(own) if form == FORMS[1] else 0.0
        d, y = residuals(module, other, patterns, unit, mean)
        v = torch.linalg.lstsq(d, y[:, None], driver="gelsd", rcond=1e-10).solution
        d, y = residuals(module, third if apart else other, patterns, unit, mean)
        expected.append(1 - float(torch.corrcoef(torch.stack([(d @ v)[:, 0], y]))[0, 1]))
    entry = found.info[0]["layers"][0]
    assert entry["layer"] == "grouped"
    assert entry["rho"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert found.info[0]["left_out"] == ["up"]


@pytest.mark.slow
@needs_references
def test_on_a_trained_net_fitted_patterns_beat_filters_beat_random_ones() -> None:
    """S2 Fig. 3's order in every hidden layer, on three sets of data as in its section 5."""
    stored = np.load(SHARED / "data" / "mnist.npz")
    images = torch.from_numpy(stored["x_train"][:1500, None]).float() / 255
    labels = torch.from_numpy(stored["y_train"][:1500]).long()
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(400, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(4):
        for part in torch.randperm(1500).chunk(30):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(module(images[part]), labels[part]))
            optimiser.step()
    model = model_of(module, (1, 28, 28))
    sets = images[:700], images[700:1250], images[1250:]
    rhos = {name: quality(model, *sets, estimator=name) for name in ("two_component", "filter")}
    two, one = (rhos[name].arrays["scores"][0] for name in ("two_component", "filter"))
    random = rhos["filter"].arrays["random"][0]
    assert (two > one).all()
    assert (one > random).all()
