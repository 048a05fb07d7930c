"""Where tensors lie: every method on a GPU, or a device that is none, where what is not moved fails as on one.

For a process of its own, which `test_devices` starts: autograd counts the devices when it is first used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.orders import work
from tests.other_device import Made, other
from tests.resources import InMemory, InMemoryDataset
from tests.toys import inputs, model_of, net
from workers.engine.arithmetic import settle
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import ExplainError
from workers.explanation.target import RankTarget
from workers.jobs.stored_results import Finished
from workers.methods.catalogue import catalogue
from workers.methods.method import parse_method
from workers.runtime.execute.run import run

FEW = {"samples": 256, "masks": 40, "iterations": 4, "draws": 3, "splits": 2, "refinements": 1}
ASKED: Mapping[str, Mapping[str, Any]] = {
    "integrated_gradients": {"steps": 8}, "meaningful_perturbation": {"steps": 4},
    "activation_maximization": {"steps": 4},
    "deep_dream": {"steps": 3}, "tcav": {"concept": "concept", "layer": "act", "repeats": 2, "examples": 3},
    "collection": {"of": "lrp", "stop": 4}, "counterfactual": {"steps": 5}, "shapley_sampling": {"samples": 8},
}  # fmt: skip
NOT_OF_THIS_NET = {
    "bilrp",
    "cam",
    "cell_correlation",
    "contextual_decomposition",
    "evidence",
    "mc_dropout",
    "word_deletion",
}


@pytest.fixture(scope="module", autouse=True)
def device() -> Iterator[str]:
    if torch.cuda.is_available():
        settle("cuda")
        yield "cuda"
        return
    with Made():
        yield other()


@pytest.fixture(scope="module")
def models(device: str) -> tuple[Model, Model]:
    return model_of(net(), (1, 8, 8), image=True), model_of(net(), (1, 8, 8), image=True, device=device)


def resources(device: str) -> InMemory:
    """What a worker gives its methods: inputs and masks where the model is."""
    x, labels = inputs(12, seed=5), np.arange(12) % 3
    masks = torch.from_numpy(np.arange(12 * 2 * 64).reshape(12, 2, 8, 8) % 5 == 0).to(device)
    boxes = np.array([[0, 0, 0.5, 1]] * 12, np.float32)
    whole = InMemoryDataset(x.to(device), labels, masks, boxes, ("a", "b", "c"))
    return InMemory(dict.fromkeys(("training", "validation", "test", "concept", "random"), whole))


def explained(model: Model, name: str) -> str | list[Mapping[str, NDArray[Any]]]:
    """The arrays of each row, or why there are none."""
    kind = catalogue()[name]
    fields = {key: value for key, value in FEW.items() if key in kind.model_fields}
    method = parse_method({"name": name, **fields, **ASKED.get(name, {})})
    x = inputs(2, seed=1).to(model.device) if kind.takes_input else torch.zeros(1, 1, 8, 8, device=model.device)
    targets = [RankTarget(rank=0)] * len(x) if kind.takes_target else []
    batch = Batch(x, targets, list(range(len(x))), resources=resources(str(model.device)))
    try:
        method.refuse(model)
        return [row.arrays for row in method.explain(model, batch).rows()]
    except ExplainError as error:
        return error.detail


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_method_computes_where_its_model_is(models: tuple[Model, Model], name: str) -> None:
    here, there = (explained(model, name) for model in models)
    if isinstance(here, str) or isinstance(there, str):
        assert here == there
        assert name in NOT_OF_THIS_NET
        return
    for one, another in zip(here, there, strict=True):
        assert one.keys() == another.keys()
        for key, array in one.items():
            a, b = np.asarray(array, np.float64), np.asarray(another[key], np.float64)
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * (np.abs(a).max() if a.size else 0) + 1e-6)


def done(model: Model) -> list[Finished]:
    works = [work(method=name) for name in ("gradient", "lrp", "occlusion", "predict")]
    outcomes = [outcome for _, outcome in run(works, lambda _: model)]
    return [outcome for outcome in outcomes if isinstance(outcome, Finished)]


def test_a_work_is_done_where_its_model_is(models: tuple[Model, Model]) -> None:
    """From stored bytes to the stored result, for methods that share a pass."""
    here, there = (done(model) for model in models)
    assert len(here) == len(there) == 4
    for one, other_one in zip(here, there, strict=True):
        assert other_one.meta["explained"]["score"] == pytest.approx(one.meta["explained"]["score"], rel=1e-4)
        assert (one.meta["receipt"]["device"], other_one.meta["receipt"]["device"]) == ("cpu", str(models[1].device))


def test_a_reduced_model_is_where_the_whole_one_is(models: tuple[Model, Model]) -> None:
    here, there = (explained(model.at("bfloat16"), "gradient") for model in models)
    assert not isinstance(here, str)
    assert not isinstance(there, str)
    for one, another in zip(here, there, strict=True):
        gap = np.abs(one["attribution"] - another["attribution"]).max()
        assert gap < 0.02 * np.abs(one["attribution"]).max()


def test_what_is_forgotten_is_found(device: str) -> None:
    there, here = torch.ones(2, 2, device=device), torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()
    moved: Tensor = there.cpu() + here
    assert moved.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert (there + torch.tensor(1.0)).cpu().tolist() == moved.tolist()  # a single number may come along
