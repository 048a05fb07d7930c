"""tcav: a planted concept is significant, a random one is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.structure.tcav import concept_vectors


class Striped(nn.Module):
    """Class 0 rises with what the first feature shows, class 1 falls with it, class 2 does not know of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.fc = nn.Linear(8, 12), nn.Linear(12, 3)
        with torch.no_grad():
            self.body.weight[:4] = 0
            self.body.weight[:4, 0] = 1
            self.body.weight[4:, 0] = 0
            self.fc.weight[:, :4] = torch.tensor([1.0, -1.0, 0.0])[:, None]
            self.fc.weight[:2, 4:] *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(nn.functional.gelu(self.body(x)))
        return output


def pictures(n: int, seed: int, striped: float = 0.0) -> InMemoryDataset:
    """Random features; `striped` is added to the first."""
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += striped
    return InMemoryDataset(x)


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(Striped(), (8,), labels=("zebra", "horse", "car"))


def asked(model: Model, **parameters: Any) -> Any:
    """The info of tcav on data where class k is what the model says."""
    x = pictures(150, 1).x
    labels = np.arange(150) % 3
    data = {
        "training": InMemoryDataset(x, labels=labels, classes=("zebra", "horse", "car")),
        "concept": pictures(80, 2, striped=3.0),
        **{f"nothing {i}": pictures(80, 10 + i) for i in range(12)},
        "random": pictures(160, 4),
    }
    batch = no_input(model, InMemory(data))
    return explain(model, batch, **{"name": "tcav", "classes": [0, 1, 2], "layer": "gelu", "repeats": 10, **parameters})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_concept_is_significant(model: Model, seed: int) -> None:
    zebra, horse, car = asked(model, seed=seed).info[0]["classes"]
    assert (zebra["label"], zebra["inputs"]) == ("zebra", 50)
    assert zebra["significant"]
    assert zebra["score"] > 0.95
    assert horse["significant"]
    assert horse["score"] < 0.05
    assert not car["significant"]


def test_random_examples_are_no_concept(model: Model) -> None:
    """Were the same examples used for every vector, all but a few of these would pass for one."""
    found = [asked(model, concept=f"nothing {i}", classes=[0]).info[0]["classes"][0] for i in range(12)]
    assert sum(one["significant"] for one in found) <= 1
    assert 0.2 < np.mean([one["score"] for one in found]) < 0.8


def test_vectors_tell_the_concept_and_do_not_tell_random_from_random(model: Model) -> None:
    info = asked(model).info[0]
    assert info["accuracy"] > 0.9
    assert 0.35 < info["random_accuracy"] < 0.65


def test_scores_are_the_share_of_inputs_that_rise_along_each_vector(model: Model) -> None:
    result = asked(model)
    assert result.arrays["runs"].shape == result.arrays["random"].shape == (1, 3, 10)
    torch.testing.assert_close(result.arrays["scores"], result.arrays["runs"].mean(2))
    data = InMemory({"concept": pictures(80, 2, striped=3.0), "random": pictures(160, 4)})
    node = concept_vectors.concept_layer(model, "gelu")
    found = concept_vectors.vectors(
        model, no_input(model, data), node, concept_vectors.Concept("concept", "random", 50, 10, 0)
    )
    np.testing.assert_allclose(np.linalg.norm(found.concept, axis=1), 1)
    x = pictures(150, 1).x[0::3]
    _, slopes = model.gradients(batch_of(x, 0), [node.index])
    for run in range(10):
        along = slopes[node.index].double() @ torch.from_numpy(found.concept[run])
        assert float((along > 0).double().mean()) == pytest.approx(float(result.arrays["runs"][0, 0, run]))


def test_scores_that_never_vary_have_p_values_too() -> None:
    ones, mixed = np.ones(5), np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    assert concept_vectors.p_values(ones, ones) == (0, 1)
    assert concept_vectors.p_values(ones, ones / 2) == (0, 0)
    assert concept_vectors.p_values(ones / 2, ones)[0] == 1
    half, by_chance = concept_vectors.p_values(ones, mixed)
    assert half == 0
    assert 0.01 < by_chance < 0.1
    assert concept_vectors.p_values(mixed, ones)[0] > 0.4


def test_what_it_cannot_do_is_refused(model: Model) -> None:
    with pytest.raises(InvalidParameter, match="classes 0 to 2"):
        asked(model, classes=[3])
    with pytest.raises(InvalidParameter, match="shows class 0"):
        asked(model, confidence=1.0)
    few = InMemory({"concept": pictures(2, 0), "random": pictures(9, 0)})
    with pytest.raises(InvalidParameter, match="need 30 examples of the concept and 60 random"):
        explain(model, no_input(model, few), name="tcav")
    with pytest.raises(InvalidParameter, match=r"Send more$"):  # two vectors are the fewest that a test is made of
        explain(model, no_input(model, few), name="tcav", repeats=2)
    enough = InMemory({"concept": pictures(9, 0), "random": pictures(20, 0)})
    with pytest.raises(InvalidParameter, match=r"Send more, or lower repeats to 3$"):
        explain(model, no_input(model, enough), name="tcav")
    with pytest.raises(MethodNotApplicable, match="no layer"):
        concept_vectors.concept_layer(model_of(nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()), (1, 8, 8)), None)
