"""What docs/methods/gradient.md says of a layer norm over the vectors of tokens: their gradients sum to 0."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.several import IDS, MASK, batch_of_inputs, model_of_inputs
from workers.engine.model.inputs import named
from workers.methods.catalogue import parse_method


class Normed(nn.Module):
    """Vectors of ids and of places, normalised before all else, as in BERT."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.places, self.norm = nn.Embedding(20, 8), nn.Embedding(6, 8), nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        seen = torch.relu(self.norm(self.tokens(ids) + self.places.weight)) * mask.unsqueeze(2)
        output: Tensor = self.head(seen.sum(1))
        return output


@pytest.mark.parametrize(
    ("method", "zero"),
    [
        ("gradient", True),
        ({"name": "smooth_grad", "of": "gradient", "samples": 4}, True),
        ({"name": "gradient", "reduce": "square"}, False),
        ("input_times_gradient", False),
        ("integrated_gradients", False),
        ("lrp", False),
    ],
)
def test_a_tokens_sum_is_zero_for_gradients_alone(method: Any, zero: bool) -> None:
    specs = {"ids": IDS, "mask": MASK}
    rows = {"ids": torch.arange(12).view(2, 6), "mask": torch.ones(2, 6, dtype=torch.int64)}
    model = model_of_inputs(Normed().eval(), specs, rows)
    configured = parse_method(method)
    result = configured.explain(model, batch_of_inputs(model, rows, 1))
    found = torch.as_tensor(named(result, model.card.input, configured.of_places()).arrays["attribution.ids"])
    assert found.shape == (2, 6)
    if zero:
        torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)
    else:
        assert (found.abs() > 1e-4).all()
