"""What methods make of a lone logit and of independent ones: the same as of the two classes that it stands for."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, in_memory, no_input
from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidTarget
from workers.explanation.result import Row
from workers.explanation.target import ClassTarget, RankTarget, UnitTarget
from workers.methods.catalogue import parse_method
from workers.runtime.execute.model_support import check

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Lone(nn.Module):
    """One logit z, or the two (0, z) whose softmax is its sigmoid, or that sigmoid itself."""

    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.form, self.body, self.head = form, nn.Linear(5, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(torch.relu(self.body(x)))
        return {"pair": torch.cat([0 * z, z], 1), "squashed": z.sigmoid(), "flat": z.squeeze(1)}.get(self.form, z)


@functools.cache
def lone(form: str, output: str = "binary", labels: tuple[str, ...] = ()) -> Model:
    return model_of(Lone(form), (5,), torch.float64, output=output, labels=labels)


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Model:
    return lone(*request.param)


def pair() -> Model:
    return lone("pair", "logits")


def run(model: Model, name: str, target: int | None = 0, resources: InMemory | None = None, **fields: Any) -> list[Row]:
    method = parse_method({"name": name, **fields})
    method.refuse(model)
    if not method.takes_input:
        batch = no_input(model, resources or in_memory(X[:1]))
        batch.targets = [] if target is None else [ClassTarget(index=target)]
        return method.explain(model, batch).rows()
    wanted = RankTarget(rank=0) if target is None else ClassTarget(index=target)
    return method.explain(model, batch_of(X[:2], wanted, seeds=[0, 0], resources=resources or in_memory(X))).rows()


def labelled() -> InMemory:
    """Labels 1 where the net's own sigmoid says so by chance, else 0; and a concept that lies along its gradient."""
    drawn = torch.rand(40, generator=torch.Generator().manual_seed(2)) < Lone("flat").double()(X).sigmoid()
    more = {"concept": X[:12] + 1, "random": X[12:36]}
    return in_memory(X, drawn.numpy().astype(np.int64), **more)


@pytest.mark.parametrize("model", [("plain",), ("flat",), ("squashed", "probabilities")], indirect=True)
def test_a_lone_logit_has_the_temperature_of_the_two_classes_that_it_stands_for(model: Model) -> None:
    (found,), (want,) = (run(one, "temperature", None, labelled()) for one in (model, pair()))
    assert found.info["temperature"] == pytest.approx(want.info["temperature"], rel=1e-4)
    for name in ("accuracy", "before", "after"):
        assert found.info[name] == pytest.approx(want.info[name], rel=1e-4)


@pytest.mark.parametrize("model", [("plain",), ("flat",), ("plain", "multilabel")], indirect=True)
def test_its_log_odds_are_the_logit(model: Model) -> None:
    """For the pair (0, z) the odds are z too, and nothing is left to be uncertain of among the others."""
    found, logit, two = (
        run(model, "lrp", composite="zero", head="log_odds"),
        run(model, "lrp", composite="zero"),
        run(pair(), "lrp", 1, composite="zero", head="log_odds"),
    )
    z = Lone("flat").double()(X[:2]).tolist()
    for row, (one, other, both) in enumerate(zip(found, logit, two, strict=True)):
        np.testing.assert_array_equal(one.arrays["attribution"], other.arrays["attribution"])
        np.testing.assert_allclose(one.arrays["attribution"], both.arrays["attribution"], rtol=1e-5, atol=1e-7)
        assert one.info["log_odds"] == pytest.approx(z[row], rel=1e-6)
        assert both.info["log_odds"] == pytest.approx(z[row], rel=1e-6)


@pytest.mark.parametrize("model", [("plain",), ("flat",), ("squashed", "probabilities")], indirect=True)
@pytest.mark.parametrize("score", ["weight_of_evidence", "probability"])
def test_what_a_feature_says_for_it_is_what_it_says_for_the_class(model: Model, score: str) -> None:
    found, want = (run(one, "prediction_difference", c, score=score, window=1) for one, c in ((model, 0), (pair(), 1)))
    for one, other in zip(found, want, strict=True):
        np.testing.assert_allclose(one.arrays["attribution"], other.arrays["attribution"], rtol=1e-4, atol=1e-6)
        assert np.abs(one.arrays["attribution"]).max() > 0


@pytest.mark.parametrize("model", [("plain",), ("flat",), ("plain", "multilabel")], indirect=True)
def test_an_input_is_made_up_for_its_probability(model: Model) -> None:
    more: dict[str, Any] = {"steps": 8, "priors": [], "score": "log_probability"}
    (found,), (want,) = (run(one, "activation_maximization", c, **more) for one, c in ((model, 0), (pair(), 1)))
    np.testing.assert_allclose(found.arrays["synthesis"], want.arrays["synthesis"], rtol=1e-4, atol=1e-5)
    assert found.info["activation"] == pytest.approx(want.info["activation"], rel=1e-4)
    assert found.info["activation"][0] < 0


@pytest.mark.parametrize("model", [("plain",), ("flat",)], indirect=True)
def test_a_dataset_of_no_and_yes_is_of_its_class(model: Model) -> None:
    """Label 1 is what the logit speaks for; of items without labels, those that it finds probable."""
    more: dict[str, Any] = {"repeats": 2, "examples": 6, "images": 40}
    (found,), (want,) = (
        run(one, "tcav", None, labelled(), classes=(c,), **more) for one, c in ((model, 0), (pair(), 1))
    )
    np.testing.assert_allclose(found.arrays["scores"], want.arrays["scores"])
    assert found.info["classes"][0]["inputs"] == want.info["classes"][0]["inputs"] > 0
    (sure,) = run(model, "ssa", None, in_memory(X), dataset="training", classes=(0,), confidence=0.5, images=40)
    assert sure.info["images"] == int((Lone("flat").double()(X) >= 0).sum())


def test_a_unit_has_no_probability_and_the_advice_is_taken() -> None:
    model, target = lone("plain"), UnitTarget(layer="body", channel=1)
    for name in ("occlusion", "kernel_shap"):
        with pytest.raises(InvalidTarget, match="probability is that of a class") as refused:
            check(model, parse_method({"name": name, "score": "probability"}), target)
        first = next(one for one in refused.value.alternatives if "method" in one)
        found = parse_method(first["method"]).explain(model, batch_of(X[:2], target, resources=in_memory(X)))
        assert next(iter(found.arrays.values())).any()


def test_the_steps_from_a_probability_are_those_of_the_sigmoid() -> None:
    """Its derivative in the layer before is p (1 - p) w."""
    (by_logit, by_chance) = (run(lone("plain"), "ssa", score=score)[0].info for score in ("logit", "probability"))
    p = Lone("plain").double()(X[:1]).sigmoid().item()
    edges = [[one["weight"] for one in info["edges"] if one["from"] == 0] for info in (by_logit, by_chance)]
    assert edges[1] == pytest.approx([weight * p * (1 - p) for weight in edges[0]], rel=1e-5)
