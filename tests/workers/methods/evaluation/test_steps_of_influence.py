"""Steps of influence: of a model that reads the last m steps, m."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import explain
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import ValueTarget
from workers.methods.catalogue import parse_method

STEPS = 12


class Recent(nn.Module):
    """The sum of the last steps' values, by a weight for each feature."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last
        self.fc = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[1.0, -0.25]]))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(x[:, STEPS - self.last :]).sum((1, 2))
        return output


@pytest.mark.parametrize("last", [1, 5, STEPS])
def test_a_model_of_the_last_steps_reaches_so_far(last: int) -> None:
    model = model_of(Recent(last), (STEPS, 2), output="value", dtype=torch.float64)
    x = torch.ones(2, STEPS, 2, dtype=torch.float64)
    found = explain(model, batch_of(x, ValueTarget()), name="steps_of_influence")
    assert found.arrays["scores"].tolist() == [[last], [last]]
    expected = torch.where(torch.arange(STEPS) >= STEPS - last, 0.75, 0.0).double()
    torch.testing.assert_close(found.arrays["curves"][0, 0], expected)


def test_changes_below_the_threshold_are_noise() -> None:
    model = model_of(Recent(6), (STEPS, 2), output="value", dtype=torch.float64)
    x = torch.ones(1, STEPS, 2, dtype=torch.float64)
    x[:, :9] *= 1e-3
    for threshold, reach in ((2e-3, 3), (1e-4, 6), (10.0, 0)):
        found = explain(model, batch_of(x, ValueTarget()), name="steps_of_influence", threshold=threshold)
        assert found.arrays["scores"].tolist() == [[reach]]


def test_the_axis_of_time_may_be_any() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(10, 1, bias=False), nn.Flatten(0))
    model = model_of(module, (2, 5), output="value")
    x = torch.zeros(1, 2, 5)
    x[0, :, 3:] = 3.0
    found = explain(model, batch_of(x, ValueTarget()), name="steps_of_influence", axis=1, of=["input_times_gradient"])
    assert found.arrays["scores"].tolist() == [[2]]
    with pytest.raises(MethodNotApplicable, match="no axis 2"):
        parse_method({"name": "steps_of_influence", "axis": 2}).refuse(model)
