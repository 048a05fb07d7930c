"""Temperature scaling and evidential heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from torch import Tensor, nn

from tests.resources import in_memory, no_input
from tests.toys import inputs, model_of
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.result import Row
from workers.explanation.target import RankTarget
from workers.methods.catalogue import parse_method


def logits_and_labels(temperature: float) -> tuple[Tensor, NDArray[np.int64]]:
    """Labels drawn as a calibrated model would have them, whose logits are `temperature` times too large."""
    drawn = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * 2
    source = torch.Generator().manual_seed(1)
    labels = torch.multinomial(drawn.softmax(1), 1, generator=source)[:, 0]
    return drawn * temperature, labels.numpy()


class Given(nn.Module):
    """Returns its input, in as many rectifications as the laws of export ask for: none."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def calibrated(model: Model, x: Tensor, labels: NDArray[np.int64] | None, **fields: Any) -> Row:
    method = parse_method({"name": "temperature", **fields})
    method.refuse(model)
    return method.explain(model, no_input(model, in_memory(x, labels))).rows()[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_planted_is_found(temperature: float) -> None:
    logits, labels = logits_and_labels(temperature)
    row = calibrated(model_of(Given(), (3,)), logits, labels)
    assert row.arrays["scores"] == pytest.approx(temperature, rel=0.06)
    assert row.info["after"]["ece"] < 0.03
    assert row.info["after"]["ece"] <= row.info["before"]["ece"] + 1e-3
    assert row.info["before"]["nll"] == pytest.approx(log_loss(labels, logits.double().softmax(1).numpy()), rel=1e-4)
    assert row.arrays["before"][:, 2].sum() == 4000
    slope = [
        log_loss(labels, (logits.double() / t).softmax(1).numpy()) - row.info["after"]["nll"]
        for t in (row.info["temperature"] * 0.97, row.info["temperature"] * 1.03)
    ]
    assert min(slope) > 0


def test_ece_by_hand() -> None:
    """Two bins: confident 0.9 and right half the time (4 items), confident 0.6 and always right (2 items)."""
    chances = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = np.array([0, 1, 0, 1, 0, 0])
    row = calibrated(model_of(Given(), (2,), output="probabilities"), chances, labels, bins=10)
    assert row.info["before"]["ece"] == pytest.approx((4 * 0.4 + 2 * 0.4) / 6, abs=1e-6)
    np.testing.assert_allclose(row.arrays["before"][[9, 6]], [[0.9, 0.5, 4], [0.6, 1.0, 2]], atol=1e-6)


def test_calibration_needs_labels_and_classes() -> None:
    with pytest.raises(InvalidParameter, match="has no labels"):
        calibrated(model_of(Given(), (3,)), inputs(4, shape=(3,)), None)
    with pytest.raises(InvalidParameter, match="item 1 of the dataset has the label 5"):
        calibrated(model_of(Given(), (3,)), inputs(4, shape=(3,)), np.array([0, 5, 1, 2]))
    with pytest.raises(MethodNotApplicable, match="the output of toy is value"):
        calibrated(model_of(nn.Linear(3, 1), (3,), output="value"), inputs(4, shape=(3,)), np.zeros(4, np.int64))


def test_evidence_of_nine_for_one_of_three() -> None:
    """TRUTHS 7: e = (9, 0, 0) has S = 12, b = (.75, 0, 0), u = .25, p = (.8333, .0833, .0833)."""
    model = model_of(Given(), (3,), output="evidence")
    x = torch.tensor([[9.0, 0, 0], [0, 0, 0], [2.0, -1.0, 3.0]])
    rows = parse_method("evidence").explain(model, Batch(x, [RankTarget(rank=0)] * 3)).rows()
    np.testing.assert_allclose(rows[0].arrays["scores"], [0.75, 0, 0])
    np.testing.assert_allclose(rows[0].arrays["probability"], [10 / 12, 1 / 12, 1 / 12], rtol=1e-6)
    beta = torch.distributions.Dirichlet(torch.tensor([10.0, 1.0, 1.0]))
    np.testing.assert_allclose(rows[0].arrays["std"], beta.variance.sqrt(), rtol=1e-5)
    assert (rows[0].info["strength"], rows[0].info["uncertainty"]) == (12, 0.25)
    assert rows[1].info["uncertainty"] == 1
    np.testing.assert_allclose(rows[2].arrays["scores"], [2 / 8, 0, 3 / 8])
    assert [told["index"] for told in rows[2].info["classes"]] == [2, 0, 1]
    assert all(row.checks[0].gap < 1e-6 for row in rows)
    with pytest.raises(MethodNotApplicable, match='output = "evidence"'):
        parse_method("evidence").refuse(model_of(Given(), (3,)))
