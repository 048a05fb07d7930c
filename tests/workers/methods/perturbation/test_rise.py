"""rise: an unbiased estimate of the exact expectation, with the error that it states."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.explanation.card import InputSpec
from workers.explanation.target import ValueTarget
from workers.methods.perturbation.rise.random_masks import Grids, draw, weighted_mean


class Nine(nn.Module):
    """A function of a 3 x 3 input that is far from a sum."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return (x[:, 0] * x[:, 4] + torch.relu(x[:, 1] - x[:, 8]) * x[:, 3] + 2 * x[:, 5] * x[:, 6] * x[:, 7])[:, None]


def binary(cells: int) -> Tensor:
    return torch.tensor(list(product([0.0, 1.0], repeat=cells)))


def expectation(module: nn.Module, x: Tensor, masks: Tensor, chances: Tensor, keep: float) -> Tensor:
    """E[score * mask] / keep over masks (k, *places) of these probabilities."""
    scores = module(x * masks[:, None])[:, 0]
    found: Tensor = (chances * scores) @ masks.flatten(1) / keep
    return found


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_it_converges_to_the_exact_expectation_on_a_3x3_grid(keep: float) -> None:
    module, x = Nine(), inputs(1, shape=(1, 3, 3))
    grids = binary(9)
    chances = keep ** grids.sum(1) * (1 - keep) ** (9 - grids.sum(1))
    expected = expectation(module, x, grids.view(-1, 3, 3), chances, keep)
    model = model_of(module, (1, 3, 3), output="value")
    result = explain(model, batch_of(x, ValueTarget()), name="rise", masks=20000, keep=keep)
    distance = (result.arrays["attribution"].flatten() - expected) / result.arrays["standard_error"].flatten()
    assert float(distance.abs().max()) < 4
    assert float(result.arrays["standard_error"].max()) < 0.1 * float(expected.std())


def test_interpolated_and_shifted_masks_converge_too() -> None:
    """A 6 x 6 input, 3 x 3 cells of two places: all 512 grids at all 4 shifts, upsampled by torch."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    x = inputs(1, shape=(1, 6, 6))
    large = interpolate(binary(9).view(-1, 1, 3, 3), size=(8, 8), mode="bilinear", align_corners=False)[:, 0]
    masks = torch.cat([large[:, i : i + 6, j : j + 6] for i in range(2) for j in range(2)])
    with torch.no_grad():
        expected = expectation(module, x, masks, torch.full((2048,), 1 / 2048), 0.5)
    model = model_of(module, (1, 6, 6), output="value")
    result = explain(model, batch_of(x, ValueTarget()), name="rise", masks=20000, cells=3)
    distance = (result.arrays["attribution"].flatten() - expected) / result.arrays["standard_error"].flatten()
    assert float(distance.abs().max()) < 4


def test_the_estimate_is_unbiased_however_few_the_masks() -> None:
    """Three masks over two cells: the mean over all 64 equally likely draws is the expectation itself."""
    score = {(0.0, 0.0): 1.0, (0.0, 1.0): -2.0, (1.0, 0.0): 5.0, (1.0, 1.0): 4.0}
    grids = binary(2)
    total = torch.zeros(2, dtype=torch.float64)
    for draws in product(grids, repeat=3):
        shown = torch.stack(draws).bool()
        scores = torch.tensor([score[tuple(g.tolist())] for g in draws], dtype=torch.float64)
        total += weighted_mean(Grids(shown, torch.zeros(3, 1, dtype=torch.long), (2,)), scores, 0.5, 8)[0]
    exact = sum(score[tuple(g.tolist())] * g.double() for g in grids) / 4 / 0.5
    torch.testing.assert_close(total / 64, exact)


@pytest.mark.parametrize("shape", [(1, 13), (1, 9, 14), (1, 5, 6, 7)])
def test_masks_are_torchs_upsampling_cut_at_the_shift(shape: tuple[int, ...]) -> None:
    sizes, cells = shape[1:], 4
    grids = draw(InputSpec(shape=shape), cells, 0.5, 20, torch.Generator().manual_seed(0))
    sides = [-(-size // cells) for size in sizes]
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(sizes)]
    large = interpolate(
        grids.shown[:, None].float(), size=[(cells + 1) * side for side in sides], mode=mode, align_corners=False
    )
    for k, shifts in enumerate(grids.shifts.tolist()):
        cut = tuple(slice(shift, shift + size) for shift, size in zip(shifts, sizes, strict=True))
        (mask,) = grids.masks(torch.tensor([k]), torch.device("cpu"), torch.float32)
        torch.testing.assert_close(mask, large[k, 0][cut])
    assert (grids.shifts.amax(0) == torch.tensor(sides) - 1).all()


def test_every_place_is_shown_as_often() -> None:
    for keep in (0.5, 0.2):
        grids = draw(InputSpec(shape=(1, 20, 23)), 7, keep, 20000, torch.Generator().manual_seed(1))
        shown = grids.masks(torch.arange(20000), torch.device("cpu"), torch.float32).mean(0)
        assert float((shown - keep).abs().max()) < 5 * (keep * (1 - keep) / 20000) ** 0.5


def test_the_features_of_a_flat_input_are_shown_one_by_one() -> None:
    grids = draw(InputSpec(shape=(30,)), 7, 0.5, 10, torch.Generator().manual_seed(1))
    assert torch.equal(grids.masks(torch.arange(10), torch.device("cpu"), torch.float32), grids.shown.float())


def test_of_a_linear_model_each_place_tells_its_own_part() -> None:
    """E[score | shown] = its own part, and keep times the others'."""
    linear, x = nn.Linear(8, 2, bias=False), inputs(1, shape=(8,))
    parts = (x * linear.weight[1].detach())[0]
    result = explain(model_of(linear, (8,)), batch_of(x, 1), name="rise", masks=20000, keep=0.25)
    expected = parts + 0.25 * (parts.sum() - parts)
    distance = (result.arrays["attribution"][0] - expected) / result.arrays["standard_error"][0]
    assert float(distance.abs().max()) < 4


