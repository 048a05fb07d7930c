"""Signal estimators, PatternNet and PatternAttribution hold to their theory (S2; TRUTHS 4)."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, in_memory, no_input
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.pattern.pattern_toys import fitted
from workers.engine.model.model import Model
from workers.engine.model.resources import Items

ESTIMATORS = ("two_component", "linear", "filter", "identity")


# The toy of section 2 -------------------------------------------------------------------------------------------------


def toy(angle: float = 45.0, mean: float = 0.0, bias: float = 0.0) -> tuple[Model, Tensor]:
    """x = a_s y + a_d e with a_s = (1, 0) and a_d at an angle; the model reads y off it.

    y and e are independent in this very sample: every y occurs with every e.
    """
    a_d = torch.tensor([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * np.sqrt(2)
    linear = nn.Linear(2, 1)
    linear.weight.data = torch.stack([torch.ones(()), -a_d[0] / a_d[1]])[None].float()
    linear.bias.data = torch.tensor([float(bias)])
    model = model_of(linear, (2,), dtype=torch.float64, output="value")
    y = (torch.arange(400, dtype=torch.float64) + 0.5) / 200 - 1
    e = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    e = (e - e.mean()) / e.std(correction=0) + mean
    x = y[:, None, None] * torch.tensor([1.0, 0.0]).double() + e[None, :, None] * a_d.double()
    return model, x.reshape(-1, 2)[torch.randperm(400 * 40, generator=torch.Generator().manual_seed(1))]


@pytest.mark.parametrize("estimator", ["two_component", "linear"])
@pytest.mark.parametrize(("angle", "mean", "bias"), [
    pytest.param(45, 0, 0, marks=pytest.mark.slow), pytest.param(45, 0.5, 0, marks=pytest.mark.slow),
    pytest.param(120, -2, 0, marks=pytest.mark.slow), (20, 1, 0.4),
])  # fmt: skip
def test_the_pattern_is_the_signals_direction_whatever_the_distractor(
    estimator: str, angle: float, mean: float, bias: float
) -> None:
    model, data = toy(angle, mean, bias)
    patterns = fitted(model, data, estimator=estimator)
    assert len(patterns) == (2 if estimator == "two_component" else 1)
    for pattern in patterns.values():
        assert pattern.flatten().tolist() == pytest.approx([1, 0], abs=1e-5)  # its weights are float32


@pytest.mark.slow
def test_equation_8_as_printed_is_biased_by_the_mean_of_the_distractor() -> None:
    """a+ = (1 + 1.5 mu, 1.5 mu), as E+[y] / E+[y^2] = 1.5."""
    for mean in (0.0, 0.5):
        pattern = fitted(*toy(mean=mean), centred=False)["linear.positive"]
        assert pattern.flatten().tolist() == pytest.approx([1 + 1.5 * mean, 1.5 * mean], abs=1e-4)


@pytest.mark.parametrize(
    ("estimator", "signal", "share"),
    [
        ("linear", (1, 0, 0, 0), (1, 0, 0, 0)),
        ("filter", (0.5, 0, -0.5, 0), (0.5, 0, 0.5, 0)),
        ("identity", (1, 1, 0, 1), (1, 1, 0, -1)),
    ],
)
def test_signal_and_attribution_of_the_toy(estimator: str, signal: tuple[float, ...], share: tuple[float, ...]) -> None:
    """Each value as (of y, of e) for both inputs: S_a = (y, 0), S_w = (y, -y) / 2, S_x = x; the shares are w S."""
    model, data = toy()
    x, y, e = data[:3], data[:3, 0] - data[:3, 1], data[:3, 1]
    batch = batch_of(x, resources=in_memory(data))
    for name, expected in (("pattern_net", signal), ("pattern_attribution", share)):
        found = attribution(model, batch, name=name, patterns={"name": "pattern_fit", "estimator": estimator})
        ours = torch.stack([expected[0] * y + expected[1] * e, expected[2] * y + expected[3] * e], 1)
        torch.testing.assert_close(found, ours, rtol=1e-5, atol=1e-5)


# The fit --------------------------------------------------------------------------------------------------------------


class Layers(nn.Module):
    """Layers of every kind that patterns are fitted to."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.grouped = nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2)
        self.conv, self.skip = nn.Conv2d(6, 4, (3, 2), dilation=(1, 2), padding=(1, 1)), nn.Conv2d(6, 4, 1)
        self.up, self.fc = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, groups=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(x).relu()
        x = (self.conv(x) - self.skip(x)).relu()
        output: Tensor = self.fc(self.up(x).relu().mean((2, 3)))
        return output


