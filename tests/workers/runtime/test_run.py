"""From claimed works to outcomes, on a toy model: neighbours, failures, receipts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.orders import work
from tests.toys import model_of, net
from tests.workers.runtime.runs import Run, codes
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import ExplainError, MethodNotApplicable, UnknownModel
from workers.explanation.result import Attribution
from workers.explanation.tensors import decode_npy
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.methods.gradient.gradient import Gradient
from workers.runtime.execute.run import Outcome, run, run_together


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def results(model: Model) -> Callable[[Sequence[Work]], dict[str, Outcome]]:
    def outcomes(works: Sequence[Work]) -> dict[str, Outcome]:
        found = list(run(works, lambda _: model))
        assert len(found) == len(works)
        return {work.id: outcome for work, outcome in found}

    return outcomes


def spoil(monkeypatch: pytest.MonkeyPatch, spoiled: Callable[[torch.Tensor], Any]) -> list[int]:
    """Make the gradient method go through `spoiled(x)` first; the sizes of the batches it was given."""
    sizes = []
    explain = Gradient.explain

    def explained(method: Gradient, model: Model, batch: Batch) -> Attribution:
        sizes.append(len(batch))
        spoiled(batch.x)
        result = explain(method, model, batch)
        assert isinstance(result, Attribution)
        return result

    monkeypatch.setattr(Gradient, "explain", explained)
    return sizes


def raise_for(value: float, error: Exception) -> Callable[[torch.Tensor], None]:
    def spoiled(x: torch.Tensor) -> None:
        if (x == value).any():
            raise error

    return spoiled


def test_works_of_one_group_share_a_pass_each_with_its_own_target(
    results: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = spoil(monkeypatch, lambda _: None)
    works = [work(index, value=0.1 * index) for index in range(3)]
    outcomes = results(works)
    assert sizes == [3]
    for each in works:
        together, alone = outcomes[each.id], results([each])[each.id]
        assert isinstance(together, Finished)
        assert isinstance(alone, Finished)
        assert together.meta["target"]["index"] == alone.meta["target"]["index"] == works.index(each)
        np.testing.assert_allclose(
            decode_npy(together.arrays["attribution"]), decode_npy(alone.arrays["attribution"]), rtol=1e-5, atol=1e-7
        )


def test_a_result_says_what_it_is_and_proves_it(results: Run) -> None:
    asked = work(2, {"name": "integrated_gradients", "steps": 8})
    outcome = results([asked])[asked.id]
    assert isinstance(outcome, Finished)
    meta = outcome.meta
    array = decode_npy(outcome.arrays["attribution"])
    assert (meta["id"], meta["kind"], meta["input"]) == (asked.id, "attribution", asked.job.input)
    assert meta["method"]["steps"] == 8
    assert meta["target"] == {"kind": "class", "index": 2}
    assert len(meta["prediction"]) > 0
    assert meta["attribution"] == {
        "shape": [1, 8, 8], "dtype": "float32", "min": float(array.min()), "max": float(array.max()),
        "sum": float(array.sum(dtype=np.float64)),
    }  # fmt: skip
    assert meta["checks"][0]["name"] == "completeness"
    assert meta["timing"]["queued_ms"] == 500
    assert meta["timing"]["batch_size"] == 1
    assert meta["receipt"]["job"] == asked.job.canonical()
    for name, data in outcome.arrays.items():
        assert meta["receipt"]["sha256"][name] == hashlib.sha256(data).hexdigest()
    assert asked.data is not None
    np.testing.assert_array_equal(decode_npy(outcome.arrays["input"]), decode_npy(asked.data))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "out_of_memory"),
        (ZeroDivisionError("secret of the house"), "internal_error"),
        (MethodNotApplicable("the node relu has no rule"), "method_not_applicable"),
    ],
)
def test_one_bad_row_fails_alone(results: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str) -> None:
    sizes = spoil(monkeypatch, raise_for(0.75, error))
    works = [work(value=value) for value in (0.1, 0.2, 0.75, 0.3, 0.4)]
    outcomes = results(works)
    assert codes(outcomes, works) == ["succeeded", "succeeded", code, "succeeded", "succeeded"]
    assert sizes[0] == 5
    failure = outcomes[works[2].id]
    assert isinstance(failure, ExplainError)
    assert "secret" not in failure.detail


def test_many_rows_are_run_in_parts_of_even_size_each_told_as_it_is_known(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = spoil(monkeypatch, lambda _: None)
    works = [work(index % 3, value=0.1 * index) for index in range(7)]
    kept = sum(math.prod(node.shape or ()) for node in model.folded.nodes)
    monkeypatch.setattr("workers.engine.model.rows_at_once.KEPT", 4 * kept - 1)
    parts = run_together(works, lambda _: model)
    for first in (0, 3, 6):
        known = next(part for part in parts if part)
        assert [one.id for one, _ in known] == [one.id for one in works[first : first + 3]]
        assert sizes == [3, 3, 1][: first // 3 + 1]
        assert {outcome.meta["timing"]["batch_size"] for _, outcome in known if isinstance(outcome, Finished)} == {
            len(known)
        }
    assert not [part for part in parts if part]


def test_a_batch_too_large_for_memory_is_halved_until_it_fits(results: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(x: torch.Tensor) -> None:
        if len(x) > 2:
            raise MemoryError

    sizes = spoil(monkeypatch, spoiled)
    works = [work(value=0.1 * i) for i in range(8)]
    assert codes(results(works), works) == ["succeeded"] * 8
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_a_row_too_large_for_memory_is_run_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    fits, model, asked = 2, model_of(net(), (1, 8, 8)), work()

    def explain(_: Gradient, model: Model, batch: Batch) -> Attribution:
        tried.append(model.chunk)
        if model.chunk > fits:
            raise MemoryError
        return Attribution({"attribution": batch.x})

    monkeypatch.setattr(Gradient, "explain", explain)
    assert codes({each.id: outcome for each, outcome in run([asked], lambda _: model)}, [asked]) == ["succeeded"]
    assert tried == [8, 4, 2]
    tried.clear()
    fits = 0
    assert codes({each.id: outcome for each, outcome in run([asked], lambda _: model)}, [asked]) == ["out_of_memory"]
    assert tried == [2, 1]


def test_values_that_are_not_finite_fail_their_own_row(results: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def explain(_: Gradient, model: Model, batch: Batch) -> Attribution:
        return Attribution({"attribution": torch.where(batch.x == 0.75, torch.nan, batch.x)})

    monkeypatch.setattr(Gradient, "explain", explain)
    works = [work(value=value) for value in (0.1, 0.75)]
    assert codes(results(works), works) == ["succeeded", "not_finite"]


def test_an_input_that_cannot_be_read_fails_alone(results: Run) -> None:
    good, gone, broken, image = (work(value=0.1 * index) for index in range(4))
    works = [good, replace(gone, data=None), replace(broken, data=b"no array"), replace(image, kind="image")]
    assert codes(results(works), works) == ["succeeded", "unknown_input", "invalid_tensor", "invalid_tensor"]


def test_a_model_that_cannot_be_loaded_fails_its_works_alone(model: Model) -> None:
    here, gone = work(0), work(1, "lrp")

    def load(asked: Work) -> Model:
        if asked.id == gone.id:
            raise UnknownModel("the model has gone")
        return model

    assert codes({each.id: outcome for each, outcome in run([here, gone], load)}, [here, gone]) == [
        "succeeded",
        "unknown_model",
    ]


def test_a_method_the_model_refuses_is_not_run(results: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(method: Gradient, model: Model) -> None:
        raise MethodNotApplicable("no gradient flows through argmax_1")

    sizes = spoil(monkeypatch, lambda _: None)
    monkeypatch.setattr(Gradient, "refuse", refuse)
    asked = work()
    assert codes(results([asked]), [asked]) == ["method_not_applicable"]
    assert sizes == []
