"""prediction_difference: occlusion where there is one filling, and the Gaussian of patches in closed form."""

from __future__ import annotations

from math import log2

import pytest
import torch
from torch import Tensor, nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, InvalidTarget, MethodNotApplicable
from workers.explanation.result import Result
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.perturbation.prediction_difference.patch_gaussians import Gaussian, fit

DATA = inputs(30, seed=5)


def model() -> Model:
    return model_of(net(), (1, 8, 8))


def batch(x: Tensor, data: Tensor = DATA, seeds: list[int] | None = None) -> Batch:
    return batch_of(x, 1, seeds=seeds or [3] * len(x), resources=in_memory(data))


def difference(of: Batch, **method: object) -> Result:
    return explain(model(), of, name="prediction_difference", window=2, **method)


def correlated(count: int, size: int, seed: int = 0) -> Tensor:
    """Gaussian images whose neighbours are alike: white noise summed over 2 by 2 windows, wherever one looks."""
    white = torch.randn(count, 1, size + 1, size + 1, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return nn.functional.avg_pool2d(white, 2, stride=1) * 2 + 0.7


def covariance(side: int) -> Tensor:
    """That of a patch of those images, in closed form."""
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    apart = (places[:, None] - places).abs()
    return (1 - apart / 2).clamp(min=0).prod(2).double()


# Marginal: one value, then many --------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("stride", [1, 2])
def test_marginal_sampling_from_one_value_is_occlusion(score: str, stride: int) -> None:
    x, value = inputs(2), 0.3
    occlusion = attribution(
        model(), batch(x), name="occlusion", patch=2, stride=stride, fill="constant", value=value, score=score
    )
    constant = torch.full((4, 1, 8, 8), value)
    marginal = difference(batch(x, constant), score=score, stride=stride, dataset="training", sampling="marginal")
    torch.testing.assert_close(marginal.arrays["attribution"], occlusion, rtol=1e-4, atol=1e-6)
    assert float(marginal.arrays["standard_error"].max()) < 1e-6
    filled = difference(batch(x), score=score, stride=stride, fill="constant", value=value).arrays
    torch.testing.assert_close(filled["attribution"], occlusion, rtol=1e-4, atol=1e-6)
    assert "standard_error" not in filled


def test_the_weight_of_evidence_is_that_of_the_mean_probability_of_the_same_window_of_other_items() -> None:
    module, x, instances = net().requires_grad_(False), inputs(1), 50
    few = DATA[:3]
    found = difference(batch(x, few), dataset="training", sampling="marginal", samples=400, instances=instances)
    whole = float(module(x).softmax(1)[0, 1])
    expected = torch.zeros(8, 8)
    for top in range(0, 8, 2):
        for left in range(0, 8, 2):
            others = x.repeat(3, 1, 1, 1)
            others[:, :, top : top + 2, left : left + 2] = few[:, :, top : top + 2, left : left + 2]
            mean = float(module(others).softmax(1)[:, 1].mean())
            corrected = [(p * instances + 1) / (instances + 3) for p in (whole, mean)]
            odds = [log2(p / (1 - p)) for p in corrected]
            expected[top : top + 2, left : left + 2] = odds[0] - odds[1]
    distance = (found.arrays["attribution"][0, 0] - expected).abs()
    assert (distance <= 4.5 * found.arrays["standard_error"][0, 0] + 1e-6).all()
    assert float(distance.max()) < 0.1 * float(expected.abs().max())


def test_the_laplace_correction_keeps_a_certain_class_finite() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.constant_(module[1].weight, 0)  # type: ignore[arg-type]  # a linear layer
    module[1].bias.data = torch.tensor([500.0, -500, 0])
    values = attribution(model_of(module, (1, 8, 8)), batch_of(inputs(1), 0), name="prediction_difference")
    assert values.abs().max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["marginal", "conditional"])
