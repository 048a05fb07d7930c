"""expected_gradients: complete in expectation, and Captum's GradientShap but for chance."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from captum.attr import GradientShap
from torch import Tensor, nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.gradient.test_smooth_grad import Squares
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Result

DATA = inputs(9, seed=5)


def expected(x: Tensor, target: int = 1, seeds: list[int] | None = None, **method: object) -> Result:
    batch = batch_of(x, target, seeds=seeds or [3] * len(x), resources=in_memory(DATA.to(x.dtype)))
    model = model_of(net(), (1, 8, 8), dtype=x.dtype, low=-1.0, high=2.0)
    return explain(model, batch, name="expected_gradients", **method)


@pytest.mark.parametrize(("field", "value"), [("dataset", "training"), ("noise", "uniform"), ("noise", "gaussian")])
def test_it_is_complete_in_expectation(field: str, value: str) -> None:
    result = expected(inputs(3).double(), samples=600, **{field: value})  # type: ignore[arg-type]  # of the method
    for (check,), info in zip(result.checks, result.info, strict=True):
        assert 0 < info["completeness_error"] < inf
        assert abs(check.observed - check.expected) < 4 * info["completeness_error"]


def test_what_it_sums_to_is_the_score_less_that_of_the_datasets_items() -> None:
    x = inputs(1).double()
    module = net().double().requires_grad_(False)
    scores = module(DATA.double())[:, 1]
    result = expected(x, samples=4000, dataset="training")
    due = float(module(x)[0, 1] - scores.mean())
    assert result.checks[0][0].expected == pytest.approx(due, abs=4 * float(scores.std()) / 4000**0.5)


@pytest.mark.parametrize(("noise_of", "width"), [("range", 3.0), ("std", 0.5)])
def test_gaussian_noise_is_a_share_of_the_range_or_of_the_inputs_own_deviation(noise_of: str, width: float) -> None:
    """Of a sum of n squares the score less that of the noisy baselines is -n sigma^2 in expectation."""
    x = torch.tensor([[0.5, -0.5] * 20]).double()  # of the deviation .5
    model = model_of(Squares(), (40,), dtype=torch.float64, output="value", low=-1.0, high=2.0)
    asked = {"noise": "gaussian", "noise_of": noise_of, "width": 0.4, "samples": 2000}
    (check,) = explain(model, batch_of(x, 0, seeds=[3]), name="expected_gradients", **asked).checks[0]
    sigma = 0.4 * width
    error = (2 * 40 * sigma**4 + 4 * 10 * sigma**2) ** 0.5 / 2000**0.5  # of the mean of |x + e|^2, |x|^2 = 10
    assert check.expected == pytest.approx(-40 * sigma**2, abs=5 * error)


def test_it_equals_captums_but_for_chance() -> None:
    x, samples = inputs(1), 3000
    torch.manual_seed(0)
    np.random.seed(0)
    theirs = GradientShap(net()).attribute(x, baselines=DATA, n_samples=samples, stdevs=0.0, target=1)
    arrays = expected(x, samples=samples, dataset="training").arrays
    distance = (arrays["attribution"] - theirs.detach()) / (2**0.5 * arrays["standard_error"])
    assert float(distance.abs().max()) < 5
    assert 0.7 < float(distance.square().mean()) < 1.4


def test_of_a_linear_model_every_sample_is_exact() -> None:
    torch.manual_seed(0)
    module, data, x = nn.Linear(4, 3), torch.randn(50, 4), torch.randn(2, 4)
    model = model_of(module, (4,))
    one = torch.full((1, 4), 0.5)
    batch = batch_of(x, 2, seeds=[1, 2], resources=in_memory(one))
    arrays = explain(model, batch, name="expected_gradients", dataset="training", samples=7).arrays
    torch.testing.assert_close(arrays["attribution"], module.weight[2].detach() * (x - one))
    assert float(arrays["standard_error"].max()) < 1e-3
    spread = batch_of(x, 2, seeds=[1, 2], resources=in_memory(data))
    arrays = explain(model, spread, name="expected_gradients", dataset="training", samples=2000).arrays
    error = module.weight[2].detach().abs() * data.std(0) / 2000**0.5
    torch.testing.assert_close(arrays["standard_error"], error.expand(2, -1), rtol=0.1, atol=0)


def test_rows_draw_from_their_own_seeds_whatever_their_company() -> None:
    x = inputs(1).repeat(3, 1, 1, 1)
    together = expected(x, seeds=[1, 2, 1], dataset="training", samples=20).arrays["attribution"]
    torch.testing.assert_close(together[0], together[2])
    assert not torch.allclose(together[0], together[1])
    alone = expected(x[:1], seeds=[2], dataset="training", samples=20).arrays["attribution"]
    torch.testing.assert_close(alone[0], together[1], rtol=1e-4, atol=1e-6)


def test_its_stated_error_is_that_of_repeated_runs() -> None:
    x = inputs(1).repeat(40, 1, 1, 1)
    arrays = expected(x, seeds=list(range(40)), samples=20, noise="gaussian").arrays
    seen = arrays["attribution"].std(0).mean()
    assert float(arrays["standard_error"].mean()) == pytest.approx(float(seen), rel=0.15)


def test_without_a_range_on_the_card_noise_spans_the_inputs_own() -> None:
    x = torch.full((1, 4), 3.0)
    x[0, 0] = -1
    module = nn.Linear(4, 1)
    values = attribution(model_of(module, (4,)), batch_of(x, 0), name="expected_gradients", samples=4000)
    torch.testing.assert_close(values, module.weight.detach() * (x - 1), rtol=0.1, atol=0.02)


def test_a_dataset_that_is_empty_or_unknown_is_told() -> None:
    batch = batch_of(inputs(1), 1, resources=in_memory(DATA[:0]))
    for name, reason in (("training", "no items"), ("other", "no dataset")):
        with pytest.raises(InvalidParameter, match=reason):
            explain(model_of(net(), (1, 8, 8)), batch, name="expected_gradients", dataset=name)
