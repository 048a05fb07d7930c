"""Activation maximisation and DeepDream: closed forms, naive replicas, and the promise that the activation rises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tests.resources import InMemory, InMemoryDataset, in_memory
from tests.toys import inputs, model_of, net
from tests.workers.methods.synthesis.synthesis_runs import linear
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, InvalidTarget, MethodNotApplicable
from workers.explanation.names.dataset_classes import classes_by_name
from workers.explanation.priors import GradientBlur, Rotate
from workers.explanation.result import Row
from workers.explanation.target import ClassTarget, RankTarget, Target, UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.synthesis.activation_maximization.priors import check as check_priors
from workers.methods.synthesis.activation_maximization.priors import turned
from workers.runtime.execute.model_support import check


def made(model: Model, target: int | Target, resources: InMemory | None = None, seed: int = 0, **fields: Any) -> Row:
    wanted = ClassTarget(index=target) if isinstance(target, int) else target
    shape = model.card.input.shape
    batch = Batch(
        torch.zeros(1, *shape, dtype=model.dtype), [wanted], [seed], resources=resources or in_memory(inputs())
    )
    method = parse_method({"name": "activation_maximization", **fields})
    method.refuse(model)
    return method.explain(model, batch).rows()[0]


def test_a_linear_unit_is_maximised_along_its_weights() -> None:
    """w . x - c mean(x^2) has its maximum at x = n w / (2 c)."""
    model, weights = linear()
    found = made(model, 1, steps=400, rate=0.1, priors=[{"kind": "l2", "weight": 3.0}]).arrays["synthesis"][0]
    np.testing.assert_allclose(found, (6 * weights[1] / 6).numpy(), atol=2e-3)


def test_two_units_with_signs_pull_along_the_difference_of_their_weights() -> None:
    model, weights = linear()
    also = [{"of_class": 0, "weight": -2.0}]
    row = made(model, 1, also=also, steps=400, rate=0.1, priors=[{"kind": "l2", "weight": 3.0}])
    np.testing.assert_allclose(row.arrays["synthesis"][0], (weights[1] - 2 * weights[0]).numpy(), atol=4e-3)
    x = torch.from_numpy(row.arrays["synthesis"])
    outputs = model.forward(x)[0]
    assert row.info["activation"][0] == pytest.approx(float(outputs[1]), rel=1e-5)
    assert row.info["also"][0][0] == pytest.approx(float(outputs[0]), rel=1e-5)


def test_within_the_range_every_value_goes_to_its_end() -> None:
    model, weights = linear(low=-1.0, high=2.0)
    found = made(model, 2, priors=[], steps=300, rate=0.1).arrays["synthesis"][0]
    np.testing.assert_allclose(found, np.where(weights[2] > 0, 2.0, -1.0), atol=1e-6)


def test_it_rises_above_nearly_all_of_the_data_for_classes_channels_and_units() -> None:
    model = model_of(net(), (1, 8, 8), image=True)
    data = inputs(400).clamp(-1, 1)
    _, values = model.graph.run(data, [node.index for node in model.graph.nodes])
    conv = model.graph.find("conv2")
    assert conv is not None
    for target, seen in (
        (ClassTarget(index=2), model.forward(data)[:, 2]),
        (UnitTarget(layer="conv2", channel=3), values[conv.index][:, 3].flatten(1).sum(1)),
        (UnitTarget(layer="conv2", index=(1, 4, 4)), values[conv.index][:, 1, 4, 4]),
    ):
        row = made(model, target, steps=64)
        assert row.info["activation"][0] > float(seen.quantile(0.99))
        assert np.abs(row.arrays["synthesis"]).max() <= 1
        assert row.arrays["trace"].shape == (1, 64)


def test_the_logarithm_of_the_probability_takes_the_other_classes_down() -> None:
    model = model_of(net(), (1, 8, 8), image=True)
    both = [made(model, 0, score=score, steps=64, priors=[]) for score in ("log_probability", "activation")]
    logits = torch.cat([model.forward(torch.from_numpy(row.arrays["synthesis"])) for row in both])
    assert both[0].info["activation"][0] == pytest.approx(float(logits.log_softmax(1)[0, 0]), abs=1e-5)
    assert logits[0, 0] < logits[1, 0]
    assert logits.softmax(1)[0, 0] > logits.softmax(1)[1, 0]


def test_a_rank_is_refused_with_what_would_be_right() -> None:
    model, _ = linear()
    with pytest.raises(InvalidTarget, match=r"name a class by its index.*; the target 0 works here"):
        check(model, parse_method("activation_maximization"), RankTarget(rank=0))


def test_starts_are_the_classs_own_mean_and_items() -> None:
    """One step of no length shows the start."""
    model, _ = linear()
    data, labels = inputs(9, shape=(6,)), np.arange(9) % 3
    resources = in_memory(data, labels)
    still: dict[str, Any] = {"steps": 1, "rate": 1e-12, "priors": [], "dataset": "training"}
    mean = made(model, 1, resources, start="mean", **still).arrays["synthesis"]
    np.testing.assert_allclose(mean[0], data[labels == 1].mean(0).numpy(), atol=1e-6)
    row = made(model, 1, resources, start="sample", count=2, **still)
    assert len(set(row.info["items"])) == 2
    assert all(labels[number] == 1 for number in row.info["items"])
    np.testing.assert_allclose(row.arrays["synthesis"], data[row.info["items"]].numpy(), atol=1e-6)
    drawn = {made(model, 1, resources, seed=seed, start="sample", **still).info["items"][0] for seed in range(20)}
    assert drawn == {1, 4, 7}


def test_classes_of_a_dataset_are_found_by_their_names() -> None:
    model, _ = linear(labels=("ant", "bee", "cat"))
    data = inputs(4, shape=(6,))
    names = ("cat", "ant")
    of_model = classes_by_name(names, model.card)
    resources = InMemory({"d": InMemoryDataset(data, np.array([0, 0, 1, 1]), classes=names, model_classes=of_model)})
    still: dict[str, Any] = {"steps": 1, "rate": 1e-12, "priors": [], "dataset": "d", "start": "mean"}
    np.testing.assert_allclose(made(model, 2, resources, **still).arrays["synthesis"][0], data[:2].mean(0), atol=1e-6)
    with pytest.raises(InvalidParameter, match="no item of the dataset 'd' bears the label of class 1"):
        made(model, 1, resources, **still)
    strangers = InMemory({"d": InMemoryDataset(data, np.array([0, 0, 1, 1]), classes=("cat", "dog"))})
    with pytest.raises(InvalidParameter, match=r"'dog' is not one of the labels of toy; .*\(0 to 2\)"):
        made(model, 2, strangers, **still)
    unlabelled, _ = linear()
    sorted_as_words = InMemory({"d": InMemoryDataset(data, np.array([0, 1, 2, 2]), classes=("0", "10", "2"))})
    made(unlabelled, 2, sorted_as_words, **still)  # a 10 that is no class of the model's leaves their order
    unordered = InMemory({"d": InMemoryDataset(data, np.array([0, 1, 2, 2]), classes=("0", "2", "1"))})
    with pytest.raises(InvalidParameter, match="'2' is that class of toy or, as folders sort, class 1; give the model"):
        made(unlabelled, 2, unordered, **still)


def test_l2_pulls_to_the_mean_of_the_class() -> None:
    model, weights = linear()
    resources = in_memory(inputs(6, shape=(6,)), np.arange(6) % 3)
    prior = {"kind": "l2", "weight": 3.0, "to": "mean"}
    found = made(model, 1, resources, dataset="training", steps=400, rate=0.1, priors=[prior]).arrays["synthesis"][0]
    mean = inputs(6, shape=(6,))[[1, 4]].mean(0)
    np.testing.assert_allclose(found, (mean + weights[1]).numpy(), atol=4e-3)


def test_a_generators_code_is_moved_and_its_output_shown_to_the_model() -> None:
    """Of a linear generator G and unit w the best code under L2 lies along G^T w."""
    model, weights = linear()
    torch.manual_seed(0)
    painter = nn.Linear(4, 6, bias=False)
    resources = in_memory(inputs())
    resources.models["painter"] = model_of(painter, (4,), output="value")
    fields: dict[str, Any] = {
        "generator": "painter",
        "steps": 400,
        "rate": 0.1,
        "priors": [{"kind": "l2", "weight": 2.0}],
    }
    found = made(model, 1, resources, **fields)
    matrix = painter.weight.detach()
    np.testing.assert_allclose(found.arrays["synthesis"][0], (matrix @ (matrix.T @ weights[1])).numpy(), atol=4e-3)
    resources.models["painter"] = model_of(nn.Linear(4, 5), (4,))
    with pytest.raises(InvalidParameter, match=r"returns the shape \[5\] and toy takes \[6\]"):
        made(model, 1, resources, **fields)


def test_several_are_driven_apart() -> None:
    model = model_of(net(), (1, 8, 8), image=True)

    def likeness(diversity: float) -> float:
        flat = torch.from_numpy(made(model, 0, count=3, steps=40, diversity=diversity).arrays["synthesis"]).flatten(1)
        unit = flat / flat.norm(dim=1, keepdim=True)
        return float(((unit @ unit.T).sum() - 3) / 6)

    assert likeness(30.0) < likeness(0.0) - 0.1


def test_total_variation_makes_it_smooth_and_centre_keeps_it_in_the_middle() -> None:
    model = model_of(net(), (1, 8, 8), image=True)

    def roughness(priors: list[dict[str, Any]]) -> float:
        x = made(model, 0, steps=40, priors=priors).arrays["synthesis"][0, 0]
        return float(np.square(np.diff(x)).mean() / np.square(x).mean())

    for prior in ({"kind": "total_variation"}, {"kind": "blur", "every": 1}, {"kind": "gradient_blur"}):
        assert roughness([prior]) < 0.7 * roughness([])
    x = made(model, 0, steps=60, rate=0.03, priors=[{"kind": "centre", "width": 0.15}]).arrays["synthesis"][0, 0]
    assert np.abs(x[3:5, 3:5]).mean() > 2 * np.abs(x[[0, 7]]).mean()


def test_turned_and_scaled_about_the_centre() -> None:
    x = inputs(1)
    torch.testing.assert_close(turned(x, 1.0, 0.0), x)
    for image in (x, inputs(1, shape=(2, 4, 6))):
        half = turned(image, -1.0, 0.0)
        torch.testing.assert_close(half, image.flip(2, 3), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned(x, 0.0, 1.0), torch.rot90(x, 1, (2, 3)), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_is_refused_by_name() -> None:
    model, _ = linear()
    for prior in (Rotate(), GradientBlur()):
        with pytest.raises(MethodNotApplicable, match=f"the prior {prior.kind} needs"):
            check_priors((prior,), model.card.input)
    for fields, why in (
        ({"start": "mean"}, "name it by `dataset`"),
        ({"start": "mean", "dataset": "d", "count": 2}, "stay the same"),
        ({"generator": "g", "priors": [{"kind": "blur"}]}, "the prior blur changes the input itself"),
        ({"generator": "g", "start": "sample", "dataset": "d", "priors": []}, "the start sample is of"),
        ({"also": [{"of_class": 1, "layer": "conv1"}]}, "name a class by of_class, or a layer"),
        ({"priors": [{"kind": "made_up"}]}, "kind"),
    ):
        with pytest.raises(ValidationError, match=why):
            parse_method({"name": "activation_maximization", **fields})
    with pytest.raises(InvalidParameter) as told:
        made(model, 0, also=[{"of_class": 7}], priors=[])
    assert told.value.pointer == "/method/also/0"