def two_pass(reads: Tensor, y: Tensor, weight: Tensor, centred: bool, positive: bool) -> Tensor:
    """Equation 8 for one unit from all samples at once: reads (n, inputs), y (n,)."""
    on = y > 0 if positive else y <= 0
    if not on.any():
        return torch.zeros_like(reads[0])
    if centred:
        reads, y = reads - reads.mean(0), y - y.mean()
    x, y_on = reads[on], y[on]
    numerator = (x * y_on[:, None]).mean(0) - x.mean(0) * y.mean()
    return numerator / (weight.flatten() @ numerator)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_the_streaming_fit_is_the_fit_in_two_passes(sign: str, centred: bool) -> None:
    module, data = Layers().double(), 0.5 + inputs(37, shape=(2, 9, 8)).double()
    model = model_of(Layers(), (2, 9, 8), dtype=torch.float64)
    found = fitted(model, data, centred=centred)
    with torch.no_grad():
        first = module.grouped(data)
        second = module.conv(first.relu())
        patches = nn.functional.unfold(data, 3, padding=1, stride=2)  # (n, 18, places)
        later = nn.functional.unfold(first.relu(), (3, 2), dilation=(1, 2), padding=(1, 1))
        pooled = module.up((second - module.skip(first.relu())).relu()).relu().mean((2, 3))
        scores = module.fc(pooled)
    for unit in range(6):
        half = patches[:, 9 * (unit // 3) : 9 * (unit // 3) + 9].transpose(1, 2).reshape(-1, 9)
        ours = two_pass(
            half, first[:, unit].flatten(), module.grouped.weight[unit].detach(), centred, sign == "positive"
        )
        torch.testing.assert_close(found[f"grouped.{sign}"][unit].flatten(), ours, rtol=1e-10, atol=1e-12)
    for unit in range(4):
        reads = later.transpose(1, 2).reshape(-1, 36)
        ours = two_pass(
            reads, second[:, unit].flatten(), module.conv.weight[unit].detach(), centred, sign == "positive"
        )
        torch.testing.assert_close(found[f"conv.{sign}"][unit].flatten(), ours, rtol=1e-10, atol=1e-12)
    for unit in range(3):
        if (scores[:, unit] > 0).any() and (scores[:, unit] <= 0).any():
            ours = two_pass(pooled, scores[:, unit], module.fc.weight[unit].detach(), centred, sign == "positive")
            torch.testing.assert_close(found[f"fc.{sign}"][unit], ours, rtol=1e-9, atol=1e-11)


def test_the_patterns_of_a_difference_and_of_a_transposed_layer() -> None:
    module, data = Layers().double(), inputs(20, shape=(2, 9, 8)).double()
    model = model_of(Layers(), (2, 9, 8), dtype=torch.float64)
    found = fitted(model, data, estimator="linear")
    with torch.no_grad():
        hidden = module.grouped(data).relu()
        parts = [module.conv(hidden), module.skip(hidden)]
        below = (parts[0] - parts[1]).relu()
        above = module.up(below)
    y = (parts[0] - parts[1]).transpose(0, 1).flatten(1)
    name = next(key for key in found if key.startswith("sub"))
    for i, part in enumerate(parts):
        x = part.transpose(0, 1).flatten(1)
        cov = ((x - x.mean(1, keepdim=True)) * (y - y.mean(1, keepdim=True))).mean(1)
        torch.testing.assert_close(found[name][i], cov / y.var(1, correction=0), rtol=1e-10, atol=1e-12)
    spread = above - above.mean((0, 2, 3), keepdim=True)
    cov = torch.zeros(4, 2, 3, 3, dtype=torch.float64)
    places = np.ndindex(4, 2, 3, 3, *below.shape[2:])
    for i, o, r, c, p, q in places:  # x of channel i at (p, q) reaches y at (2 p + r - 1, 2 q + c - 1)
        down, right = 2 * p + r - 1, 2 * q + c - 1
        if 0 <= down < above.shape[2] and 0 <= right < above.shape[3]:
            cov[i, o, r, c] += (below[:, i, p, q] * spread[:, 2 * (i // 2) + o, down, right]).sum()
    along = (cov * module.up.weight.detach()).view(2, 2, 2, 3, 3).sum((1, 3, 4)).repeat_interleave(2, 0)
    torch.testing.assert_close(found["up.pattern"], cov / along[:, :, None, None], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", ["two_component", "linear", "filter"])
def test_a_signal_estimate_gives_back_the_output(estimator: str) -> None:
    """w . a = 1, whichever estimator."""
    model = model_of(net(), (1, 8, 8), dtype=torch.float64)
    for name, pattern in fitted(model, inputs(64).double(), estimator=estimator).items():
        if name.startswith("add"):
            along = pattern.sum(0)
        else:
            weight = model.layer(name.rpartition(".")[0]).args[1]
            along = (weight * pattern).flatten(1).sum(1)
        off = along == 0  # of a unit that this data never switches so
        assert off.double().mean() < 0.5
        torch.testing.assert_close(along[~off], torch.ones_like(along[~off]), rtol=1e-9, atol=1e-9)


def test_a_unit_that_never_varies_has_no_pattern() -> None:
    linear = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    model, data = model_of(linear, (3,), output="value"), torch.ones(5, 3)
    assert all(not pattern.any() for pattern in fitted(model, data).values())


@dataclass
class Watched:
    """A dataset that is made while it is read, and knows how many of its parts are still held."""

    count: int = 400
    digest: str = "sha256:" + "e" * 64
    classes: tuple[str, ...] = ()
    categories: tuple[int, ...] = ()
    held: int = 0

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        parts: list[weakref.ref[Tensor]] = []
        for first in range(start, self.count, size):
            x = inputs(size, seed=first)
            parts.append(weakref.ref(x))
            yield Items(first, x)
            del x
            self.held = max(self.held, sum(part() is not None for part in parts))


@pytest.mark.parametrize("name", ["pattern_fit", "signal_quality", "activation_rates"])
def test_no_more_than_a_part_of_the_dataset_is_held(name: str) -> None:
    model, data = model_of(net(), (1, 8, 8)), Watched()
    batch = no_input(model, InMemory({"training": data}))  # type: ignore[dict-item]  # as good a dataset
    explain(model, batch, name=name)
    assert data.held <= 2
