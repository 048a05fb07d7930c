"""What evaluations have in common: lists of methods, datasets that stream by, passes and attributions shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.resources import InMemory, in_memory, no_input
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.evaluation.judging import assert_close, judged, over, training
from workers.engine.data import streaming
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import Cancelled, InvalidParameter, MethodNotApplicable
from workers.explanation.target import ClassTarget, RankTarget
from workers.jobs.job import Job
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.methods.catalogue import catalogue
from workers.methods.fields.judged import label
from workers.methods.gradient.gradient import Gradient
from workers.methods.method import parse_method
from workers.runtime.execute.run import run

ALL = [
    "pixel_flipping", "sensitivity_n", "conservation", "continuity", "implementation_invariance",
    "input_shift_invariance", "randomization", "minimal_deletion", "compare", "pointing_game", "box_ratio",
]  # fmt: skip
BOXES = np.array([[0.25, 0.25, 0.75, 0.75]] * 11, np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


def test_one_method_is_a_list_of_one() -> None:
    assert parse_method({"name": "compare", "of": "gradient"}) == parse_method({"name": "compare", "of": ["gradient"]})


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (["gradient", {"name": "gradient", "reduce": "none"}], "gradient is there twice"),
        (["predict"], "predict makes none"),
        (["pixel_flipping"], "pixel_flipping makes none"),
        ([], "at least 1"),
        (["made_up"], "no such method"),
    ],
)
def test_what_cannot_be_judged_is_named(of: list[Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        parse_method({"name": "pixel_flipping", "of": of})


def test_labels_tell_methods_apart() -> None:
    plain = [
        "gradient",
        {"name": "gradient", "reduce": "abs"},
        {"name": "smooth_grad", "of": "occlusion", "samples": 2},
    ]
    assert [label(parse_method(one)) for one in plain] == [
        "gradient", "gradient reduce=abs", "smooth_grad of=(occlusion) samples=2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_an_input_is_taken_unless_a_dataset_is_named(name: str) -> None:
    assert catalogue()[name].takes_input
    assert parse_method(name).takes_input
    assert not parse_method({"name": name, "dataset": "training"}).takes_input


def test_a_model_that_one_of_the_methods_refuses_is_refused(model: Model) -> None:
    with pytest.raises(MethodNotApplicable, match="cam"):
        judged(model, inputs(1), {"name": "compare", "of": ["gradient", "cam"]})


@pytest.mark.parametrize("name", ALL)
def test_over_a_dataset_means_the_mean_of_its_items(model: Model, name: str) -> None:
    """Item by item, with the seeds that the dataset's items have; whatever the size of a part."""
    x = inputs(11, seed=5)
    resources = training(x, boxes=BOXES, labels=np.arange(11) % 3, classes=("a", "b"))
    row = over(model, {"name": name, "dataset": "training"}, resources)
    seeds = [0] * 11 if name == "randomization" else list(range(11))
    alone = [judged(model, x[i : i + 1], {"name": name}, seeds=seeds[i : i + 1])[0] for i in range(11)]
    for key, values in alone[0].arrays.items():
        mean = np.mean([one.arrays[key] for one in alone], 0)
        np.testing.assert_allclose(row.arrays[key], mean, rtol=1e-3, atol=1e-3 * (abs(values).max() + 1e-3))
    scores = np.stack([one.arrays["scores"] for one in alone], 1)
    np.testing.assert_allclose(row.arrays["by_item"], scores, rtol=2e-3, atol=2e-3)
    assert_close(row.arrays["standard_error"], row.arrays["by_item"].std(1, ddof=1) / np.sqrt(11), 1e-3)
    assert row.info["inputs"] == 11
    assert [one["label"] for one in row.info["classes"]] == ["a", "b", "2"]
    assert [one["inputs"] for one in row.info["classes"]] == [4, 4, 3]
    assert_close(row.info["classes"][0]["scores"], row.arrays["by_item"][:, ::3].mean(1), 1e-4)


