"""SmoothGrad: noise, its mean, its variance, its standard error."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.methods.catalogue import parse_method


def test_smooth_grad_without_noise_is_the_method_itself() -> None:
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(2), 1)
    for of in ("gradient", {"name": "lrp", "composite": "epsilon"}):
        smooth = attribution(model, batch, name="smooth_grad", of=of, samples=1, noise=0)
        torch.testing.assert_close(smooth, parse_method(of).explain(model, batch).arrays["attribution"])


class Squares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square().flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("noise_of", ["range", "std"])
def test_the_noise_is_a_share_of_the_range_or_of_the_inputs_own_deviation(noise_of: str) -> None:
    """The gradient of a sum of squares is 2x, and its variance under noise 4 sigma^2; sigma = .15 std(x) (S3)."""
    x = torch.stack([torch.linspace(0, 1, 40), torch.linspace(-3, 9, 40)]).double()
    model = model_of(Squares(), (40,), dtype=torch.float64, output="value", low=-2.0, high=8.0)
    spread = [10.0, 10.0] if noise_of == "range" else x.std(1, correction=0).tolist()
    asked = {"samples": 400, "reduce": "variance", "noise_of": noise_of}
    found = attribution(model, batch_of(x, 0, seeds=[1, 2]), name="smooth_grad", **asked).mean(1)
    # The mean of 40 variances of 400 draws misses sigma^2 by about sqrt(2 / 16000), a hundredth.
    assert found.tolist() == pytest.approx([4 * (0.15 * width) ** 2 for width in spread], rel=0.06)


def test_smooth_grad_draws_from_the_rows_seed() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(2, 1, 1, 1)
    values = attribution(model, batch_of(x, 1, seeds=[3, 4]), name="smooth_grad", samples=4)
    assert not torch.allclose(values[0], values[1])
    alone = attribution(model, batch_of(x[:1], 1, seeds=[4]), name="smooth_grad", samples=4)
    torch.testing.assert_close(alone[0], values[1])


def test_the_error_of_smooth_grad_falls_with_the_root_of_the_samples() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(24, 1, 1, 1)
    spread = {
        n: attribution(model, batch_of(x, 1, seeds=list(range(24))), name="smooth_grad", samples=n, noise=0.5)
        .std(0).mean()
        for n in (4, 64)
    }  # fmt: skip
    assert float(spread[4] / spread[64]) == pytest.approx(4, rel=0.3)


def test_the_standard_error_of_smooth_grad_is_that_of_repeated_runs() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(40, 1, 1, 1)
    result = explain(model, batch_of(x, 1, seeds=list(range(40))), name="smooth_grad", samples=25, noise=0.5)
    stated = result.arrays["standard_error"].mean()
    assert float(stated) == pytest.approx(float(result.arrays["attribution"].std(0).mean()), rel=0.15)


def test_variance_is_the_mean_square_less_the_squared_mean() -> None:
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(1), 1)
    mean, square, variance = (
        attribution(model, batch, name="smooth_grad", samples=8, reduce=kind) for kind in ("mean", "square", "variance")
    )
    torch.testing.assert_close(variance, square - mean.square(), rtol=1e-3, atol=1e-6)


def test_smooth_grad_refuses_what_attributes_nothing() -> None:
    with pytest.raises(ValueError, match="predict makes none"):
        parse_method({"name": "smooth_grad", "of": "predict"})
