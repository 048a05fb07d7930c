"""Noisy inputs by predicted class, and methods at a temperature."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.methods.catalogue import parse_method


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8), image=True, dtype=torch.float64)


def test_the_maps_of_the_classes_times_their_counts_are_all_maps_together(model: Model) -> None:
    """S3 l.416: sum_c count_c map_c = sum of maps."""
    found = explain(model, batch_of(inputs(2).double(), seeds=[1, 2]), name="noisy_inputs", samples=40, noise=5.0)
    for row, info in enumerate(found.info):
        assert sum(info["counts"]) == info["samples"] == 40
        assert info["counts"] == sorted(info["counts"], reverse=True)
        counts = torch.tensor(info["counts"], dtype=torch.float64).view(-1, 1, 1, 1)
        whole = (counts * found.arrays["by_class"][row]).sum(0)
        torch.testing.assert_close(whole, 40 * found.arrays["attribution"][row], rtol=1e-9, atol=1e-9)
    assert any(info["counts"][1] for info in found.info), "noise that never misleads shows nothing"


def test_without_noise_every_copy_is_the_input(model: Model) -> None:
    x = inputs(1).double()
    found = explain(model, batch_of(x, seeds=[0]), name="noisy_inputs", samples=5, noise=0.0, of="gradient")
    alone = explain(model, batch_of(x), name="gradient").arrays["attribution"]
    torch.testing.assert_close(found.arrays["by_class"][0, 0], alone[0])
    assert found.info[0]["counts"] == [5, 0, 0]
    assert found.arrays["by_class"][0, 1:].abs().sum() == 0


@pytest.mark.parametrize("of", ["deep_lift", "gradient", "integrated_gradients", {"name": "lrp", "composite": "zero"}])
def test_of_a_logit_a_temperature_divides_what_is_attributed(model: Model, of: object) -> None:
    """S3 l.423: DeepLIFT of logit / T = DeepLIFT / T."""
    x = inputs(2).double()
    plain = explain(model, batch_of(x), name="at_temperature", of=of).arrays["attribution"]
    torch.testing.assert_close(plain, parse_method(of).explain(model, batch_of(x)).arrays["attribution"])
    hot = explain(model, batch_of(x), name="at_temperature", of=of, temperature=2.5)
    torch.testing.assert_close(hot.arrays["attribution"], plain / 2.5, rtol=1e-9, atol=1e-12)
    assert all(info["temperature"] == 2.5 for info in hot.info)


def test_a_probability_is_that_of_the_calibrated_model(model: Model) -> None:
    x = inputs(1).double()
    asked = {"name": "occlusion", "score": "probability", "patch": 8}
    found = explain(model, batch_of(x, 1), name="at_temperature", of=asked, temperature=3.0)
    p, none = ((model.forward(one) / 3).softmax(1)[0, 1] for one in (x, x * 0))
    torch.testing.assert_close(found.arrays["attribution"][0, 0, 0, 0], p - none)


def test_the_temperature_may_be_the_one_that_a_dataset_asks_for(model: Model) -> None:
    data = in_memory(inputs(16, seed=5).double(), torch.arange(16).numpy() % 3)
    x = inputs(1).double()
    fitted = {"name": "temperature", "dataset": "training"}
    found = explain(model, batch_of(x, resources=data), name="at_temperature", fitted=fitted)
    value = found.info[0]["temperature"]
    assert value == pytest.approx(float(data.state(model, parse_method(fitted))["scores"]))
    plain = explain(model, batch_of(x), name="deep_lift").arrays["attribution"]
    torch.testing.assert_close(found.arrays["attribution"], plain / value, rtol=1e-6, atol=1e-9)


def test_what_gives_no_logits_or_one_class_is_refused() -> None:
    with pytest.raises(MethodNotApplicable, match="logits"):
        parse_method("at_temperature").refuse(model_of(nn.Linear(3, 1), (3,), output="value"))
    with pytest.raises(MethodNotApplicable, match="predicted class"):
        parse_method("noisy_inputs").refuse(model_of(nn.Linear(3, 1), (3,), output="binary"))