def test_the_stated_error_is_that_of_repeated_runs_where_windows_overlap(sampling: str) -> None:
    """The windows of a row share their items, so their errors do not average out."""
    x = inputs(1).repeat(30, 1, 1, 1)
    found = difference(batch(x, seeds=list(range(30))), stride=1, dataset="training", sampling=sampling).arrays
    seen, stated = found["attribution"].std(0).mean(), found["standard_error"].mean()
    assert float(stated) == pytest.approx(float(seen), rel=0.2)


def test_a_row_draws_from_its_own_seed_whatever_its_company() -> None:
    x = inputs(3)
    for sampling in ("marginal", "conditional"):
        together = difference(batch(x, seeds=[1, 2, 3]), dataset="training", sampling=sampling).arrays["attribution"]
        alone = difference(batch(x[1:2], seeds=[2]), dataset="training", sampling=sampling).arrays["attribution"]
        torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


# Conditional: the Gaussian -------------------------------------------------------------------------------------------


def fitted(data: Tensor, side: int, padding: int) -> Gaussian:
    shape = data.shape[1:]
    module = nn.Sequential(nn.Flatten(), nn.Linear(shape.numel(), 2))
    of = batch_of(data[:1], 0, resources=in_memory(data))
    return fit(model_of(module, shape, dtype=torch.double), of, "training", side, padding)


def test_streamed_moments_are_those_of_all_patches_at_once() -> None:
    data = inputs(21, seed=2, shape=(2, 9, 7)).double() * 3 + 100
    found = fitted(data, 2, 1)
    patches = torch.stack([
        data[n, :, i : i + 4, j : j + 4].flatten(1) for n in range(21) for i in range(6) for j in range(4)
    ])  # fmt: skip
    for channel in range(2):
        torch.testing.assert_close(found.mean[channel], patches[:, channel].mean(0))
        torch.testing.assert_close(found.covariance[channel], torch.cov(patches[:, channel].T, correction=0))


def test_patches_of_gaussian_images_have_their_covariance() -> None:
    found = fitted(correlated(400, 12), 2, 1)
    torch.testing.assert_close(found.mean[0], torch.full((16,), 0.7, dtype=torch.double), rtol=0, atol=0.03)
    torch.testing.assert_close(found.covariance[0], covariance(4), rtol=0, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("window", "corner"), [((3, 4), (2, 3)), ((0, 6), (0, 4))], ids=["inside", "at the edge"])
def test_draws_have_the_conditional_mean_and_covariance(window: tuple[int, int], corner: tuple[int, int]) -> None:
    """The closed form of a Gaussian given its surroundings; at the edge the patch is moved inwards."""
    x, mean = correlated(1, 8, seed=9)[0], 0.7
    gaussian = Gaussian((4, 4), 1, torch.full((1, 16), mean, dtype=torch.double), covariance(4)[None])
    slices = tuple(slice(start, start + 2) for start in window)
    source = torch.Generator().manual_seed(0)
    draws = torch.stack([
        gaussian.sample(x, slices, torch.randn(1, 4, generator=source)).flatten() for _ in range(20000)
    ])  # fmt: skip
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    top, left = window[0] - corner[0], window[1] - corner[1]
    hidden[top : top + 2, left : left + 2] = True
    h, o = hidden.flatten().nonzero()[:, 0], (~hidden).flatten().nonzero()[:, 0]
    c = covariance(4)
    gain = torch.linalg.solve(c[o][:, o], c[o][:, h]).T
    patch = x[0, corner[0] : corner[0] + 4, corner[1] : corner[1] + 4].flatten()
    torch.testing.assert_close(draws.mean(0), mean + gain @ (patch[o] - mean), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(draws.T), c[h][:, h] - gain @ c[o][:, h], rtol=0, atol=0.02)


