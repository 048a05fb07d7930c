"""Memory cells and states of a recurrent layer as targets: a step's own value is explained as any unit is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.model import Model
from workers.explanation.card import ModelCard
from workers.explanation.errors import InvalidTarget
from workers.explanation.request_target import parse_targets


class Two(nn.Module):
    """Two recurrent layers of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.gru = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.gru(self.lstm(x)[0][:, :4])[0][:, -1])
        return output


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return model_of(Two(), (6, 2), dtype=torch.float64)


@pytest.mark.parametrize("layer", ["lstm.l0.t5.c", "lstm.l0.t2.h", "gru.l0_reverse.t1.h"])
@pytest.mark.parametrize("name", ["integrated_gradients", "deep_lift"])
def test_what_is_attributed_to_a_cell_sums_to_its_change(model: Model, layer: str, name: str) -> None:
    """sum IG = c_t(x) - c_t(x')."""
    (target,) = parse_targets({"layer": layer, "channel": 1}, model.card)
    x = torch.randn(2, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = explain(model, batch_of(x, target), name=name).arrays["attribution"]
    at = model.layer(layer).index
    values, origin = (model.folded.run(one, {at})[1][at][:, 1] for one in (x, x * 0))
    torch.testing.assert_close(found.flatten(1).sum(1), values - origin, rtol=1e-6, atol=1e-9)


def test_a_step_sees_nothing_that_comes_later(model: Model) -> None:
    (target,) = parse_targets({"layer": "lstm.l0.t2.c", "index": [0]}, model.card)
    x = torch.randn(1, 6, 2, dtype=torch.float64)
    for name in ("gradient", "occlusion", "lrp"):
        found = explain(model, batch_of(x, target), name=name).arrays["attribution"][0].sum(1)
        assert (found[:3] != 0).all()
        assert (found[3:] == 0).all()


def test_the_card_tells_of_a_step_once_and_knows_every_step(model: Model) -> None:
    cells = {cell.name: cell.steps for cell in model.card.cells}
    assert cells["lstm.l0.t*.c"] == 6
    assert cells["gru.l0_reverse.t*.h"] == 4
    again = ModelCard.model_validate_json(model.card.model_dump_json())
    assert again.layer("lstm.l0.t5.c") is not None
    for wrong in ("lstm.l0.t6.c", "gru.l0.t4.h", "lstm.l0.t05.c", "lstm.l0.t*.c", "lstm.l1.t0.c"):
        assert again.layer(wrong) is None
        with pytest.raises(InvalidTarget, match="has no such layer"):
            parse_targets({"layer": wrong, "channel": 0}, again)
    with pytest.raises(InvalidTarget, match="0 to 2"):
        parse_targets({"layer": "lstm.l0.t5.c", "channel": 3}, again)
