"""Simple Taylor decomposition: root points and expansions there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.gradient.test_gradient_family import function
from workers.explanation.errors import InvalidTarget
from workers.explanation.target import ValueTarget


def test_from_the_origin_a_rectifier_net_without_biases_is_shared_whole() -> None:
    """S3 eq. 8; there it is the input times the gradient."""
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    batch = batch_of(inputs(3).double())
    result = explain(model, batch, name="simple_taylor")
    for completeness, root in result.checks:
        assert completeness.gap < 1e-10
        assert root.gap == 0
    product = attribution(model, batch, name="input_times_gradient")
    torch.testing.assert_close(result.arrays["attribution"], product, rtol=1e-10, atol=1e-12)


def test_from_the_origin_the_gradient_is_the_one_there() -> None:
    """relu(x1 - 1) * 0 at the origin, where the gradient at the input would be 1; the check shows the miss."""
    model = function(lambda a, b: torch.relu(a - 1) + 2 * b)
    result = explain(model, batch_of(torch.tensor([[3.0, 1.0]]).double(), ValueTarget()), name="simple_taylor")
    assert result.arrays["attribution"].tolist() == [[0, pytest.approx(2)]]
    assert result.checks[0][0].expected == pytest.approx(4)
    assert result.checks[0][0].observed == pytest.approx(2)


def test_the_nearest_root_of_a_linear_function_is_its_foot() -> None:
    """x~ = x - f w / |w|^2, so the shares are f w^2 / |w|^2, whatever the bias."""
    linear = nn.Linear(4, 2)
    model = model_of(linear, (4,), dtype=torch.float64)
    x, w = inputs(3, shape=(4,)).double(), linear.weight.detach().double()
    for target in (0, 1):
        result = explain(model, batch_of(x, target), name="simple_taylor", root="nearest")
        f = model.forward(x)[:, target]
        expected = f[:, None] * w[target].square() / w[target].square().sum()
        torch.testing.assert_close(result.arrays["attribution"], expected, rtol=1e-5, atol=1e-8)
        assert all(abs(root.observed) < 1.01e-6 * abs(whole.expected) for whole, root in result.checks)


def test_the_nearest_root_is_found_past_kinks_on_the_inputs_own_side() -> None:
    """max(0, min(x1, 3)) + ... has its root behind a corner: the gradient at the root shares what lies between."""
    model = function(lambda a, b: torch.relu(a + 2 * torch.relu(a - 1)))
    result = explain(
        model, batch_of(torch.tensor([[2.0, 5.0]]).double(), ValueTarget()), name="simple_taylor", root="nearest"
    )
    assert result.arrays["attribution"].tolist() == [[pytest.approx(2, abs=1e-4), 0]]  # slope 1 from 0 to 2, f = 4
    assert result.checks[0][0].expected == pytest.approx(4)
    assert result.checks[0][1].observed > 0


def test_a_score_without_a_root_says_so() -> None:
    model = function(lambda a, b: torch.relu(a) + 1)
    with pytest.raises(InvalidTarget, match="no zero"):
        attribution(model, batch_of(torch.ones(1, 2).double(), ValueTarget()), name="simple_taylor", root="nearest")


def test_each_row_finds_its_own_root() -> None:
    model, x = model_of(net(), (1, 8, 8), dtype=torch.float64), inputs(3).double()
    reports: list[int] = []
    batch = batch_of(x, 1, report=lambda done, total, unit: reports.append(total - done))
    result = explain(model, batch, name="simple_taylor", root="nearest")
    assert reports[-1] == 0
    assert reports == sorted(reports, reverse=True)
    for i in range(3):
        alone = attribution(model, batch_of(x[i : i + 1], 1), name="simple_taylor", root="nearest")
        torch.testing.assert_close(result.arrays["attribution"][i], alone[0])
        score, root = result.checks[i]
        assert abs(root.observed) < 1e-5 * abs(score.expected)