def test_what_the_surroundings_tell_makes_no_difference_only_to_the_conditional() -> None:
    """Images that are constant: a hidden window is known from what surrounds it."""
    data = torch.randn(40, 1, 1, 1, generator=torch.Generator().manual_seed(1)).expand(-1, 1, 8, 8).contiguous()
    of = batch(data[:2], data[2:])
    given = difference(of, dataset="training", score="logit").arrays["attribution"]
    marginal = difference(of, dataset="training", score="logit", sampling="marginal").arrays["attribution"]
    assert float(given.abs().max()) < 1e-3 * float(marginal.abs().max())


def test_draws_stay_within_the_inputs_range() -> None:
    seen: list[Tensor] = []

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.amin((1, 2, 3)), x.amax((1, 2, 3))], 1)

    data = DATA.clamp(-0.5, 0.5)
    made = model_of(Looking(), (1, 8, 8), low=-0.5, high=0.5)
    for target in (0, 1):
        of = batch_of(data[:1] * 0, target, resources=in_memory(data))
        seen.append(attribution(made, of, name="prediction_difference", dataset="training", score="logit", samples=1))
    assert float(seen[0].max()) == pytest.approx(0.5)
    assert float(seen[1].min()) == pytest.approx(-0.5)


@pytest.mark.parametrize("shape", [(5,), (2, 9), (1, 4, 5, 6)])
def test_it_works_on_rows_series_and_volumes(shape: tuple[int, ...]) -> None:
    data = inputs(20, shape=shape)
    made = model_of(nn.Sequential(nn.Flatten(), nn.Linear(data[0].numel(), 2)), shape)
    for sampling in ("marginal", "conditional"):
        of = batch_of(data[:2], 0, resources=in_memory(data))
        values = attribution(made, of, name="prediction_difference", dataset="training", sampling=sampling, samples=2)
        assert values.shape == (2, *((1, *shape[1:]) if len(shape) > 1 else shape))
        assert torch.isfinite(values).all()


def test_each_feature_of_a_row_is_conditioned_on_all_others() -> None:
    """The last feature is the sum of the others, so that each is known once the rest is."""
    few = inputs(200, shape=(4,)).double()
    data = torch.cat([few, few.sum(1, keepdim=True)], 1)
    made = model_of(nn.Linear(5, 2), (5,), dtype=torch.double)
    of = batch_of(data[:1], 0, resources=in_memory(data))
    values = attribution(made, of, name="prediction_difference", dataset="training", score="logit", padding=0)
    assert float(values.abs().max()) < 1e-6


def test_another_target_of_the_same_input_costs_no_further_pass() -> None:
    x, made, method = inputs(1), model(), parse_method({"name": "prediction_difference", "dataset": "training"})
    first, reports = batch(x), []
    method.explain(made, first)
    second = first.sharing(batch_of(x, 0).targets, first.seeds, lambda *report: reports.append(report))
    shared = method.explain(made, second).arrays["attribution"]
    assert not reports
    lone = method.explain(made, batch_of(x, 0, seeds=[3], resources=in_memory(DATA))).arrays["attribution"]
    torch.testing.assert_close(shared, lone)


def test_what_has_no_probability_is_refused() -> None:
    line = model_of(nn.Linear(4, 1), (4,), output="value")
    with pytest.raises(MethodNotApplicable, match="of which there is no probability"):
        parse_method("prediction_difference").refuse(line)
    parse_method({"name": "prediction_difference", "score": "logit"}).refuse(line)
    unit = batch_of(inputs(1), UnitTarget(layer="conv1", channel=0))
    with pytest.raises(InvalidTarget, match="this target is none"):
        difference(unit)
    large = model_of(nn.Sequential(nn.Flatten(), nn.Linear(60 * 60, 2)), (1, 60, 60))
    of = batch_of(torch.zeros(1, 1, 60, 60), 0, resources=in_memory(torch.zeros(2, 1, 60, 60)))
    with pytest.raises(InvalidParameter, match="2500 values"):
        explain(large, of, name="prediction_difference", dataset="training", window=46)
