"""The score told is the scalar explained: of every kind of output, by every method that tells or watches a score."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toys import batch_of
from tests.workers.engine.kinds import KINDS, SHAPE, Kind
from workers.engine.model.batch import Batch
from workers.engine.model.explained_score import explained_scores
from workers.engine.model.target_masks import entry_of
from workers.explanation.errors import InvalidTarget, MethodNotApplicable
from workers.explanation.result import Result, to_numpy
from workers.methods.catalogue import catalogue, parse_method
from workers.runtime.execute.model_support import check

X = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
near = partial(pytest.approx, rel=1e-6, abs=1e-9)
COMPLETE = {
    "integrated_gradients": {"steps": 4},
    "deep_lift": {},
    "lrp": {},
    "kernel_shap": {"samples": 64},
    "shapley_sampling": {},
}
WATCHING = sorted(
    name for name, method in catalogue().items()
    if (field := method.model_fields.get("score")) and "probability" in get_args(field.annotation)
    and name != "word_deletion"  # of texts: tests/workers/runtime/test_texts.py
)  # fmt: skip


def expected(found: Result) -> Tensor:
    return torch.tensor([checks[0].expected for checks in found.checks])


Measured: TypeAlias = Callable[[Result], Tensor]  # of a result, f(x) - f(0) of each row as it tells it
FLAT = {"fill": "zero"}
MEASURED: dict[str, tuple[dict[str, Any], Measured | None]] = {
    "occlusion": ({"patch": 3}, lambda found: found.arrays["attribution"][:, 0, 0, 0]),
    "prediction_difference": ({"window": 3, **FLAT}, lambda found: found.arrays["attribution"][:, 0, 0, 0]),
    "kernel_shap": ({"samples": 64}, expected),
    "shapley_sampling": ({}, expected),
    "lime": ({"samples": 16}, None),
    "rise": ({"masks": 16}, None),
    "sensitivity_n": ({"of": "gradient", "subsets": 2, "sizes": (1,)}, lambda found: found.arrays["lost"][:, 0]),
    "pixel_flipping": (
        {"of": "gradient", **FLAT}, lambda found: found.arrays["curves"][:, 0, 0] - found.arrays["curves"][:, 0, -1],
    ),
    "meaningful_perturbation": (
        {"steps": 1, "perturbation": "constant", **FLAT},
        lambda found: torch.tensor([one["score"] - one["score_of_nothing"] for one in found.info]),
    ),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def asked(kind: Kind, x: Tensor = X) -> Batch:
    return batch_of(x, kind.parsed(kind.model()), seeds=[0] * len(x))


def explain(kind: Kind, name: str, **parameters: Any) -> Result:
    method = parse_method({"name": name, **parameters})
    method.refuse(kind.model())
    return method.explain(kind.model(), asked(kind))


@pytest.mark.parametrize("rows", [1, 2])
def test_the_answer_tells_the_scalar_and_its_probability(kind: Kind, rows: int) -> None:
    prediction, found = explained_scores(kind.model(), asked(kind, X[:rows]))
    for row, one in enumerate(found):
        score, probability = kind.told(X[row])
        assert one["score"] == near(score)
        assert one["probability"] == (None if probability is None else near(probability))
        if not isinstance(kind.target, dict) or "mask" not in kind.target:
            assert any(top["score"] == near(score) for top in prediction[row])


def test_the_gradient_is_that_of_the_scalar(kind: Kind) -> None:
    x = X.clone().requires_grad_()
    want = torch.autograd.grad(sum(kind.scalar(y) for y in kind.module()(x)), x)[0]  # type: ignore[arg-type]  # a tensor
    torch.testing.assert_close(explain(kind, "gradient").arrays["attribution"], want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", COMPLETE)
def test_what_checks_expect_is_the_scalar(kind: Kind, name: str) -> None:
    zero = 0 if name == "lrp" else kind.told(torch.zeros_like(X[0]))[0]
    for row, checks in enumerate(explain(kind, name, **COMPLETE[name]).checks):
        assert checks[0].expected == near(kind.told(X[row])[0] - zero)


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("name", WATCHING)
def test_a_method_watches_what_is_told_or_says_why_not(kind: Kind, name: str, score: str) -> None:
    parameters, measured = MEASURED.get(name, ({}, None))
    model, asked_for = kind.model(), parse_method({"name": name, "score": score, **parameters})
    if score == "probability" and kind.probability is None:
        with pytest.raises(MethodNotApplicable) as refused:
            check(model, asked_for, kind.parsed(model))
        assert model.card.layers[-1].name in refused.value.detail, "the node is named"
        advised = parse_method(refused.value.alternatives[0]["method"])
        if name != "ssa" or is_unit(kind):
            assert advised == parse_method({**asked_for.to_json(), "score": "logit"})
        check(model, advised, kind.parsed(model))
        return
    if name == "ssa" and not is_unit(kind):
        with pytest.raises(InvalidTarget, match="one unit"):
            check(model, asked_for, kind.parsed(model))
        return
    check(model, asked_for, kind.parsed(model))
    found = explain(kind, name, score=score, **parameters)
    if measured is None:
        assert all(np.isfinite(to_numpy(array)).all() for array in found.arrays.values())
        return
    want = [_watched(kind, x, score) - _watched(kind, torch.zeros_like(x), score) for x in X]
    assert measured(found).tolist() == pytest.approx(want, rel=1e-6, abs=1e-9)
    assert all(want)


def is_unit(kind: Kind) -> bool:
    """Whether the target is all places of one entry of the output."""
    return kind.target == "argmax" or entry_of(kind.parsed(kind.model())) is not None


def _watched(kind: Kind, x: Tensor, score: str) -> float:
    value = kind.told(x)[score == "probability"]
    assert value is not None
    return value