def test_the_target_of_a_dataset_is_each_items_own_or_one_for_all(model: Model) -> None:
    x = inputs(6, seed=5)
    made = parse_method({"name": "conservation", "dataset": "training", "of": "gradient"})
    for target, wanted in ((None, model.forward(x).amax(1)), (ClassTarget(index=2), model.forward(x)[:, 2])):
        batch = Batch(torch.zeros(1, 1, 8, 8), [target] if target else [], [0], resources=in_memory(x))
        (row,) = made.explain(model, batch).rows()
        assert_close(row.arrays["expected"], [wanted.mean()])


def test_an_empty_dataset_is_refused(model: Model) -> None:
    with pytest.raises(InvalidParameter, match="no items"):
        over(model, {"name": "compare", "dataset": "training"}, in_memory(inputs(0)))


def test_progress_goes_by_item_and_stops_when_asked(model: Model) -> None:
    seen: list[tuple[int, int, str]] = []

    def report(done: int, total: int, unit: str) -> None:
        seen.append((done, total, unit))
        if done >= 8:
            raise Cancelled("enough")

    batch = no_input(model, in_memory(inputs(20)))
    batch.report = report
    with pytest.raises(Cancelled):
        parse_method({"name": "sensitivity_n", "dataset": "training"}).explain(model, batch)
    assert {entry[1:] for entry in seen} == {(20, "inputs")}
    assert [entry[0] for entry in seen] == sorted(entry[0] for entry in seen)


def test_a_job_that_lost_its_worker_goes_on(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept of the first items is taken up, and the result is that of one go."""
    monkeypatch.setattr(streaming, "KEEP_S", -1.0)
    method = {"name": "pixel_flipping", "dataset": "training", "patch": 2, "of": "gradient"}
    whole = over(model, method, training(inputs(20), labels=np.arange(20) % 2))

    class Dying(InMemory):
        def save(self, phase: str, arrays: Mapping[str, Any]) -> None:
            super().save(phase, arrays)
            if int(arrays["next item"]) >= 16:
                raise Cancelled("the worker died")

    resources = training(inputs(20), labels=np.arange(20) % 2)
    dying = Dying(resources.datasets)
    with pytest.raises(Cancelled):
        over(model, method, dying)
    made: list[int] = []
    explain = Gradient.explain

    def counted(self: Gradient, model: Model, batch: Batch) -> Any:
        made.append(len(batch))
        return explain(self, model, batch)

    monkeypatch.setattr(Gradient, "explain", counted)
    again = over(model, method, InMemory(resources.datasets, phases=dying.phases))
    assert sum(made) == 4
    for key, values in whole.arrays.items():
        assert_close(again.arrays[key], values)
    assert again.info == whole.info


def test_attributions_are_made_once_for_all_evaluations_of_an_input(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    explain = Gradient.explain

    def counted(self: Gradient, model: Model, batch: Batch) -> Any:
        made.append(len(batch))
        return explain(self, model, batch)

    monkeypatch.setattr(Gradient, "explain", counted)
    batch = batch_of(inputs(2), seeds=[0, 0])
    for name in ("pixel_flipping", "sensitivity_n", "compare", "conservation"):
        parse_method(name).explain(model, batch.sharing(batch.targets, [0, 0]))
    assert made == [2]
    parse_method("compare").explain(model, batch.sharing([ClassTarget(index=0)] * 2, [0, 0]))
    assert made == [2, 2]


def test_a_job_over_a_dataset_tells_its_target_as_it_was_asked(model: Model) -> None:
    """Of zeros that stand for an input no class is the predicted one."""
    method = parse_method({"name": "compare", "dataset": "training"})
    job = Job(model="sha256:m", input=None, target=RankTarget(rank=0), method=method)
    resources = training(inputs(5))
    ((_, outcome),) = run([Work(job.id, job, "toy", 0, 0)], lambda _: model, supply=lambda *_: resources)
    assert isinstance(outcome, Finished)
    assert outcome.meta["target"] == {"kind": "rank", "rank": 0}
    assert outcome.meta["prediction"] == []
    assert outcome.meta["scores"]["shape"] == [2]
    assert "input" not in outcome.arrays
