"""Masks spread over the places of an input of any rank, and what is taken away by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.toys import batch_of, inputs, model_of, net
from workers.engine.perturbation.baselines import blur_axis
from workers.explanation.card import InputSpec
from workers.methods.perturbation.meaningful_perturbation.fills import LEVELS, blurring, noise, towards
from workers.methods.perturbation.meaningful_perturbation.smooth_masks import Cells, shifts, variation

# The mask ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 30, 20), (2, 50), (1, 9, 12, 33), (1, 1, 8)])
def test_a_mask_of_ones_covers_every_place_and_cells_are_as_wide_along_all_axes(shape: tuple[int, ...]) -> None:
    cells = Cells.over(InputSpec(shape=shape), 28, torch.zeros(1, dtype=torch.double))
    mask = cells.mask(torch.ones(2, *cells.counts, dtype=torch.double))
    torch.testing.assert_close(mask, torch.ones(2, 1, *shape[1:], dtype=torch.double))
    assert max(cells.counts) == min(28, max(shape[1:]))
    widths = [size / count for size, count in zip(shape[1:], cells.counts, strict=True) if count > 1]
    assert max(widths) < 1.5 * min(widths)


def test_a_spread_mask_is_the_interpolated_one_blurred_by_five_eighths_of_a_cell() -> None:
    small = inputs(2, shape=(28, 28)).double()
    cells = Cells.over(InputSpec(shape=(3, 224, 224)), 28, small)
    wide = nn.functional.interpolate(small[:, None], size=(224, 224), mode="bilinear")
    taps = torch.arange(-15, 16, dtype=torch.double)
    weights = torch.exp(-taps.square() / 50)
    weights = weights / weights.sum()
    padded = nn.functional.pad(wide, (15, 15, 15, 15), mode="replicate")
    blurred = nn.functional.conv2d(padded, (weights[:, None] * weights)[None, None])
    torch.testing.assert_close(cells.mask(small), blurred)


def test_a_shift_moves_each_rows_mask_by_its_own() -> None:
    small = inputs(2, shape=(8, 8))
    cells = Cells.over(InputSpec(shape=(1, 8, 8)), 28, small)
    still, moved = cells.mask(small), cells.mask(small, torch.tensor([[2, 0], [0, -3]]))
    torch.testing.assert_close(moved[0, 0, 2:], still[0, 0, :-2])
    torch.testing.assert_close(moved[0, 0, 0], still[0, 0, 0])
    torch.testing.assert_close(moved[1, 0, :, :-3], still[1, 0, :, 3:])


def test_shifts_are_uniform_and_centred() -> None:
    drawn = shifts(4, 2, [torch.Generator().manual_seed(s) for s in range(2000)])
    assert torch.unique(drawn).tolist() == [-2, -1, 0, 1, 2]
    assert np.bincount((drawn + 2).flatten()).tolist() == pytest.approx([800] * 5, rel=0.15)
    assert not shifts(0, 2, [torch.Generator()]).any()


def test_variation_sums_the_powers_of_neighbours_differences() -> None:
    m = inputs(2, shape=(3, 4)).double()
    expected = [
        sum(abs(m[n, i + 1, j] - m[n, i, j]) ** 3 for i in range(2) for j in range(4))
        + sum(abs(m[n, i, j + 1] - m[n, i, j]) ** 3 for i in range(3) for j in range(3))
        for n in range(2)
    ]
    torch.testing.assert_close(variation(m, 3.0), torch.stack(expected))  # type: ignore[arg-type]  # sums of tensors


# Deleting ------------------------------------------------------------------------------------------------------------


def test_blur_gives_each_place_a_gaussian_as_wide_as_the_mask_says() -> None:
    """At the levels themselves it is the book's integral; edges are repeated."""
    x, strongest = inputs(1, shape=(1, 40)).double(), 3.0
    mask = torch.tensor([1 - level / LEVELS for level in range(LEVELS + 1)] * 4 + [1.0] * 4).double().view(1, 1, 40)
    found = blurring(x, InputSpec(shape=(1, 40)), strongest)(torch.tensor([0]), mask)
    for place in range(40):
        sigma = strongest * (1 - float(mask[0, 0, place]))
        taps = range(-int(3 * sigma), int(3 * sigma) + 1)
        weights = [float(np.exp(-(t**2) / (2 * sigma**2))) if sigma else 1.0 for t in taps]
        total = sum(w * float(x[0, 0, min(max(place + t, 0), 39)]) for w, t in zip(weights, taps, strict=True))
        assert float(found[0, 0, place]) == pytest.approx(total / sum(weights))


@pytest.mark.parametrize("kind", ["blur", "constant", "noise"])
def test_what_the_mask_keeps_is_untouched_and_the_rest_is_gone(kind: str) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(2)
    of, rows = batch_of(x, 1, seeds=[1, 2]), torch.tensor([1, 0])
    fills = {"constant": torch.full_like(x, 0.3), "noise": noise(model, of, of.generators())}
    erase = blurring(x, model.card.input, 2.0) if kind == "blur" else towards(x, fills[kind])
    mask = torch.ones(2, 1, 8, 8)
    mask[:, :, :5] = 0
    found = erase(rows, mask)
    assert torch.equal(found[:, :, 5:], x[rows][:, :, 5:])
    gone = blur_axis(blur_axis(x, 2, 2.0), 3, 2.0) if kind == "blur" else fills[kind]
    torch.testing.assert_close(found[:, :, :5], gone[rows][:, :, :5])


def test_noise_lies_around_each_channels_mean_and_is_the_rows_own() -> None:
    model, x = model_of(net(), (1, 8, 8), low=-1.0, high=3.0), inputs(1).repeat(2, 1, 1, 1)
    many = torch.stack([
        noise(model, of, of.generators()) for of in (batch_of(x, 1, seeds=[2 * s, 2 * s + 1]) for s in range(40))
    ])  # fmt: skip
    assert not torch.equal(many[0, 0], many[0, 1])
    assert float(many.mean()) == pytest.approx(float(x.mean()), abs=0.05)
    assert float(many.std()) == pytest.approx(0.8, rel=0.05)
