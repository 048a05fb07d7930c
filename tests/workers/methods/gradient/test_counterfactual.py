"""Counterfactuals: of a linear score the change is |f| / |w| long, along w; of others it comes to the level."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import explain
from workers.explanation.target import ValueTarget


class Value(nn.Module):
    """w . x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(x)[:, 0]
        return output


@pytest.mark.parametrize("level", [0.0, 2.5])
def test_of_a_linear_score_it_is_as_long_as_the_score_by_the_weights(level: float) -> None:
    torch.manual_seed(0)
    module = Value()
    model = model_of(module, (5,), output="value", dtype=torch.float64)
    x = torch.randn(3, 5, dtype=torch.float64)
    found = explain(model, batch_of(x, ValueTarget()), name="counterfactual", level=level)
    w = module.fc.weight.detach().double()[0]
    gap = model.forward(x) - level
    torch.testing.assert_close(found.arrays["attribution"], -gap[:, None] * w / (w @ w), rtol=1e-9, atol=1e-12)
    lengths = torch.tensor([one["length"] for one in found.info], dtype=torch.float64)
    torch.testing.assert_close(lengths, gap.abs() / w.norm())
    assert all(check.observed == pytest.approx(level, abs=1e-9) for checks in found.checks for check in checks)


def test_among_linear_classes_it_goes_to_the_nearest_boundary() -> None:
    """min over k of |z_c - z_k| / |w_c - w_k|, which need not be that of the second strongest class."""
    torch.manual_seed(1)
    module = nn.Linear(4, 6)
    model = model_of(module, (4,), dtype=torch.float64)
    x = torch.randn(8, 4, dtype=torch.float64)
    found = explain(model, batch_of(x), name="counterfactual")
    z, w = model.forward(x), module.weight.detach().double()
    nearest_is_second = []
    for row, info in enumerate(found.info):
        c = int(z[row].argmax())
        ways = {k: float((z[row, c] - z[row, k]) / (w[c] - w[k]).norm()) for k in range(6) if k != c}
        best = min(ways, key=lambda k: ways[k])
        assert info["to"] == best
        assert info["length"] == pytest.approx(ways[best], rel=1e-9)
        nearest_is_second.append(best == int(z[row].argsort(descending=True)[1]))
    assert not all(nearest_is_second)


def test_within_the_range_of_an_image_it_comes_to_the_boundary() -> None:
    model = model_of(net(), (1, 8, 8), image=True)
    x = inputs(3).clamp(-1, 1)
    found = explain(model, batch_of(x), name="counterfactual")
    changed = x + found.arrays["attribution"]
    low, high = model.range() or (None, None)
    assert low is not None
    assert high is not None
    assert (changed >= low - 1e-6).all()
    assert (changed <= high + 1e-6).all()
    logits = model.forward(changed)
    for row, info in enumerate(found.info):
        assert info["reached"]
        top = logits[row].topk(2).values
        assert float(top[0] - top[1]) < 1e-2 * float(model.forward(x)[row].abs().max())
        assert info["length"] < float(x[row].norm())


def test_what_cannot_be_reached_is_told() -> None:
    model = model_of(nn.Sequential(nn.Linear(3, 1), nn.Sigmoid(), nn.Flatten(0)), (3,), output="value")
    found = explain(model, batch_of(torch.zeros(1, 3), ValueTarget()), name="counterfactual", level=2.0)
    assert not found.info[0]["reached"]
    assert torch.isfinite(found.arrays["attribution"]).all()