def test_the_standard_error_is_that_of_repeated_runs() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(60, 1, 1, 1)
    result = explain(model, batch_of(x, 1, seeds=list(range(60))), name="rise", masks=100)
    stated, spread = result.arrays["standard_error"].mean(), result.arrays["attribution"].std(0).mean()
    assert float(stated) == pytest.approx(float(spread), rel=0.1)
    assert result.info[0]["standard_error"] == pytest.approx(float(result.arrays["standard_error"][0].mean()))


def test_it_is_less_noisy_than_the_papers_estimate() -> None:
    """The same masks and scores; a score far from zero makes the paper's mean(score * mask) / keep follow the masks."""
    spec, keep = InputSpec(shape=(1, 8, 8)), 0.5
    ours, papers = [], []
    for seed in range(40):
        grids = draw(spec, 4, keep, 100, torch.Generator().manual_seed(seed))
        masks = grids.masks(torch.arange(100), torch.device("cpu"), torch.float32)
        scores = 10 + masks[:, :4].mean((1, 2))
        ours.append(weighted_mean(grids, scores, keep, 8)[0])
        papers.append((scores[:, None, None] * masks).mean(0) / keep)
    torch.testing.assert_close(torch.stack(ours).mean(0), torch.stack(papers).mean(0), rtol=0.05, atol=0)
    assert float(torch.stack(ours).std(0).mean()) < 0.1 * float(torch.stack(papers).std(0).mean())


def test_what_a_mask_hides_is_filled() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1)
    same = explain(model, batch_of(x, 1), name="rise", masks=20, fill="constant", value=0.0)
    torch.testing.assert_close(same.arrays["attribution"], attribution(model, batch_of(x, 1), name="rise", masks=20))
    untouched = torch.full((1, 1, 8, 8), 0.7)
    filled = explain(model, batch_of(untouched, 1), name="rise", masks=20, fill="constant", value=0.7)
    expected = model.forward(untouched)[0, 1].expand(1, 1, 8, 8)
    torch.testing.assert_close(filled.arrays["attribution"], expected, rtol=1e-4, atol=1e-4)
    assert float(filled.arrays["standard_error"].max()) < 1e-5


def test_masks_are_made_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    masks = Grids.masks

    def counted(grids: Grids, at: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        sizes.append(len(at))
        return masks(grids, at, device, dtype)

    monkeypatch.setattr(Grids, "masks", counted)
    model = model_of(net(), (1, 8, 8))
    attribution(model, batch_of(inputs(3), 1, seeds=[1, 2, 3]), name="rise", masks=100)
    assert max(sizes) <= model.chunk
