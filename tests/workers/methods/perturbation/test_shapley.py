"""kernel_shap and shapley_sampling: exact on small games, honest about their error on larger ones."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from captum.attr import KernelShap, ShapleyValues, ShapleyValueSampling
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model
from workers.engine.perturbation.coalitions import Prefixes, every, orders, pairs
from workers.engine.perturbation.segments import grid
from workers.engine.perturbation.surrogate import mean_entry, shapley_regression, shapley_values
from workers.explanation.errors import InvalidParameter
from workers.explanation.target import ValueTarget

NAMES = ["kernel_shap", "shapley_sampling"]
GRID = {"segments": "grid", "count": 9}  # nine players are too many for the few samples asked for here: they are drawn
DRAWN = {"kernel_shap": {**GRID, "samples": 200}, "shapley_sampling": {**GRID, "samples": 20}}


class Quartet(nn.Module):
    """A game of four players that is far from a sum."""

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = x.unbind(1)
        return (a * b * c + torch.relu(a - d) * b + torch.sin(3 * c + d) + 2 * d)[:, None]


def brute(module: nn.Module, x: Tensor, fill: Tensor) -> Tensor:
    """The Shapley values of the four numbers of x, over all 24 orders."""
    total = torch.zeros(4, dtype=x.dtype)
    for order in permutations(range(4)):
        shown = fill.clone()
        for player in order:
            before = module(shown[None])[0, 0]
            shown[player] = x[player]
            total[player] += module(shown[None])[0, 0] - before
    return total / 24


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fill", [0.0, -0.7])
def test_four_players_get_their_exact_shapley_values(name: str, fill: float) -> None:
    x = torch.tensor([[1.0, -2.0, 0.5, 1.5], [0.3, 0.9, -1.1, 2.0]], dtype=torch.float64)
    model = model_of(Quartet(), (4,), dtype=torch.float64, output="value")
    result = explain(model, batch_of(x, ValueTarget()), name=name, fill="constant", value=fill)
    expected = torch.stack([brute(Quartet(), row, torch.full_like(row, fill)) for row in x])
    torch.testing.assert_close(result.arrays["attribution"], expected, rtol=1e-10, atol=1e-12)
    assert result.arrays["standard_error"].abs().max() == 0
    assert [info["coalitions"] for info in result.info] == [16, 16]


@pytest.mark.parametrize("name", NAMES)
def test_small_games_equal_captums(name: str) -> None:
    module, x, labels = net(), inputs(2), torch.from_numpy(grid((8, 8), 4))
    theirs = ShapleyValues(module).attribute(x, target=1, feature_mask=labels.view(1, 1, 8, 8))
    ours = attribution(model_of(module, (1, 8, 8)), batch_of(x, 1), name=name, segments="grid", count=4)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_shapley_sampling_equals_captums_on_the_same_orders() -> None:
    module, x, labels = net(), inputs(1), torch.from_numpy(grid((8, 8), 9))
    drawn = orders(9, 6, torch.Generator().manual_seed(4))
    assert isinstance(drawn, Prefixes)
    captum = ShapleyValueSampling(module)
    captum.permutation_generator = lambda *_: iter(drawn.ranks.argsort(1).tolist())
    theirs = captum.attribute(x, target=1, feature_mask=labels.view(1, 1, 8, 8), n_samples=6)
    ours = attribution(
        model_of(module, (1, 8, 8)), batch_of(x, 1, seeds=[4]), name="shapley_sampling", **GRID, samples=6
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_captums_kernel_shap_comes_to_the_same_values() -> None:
    module, x, labels = net(), inputs(1), torch.from_numpy(grid((8, 8), 9))
    torch.manual_seed(0)
    theirs = KernelShap(module).attribute(x, target=1, feature_mask=labels.view(1, 1, 8, 8), n_samples=3000)
    exact = attribution(model_of(module, (1, 8, 8)), batch_of(x, 1), name="kernel_shap", **GRID, samples=512)
    assert float((exact - theirs).abs().max() / exact.abs().max()) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_drawn_values_lie_about_the_exact_ones_as_far_as_they_say(name: str) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1)
    (exact,) = attribution(model, batch_of(x, 1), name="kernel_shap", **GRID, samples=512)
    many = batch_of(x.repeat(60, 1, 1, 1), 1, seeds=list(range(60)))
    result = explain(model, many, name=name, **DRAWN[name])
    values, errors = result.arrays["attribution"], result.arrays["standard_error"]
    spread = values.std(0)
    assert float((values.mean(0) - exact).abs().max()) < 5 * float(spread.max()) / 60**0.5
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(spread.square().mean().sqrt()), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "few"), [("kernel_shap", 100), ("shapley_sampling", 10)])
def test_the_error_falls_with_the_root_of_the_samples(name: str, few: int) -> None:
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(1).repeat(24, 1, 1, 1), 1, seeds=list(range(24)))
    spread = [
        attribution(model, batch, name=name, segments="grid", count=16, samples=samples).std(0).mean()
        for samples in (few, 9 * few)
    ]
    assert float(spread[0] / spread[1]) == pytest.approx(3, rel=0.3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fill", ["zero", "mean", "blur"])
def test_the_values_sum_to_what_showing_everything_adds(name: str, fill: str) -> None:
    """Whatever was drawn: here in float64, with few samples."""
    model, x = model_of(net(), (1, 8, 8), dtype=torch.float64), inputs(2).double()
    result = explain(model, batch_of(x, 1, seeds=[3, 4]), name=name, fill=fill, **DRAWN[name])
    for row, (check,) in enumerate(result.checks):
        of_segment = {
            int(label): float(value)
            for label, value in zip(
                result.arrays["segments"][row].flatten(), result.arrays["attribution"][row].flatten(), strict=True
            )
        }
        assert sum(of_segment.values()) == pytest.approx(check.expected, rel=1e-6)
        assert check.gap < 1e-10
    if fill == "zero":
        empty = model.forward(torch.zeros_like(x))[:, 1]
        expected = (model.forward(x)[:, 1] - empty).tolist()
        assert [check.expected for (check,) in result.checks] == pytest.approx(expected)


def test_the_regression_over_all_coalitions_is_the_shapley_value() -> None:
    for players in range(1, 8):
        scores = np.random.default_rng(players).normal(size=2**players)
        regression = shapley_regression(every(players), scores)
        np.testing.assert_allclose(regression.values, shapley_values(scores).values, rtol=1e-9, atol=1e-11)
        assert regression.values.sum() == pytest.approx(scores[-1] - scores[0])


def test_prefixes_are_those_of_their_orders() -> None:
    drawn = orders(7, 6, torch.Generator().manual_seed(0))
    assert isinstance(drawn, Prefixes)
    expected = [torch.zeros(7, dtype=torch.bool), torch.ones(7, dtype=torch.bool)]
    for order in drawn.ranks.argsort(1):
        for entered in range(1, 7):
            shown = torch.zeros(7, dtype=torch.bool)
            shown[order[:entered]] = True
            expected.append(shown)
    assert len(drawn) == len(expected)
    assert torch.equal(drawn[torch.arange(len(drawn))], torch.stack(expected))
    assert torch.equal(drawn.ranks[0] + drawn.ranks[1], torch.full((7,), 6))


def test_orders_of_a_linear_game_are_all_alike() -> None:
    drawn = orders(7, 4, torch.Generator().manual_seed(0))
    worth = torch.arange(1.0, 8.0)
    scores = (drawn[torch.arange(len(drawn))] * worth).sum(1).double().numpy()
    found = mean_entry(drawn, scores)
    np.testing.assert_allclose(found.values, worth.numpy())
    np.testing.assert_allclose(found.errors, 0, atol=1e-12)


def test_pairs_are_complements_of_sizes_drawn_from_the_shapley_kernel() -> None:
    drawn = pairs(20, 20000, torch.Generator().manual_seed(0))
    assert not drawn[0].any()
    assert drawn[1].all()
    assert torch.equal(drawn[2::2], ~drawn[3::2])
    sizes = np.arange(1, 20)
    share = 1 / (sizes * (20 - sizes))
    seen = np.bincount(drawn[2:].sum(1).numpy(), minlength=20)[1:20] / (len(drawn) - 2)
    np.testing.assert_allclose(seen, share / share.sum(), atol=0.012)
    assert float(drawn[2:].double().mean(0).std()) < 0.01  # no player is drawn more than another


def test_too_few_samples_are_refused() -> None:
    model = model_of(nn.Linear(30, 2), (30,))
    with pytest.raises(InvalidParameter, match="at least 120"):
        explain(model, batch_of(torch.randn(1, 30), 0), name="kernel_shap", samples=100)


@pytest.mark.parametrize("name", NAMES)
def test_rows_with_other_numbers_of_segments_do_not_disturb_each_other(name: str) -> None:
    """Superpixels: one row's game is small enough to be exact, the other's is drawn."""
    model: Model = model_of(net(), (1, 8, 8), image=True)
    flat, rich = torch.full((1, 1, 8, 8), -1.0), inputs(1)
    flat[..., 4:] = 1
    both = torch.cat([flat, rich])
    few = {"name": name, "segments": "slic", "count": 6, "samples": 200 if name == "kernel_shap" else 20}
    together = explain(model, batch_of(both, 1, seeds=[1, 2]), **few)
    alone = [explain(model, batch_of(both[i : i + 1], 1, seeds=[i + 1]), **few) for i in range(2)]
    torch.testing.assert_close(together.arrays["attribution"], torch.cat([a.arrays["attribution"] for a in alone]))
    assert [info["coalitions"] for info in together.info] == [a.info[0]["coalitions"] for a in alone]
    assert together.info[0]["coalitions"] != together.info[1]["coalitions"]
