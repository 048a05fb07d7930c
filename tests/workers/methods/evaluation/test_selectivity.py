"""Selectivity and difference: a map that is blind to its target correlates 1 with those of other classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import explain
from workers.explanation.errors import InvalidTarget, MethodNotApplicable
from workers.explanation.target import ElementTarget, UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.nested.attributions import attributions


class Blind(nn.Module):
    """Every class is the same function, more or less of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(x) * torch.tensor([1.0, 2.0, 3.0])
        return output


def test_a_map_that_is_blind_to_the_target_has_correlation_one() -> None:
    torch.manual_seed(0)
    model = model_of(Blind(), (6,), dtype=torch.float64)
    found = explain(model, batch_of(torch.randn(3, 6, dtype=torch.float64)), name="selectivity")
    assert found.arrays["scores"].tolist() == pytest.approx(np.ones((3, 2)))
    opposite = nn.Linear(6, 2, bias=False)
    with torch.no_grad():
        opposite.weight[1] = -opposite.weight[0]
    turned = explain(model_of(opposite, (6,)), batch_of(torch.randn(2, 6)), name="selectivity")
    assert turned.arrays["scores"].tolist() == pytest.approx(-np.ones((2, 2)))


def test_it_is_the_rank_correlation_with_the_strongest_other_classes() -> None:
    model, x = model_of(net(), (1, 8, 8), image=True, dtype=torch.float64), inputs(2).double()
    found = explain(model, batch_of(x, 1), name="selectivity", of=["gradient", "lrp"], others=2)
    order = model.forward(x).argsort(dim=1, descending=True)
    for row in range(2):
        rivals = [int(c) for c in order[row] if c != 1]
        for m, name in enumerate(["gradient", "lrp"]):
            one, *rest = (
                attributions(model, batch_of(x[row : row + 1], c), [parse_method(name)])[0].flatten()
                for c in [1, *rivals]
            )
            expected = [spearmanr(one, other).statistic for other in rest]
            np.testing.assert_allclose(found.arrays["others"][row, m], expected, rtol=1e-9)
            assert float(found.arrays["scores"][row, m]) == pytest.approx(np.mean(expected))


def test_what_has_no_classes_is_refused() -> None:
    with pytest.raises(MethodNotApplicable, match="several classes"):
        parse_method("selectivity").refuse(model_of(nn.Linear(3, 1), (3,), output="binary"))
    model = model_of(net(), (1, 8, 8)).towards(UnitTarget(layer="conv1", channel=0))
    with pytest.raises(InvalidTarget):
        parse_method("selectivity").refuse(model)
    with pytest.raises(MethodNotApplicable):
        parse_method("selectivity").refuse(
            model_of(nn.Linear(3, 2), (3,), output="value").towards(ElementTarget(index=(0,)))
        )


def test_a_difference_is_that_of_two_maps_of_one_size() -> None:
    """Of a linear model input x gradient and integrated gradients from zero are one: nothing is left."""
    model = model_of(nn.Linear(6, 3), (6,), dtype=torch.float64)
    x = torch.randn(2, 6, dtype=torch.float64)
    none = explain(model, batch_of(x), name="difference").arrays["attribution"]
    assert none.abs().max() < 1e-12
    pair = [parse_method("gradient"), parse_method("input_times_gradient")]
    one, other = attributions(model, batch_of(x), pair)
    for scale, sizes in (
        ("none", [1.0, 1.0]),
        ("largest", [each.abs().amax(1, keepdim=True) for each in (one, other)]),
        ("sum", [each.abs().sum(1, keepdim=True) for each in (one, other)]),
    ):
        found = explain(model, batch_of(x), name="difference", of=pair[0], less=pair[1], scale=scale)
        torch.testing.assert_close(found.arrays["attribution"], one / sizes[0] - other / sizes[1])
    zero = explain(model, batch_of(x * 0), name="difference", of=pair[0], less=pair[1])
    assert torch.isfinite(zero.arrays["attribution"]).all()


def test_maps_of_different_channels_are_summed_over_them() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = model_of(module, (3, 8, 8), image=True)
    x = torch.randn(1, 3, 8, 8)
    found = explain(model, batch_of(x), name="difference", of="gradient", less="grad_cam")
    assert found.arrays["attribution"].shape == (1, 1, 8, 8)
