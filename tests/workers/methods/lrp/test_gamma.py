"""LRP-gamma where relevance reaches units of either sign, as behind a residual sum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.rules.named import gamma

SHAPE = (3, 9, 9)


class Residual(nn.Module):
    """Two convolutions whose outputs are added, so that relevance is given to those below zero, too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.other = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=2), nn.Conv2d(6, 6, 3)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        scores: Tensor = self.head(torch.relu(self.second(y) + self.other(y)).mean((2, 3)))
        return scores


def rows() -> Tensor:
    return torch.randn(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_one_pass_for_both_signs_is_a_pass_for_each(strength: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Favouring w^+ and favouring w^- add up to (2 + gamma) w."""
    model, batch = model_of(Residual(), SHAPE, torch.float64), batch_of(rows(), 1)
    table = [{"rule": "gamma", "gamma": strength}]
    together = attribution(model, batch, name="lrp", composite=table)
    monkeypatch.setattr(gamma, "MOST_TOGETHER", -1.0)
    apart = attribution(model, batch_of(rows(), 1), name="lrp", composite=table)
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-10 * float(apart.abs().max()))


@pytest.mark.parametrize("strength", [0.25, 1.0, 100.0, 1e4])
def test_float32_keeps_its_digits_however_much_is_favoured(strength: float) -> None:
    """Of a unit below zero what speaks against it has a share of one in a million, and that to six digits."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[1.0, -100.0]]))
    table, x = [{"rule": "gamma", "gamma": strength}], torch.tensor([[0.3, 0.7]])
    found = attribution(model_of(layer, (2,), output="value"), batch_of(x), name="lrp", composite=table)
    exact = attribution(
        model_of(layer.double(), (2,), torch.float64, output="value"), batch_of(x.double()), name="lrp", composite=table
    )
    torch.testing.assert_close(found.double(), exact, rtol=2e-6, atol=0)
