"""ssa and ssa_clusters: planted dependencies, and Algorithm 1 of S1 rewritten one unit at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.resources import no_input
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import explain
from tests.workers.methods.structure.ssa_runs import dataset, edges, over
from workers.engine.model.batch import Batch
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ClassTarget, Target, UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.structure.ssa.outliers import outliers

# Planted dependencies -------------------------------------------------------------------------------------------------


class Planted(nn.Module):
    """Class c is made of unit c of the second layer, and that of the units that `below` says of the first."""

    below: Sequence[Sequence[int]] = ((1, 4), (4, 9))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 10, 3, padding=1)
        self.fc = nn.Linear(10 * 4, 2)
        with torch.no_grad():
            for weight in (self.first.weight, self.second.weight, self.fc.weight):
                weight.uniform_(-0.01, 0.01)
            self.first.bias.fill_(1)  # type: ignore[union-attr]
            for unit, units in enumerate(self.below):
                self.second.weight[unit, list(units), 1, 1] = 1
                self.fc.weight[unit, unit * 4 : unit * 4 + 4] = 1

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.first(x).relu(), 2)
        output: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(self.second(x).relu(), 2).flatten(1))
        return output


def test_planted_dependencies_are_found() -> None:
    model = model_of(Planted(), (1, 8, 8), labels=("cat", "dog"))
    labelled = dataset(inputs(20), labels=np.arange(20) % 2, classes=("cat", "dog"))
    info = over(model, labelled, classes=[0, 1], images=5)
    assert edges(info) == {
        (("fc", 0), ("relu_1", 0)), (("fc", 1), ("relu_1", 1)),
        (("relu_1", 0), ("relu", 1)), (("relu_1", 0), ("relu", 4)),
        (("relu_1", 1), ("relu", 4)), (("relu_1", 1), ("relu", 9)),
    }  # fmt: skip
    by_unit = {(node["layer"], node["unit"]): node for node in info["nodes"]}
    assert {key: node["in_degree"] for key, node in by_unit.items() if node["layer"] == "relu"} == {
        ("relu", 1): 1, ("relu", 4): 2, ("relu", 9): 1,
    }  # fmt: skip
    assert by_unit["fc", 0]["label"] == "cat"
    assert all(node["frequency"] == 1 for node in info["nodes"])
    assert info["images"] == 10
    assert [layer["units"] for layer in info["layers"]] == [2, 10, 12]


def test_one_input_has_the_graph_of_its_own_target() -> None:
    model = model_of(Planted(), (1, 8, 8))
    result = explain(model, batch_of(inputs(2), 1), name="ssa")
    assert edges(result.info[1]) == {
        (("fc", 1), ("relu_1", 1)), (("relu_1", 1), ("relu", 4)), (("relu_1", 1), ("relu", 9)),
    }  # fmt: skip
    assert result.arrays["frequency"].shape == (2, 12 + 10 + 2)
    assert result.arrays["frequency"][0].nonzero().flatten().tolist() == [4, 9, 12 + 1, 22 + 1]


def test_any_unit_may_be_where_it_begins() -> None:
    model = model_of(Planted(), (1, 8, 8))
    for unit in (UnitTarget(layer="relu_1", channel=0), UnitTarget(layer="relu_1", index=(0, 2, 2))):
        result = explain(model, batch_of(inputs(1), unit), name="ssa")
        assert edges(result.info[0]) == {(("relu_1", 0), ("relu", 1)), (("relu_1", 0), ("relu", 4))}
        assert result.arrays["frequency"].shape == (1, 24)


def test_branching_keeps_the_most_frequent_and_of_equals_the_strongest() -> None:
    module = Planted()
    with torch.no_grad():
        module.second.weight[0, 1, 1, 1] = 2
    model = model_of(module, (1, 8, 8))
    assert edges(over(model, dataset(inputs(5)), branching=1)) == {
        (("fc", 0), ("relu_1", 0)), (("relu_1", 0), ("relu", 1)),
    }  # fmt: skip


# What counts ----------------------------------------------------------------------------------------------------------


def test_outliers_lie_beyond_tukeys_upper_fence_and_above_zero() -> None:
    values = torch.tensor(
        [[0, 1, 2, 3, 4, 5, 6, 7, 8, 100.0], [0] * 9 + [1.0], [-9, -8, -8, -8, -8, -8, -8, -8, -8, -1.0]]
    )
    assert outliers(values, 1.5, zeros=False).nonzero().tolist() == [[0, 9]]
    assert not outliers(torch.zeros(2, 5), 1.5, zeros=False).any()


def test_zeros_are_left_out_of_the_quartiles_or_counted_as_the_paper_does() -> None:
    """Of [0 x 12, 1, 2, 3, 4] the quartiles are 0 and .25, the fence is .625, and 4 lie beyond it."""
    row = torch.tensor([[0.0] * 12 + [1, 2, 3, 4]])
    assert outliers(row, 1.5, zeros=True).sum() == 4
    assert not outliers(row, 1.5, zeros=False).any()
    at_the_fence = torch.tensor([[0.0] * 11 + [0.62, 1, 2, 3, 4]])  # quartiles 0 and .715
    assert outliers(at_the_fence, 1.5, zeros=True).sum() == 3
    first, last = nn.Linear(3, 16), nn.Linear(16, 2)
    with torch.no_grad():
        last.weight[0] = row[0]
        first.bias.fill_(1)
    model, data = model_of(nn.Sequential(first, nn.ReLU(), last), (3,)), dataset(0.1 * inputs(4, shape=(3,)))
    found = over(model, data, layers=["1"], branching=10, zeros=True)
    assert {unit for _, (layer, unit) in edges(found) if layer == "1"} == {12, 13, 14, 15}
    assert not edges(over(model, data, layers=["1"], branching=10))


def test_counts_and_omegas_of_every_unit_are_arrays() -> None:
    """Not those of the units that are followed alone; each row has what its own target leads to."""
    model = model_of(Planted(), (1, 8, 8), dtype=torch.float64)
    data = dataset(inputs(5).double())
    batch = no_input(model, data)
    asked = {"dataset": "pictures", "classes": [0, 1], "branching": 1, "omegas": True}
    result = explain(model, batch, name="ssa", **asked)
    arrays = result.rows()[0].arrays
    assert arrays["fc.units"].tolist() == [0, 1]
    assert arrays["fc.counts"].tolist() == [[5] + [0] * 9, [0, 5] + [0] * 8]
    assert arrays["relu_1.units"].tolist() == [0, 1]
    assert [row.nonzero()[0].tolist() for row in arrays["relu_1.counts"]] == [[1, 4], [4, 9]]
    assert [layer["below"] for layer in result.info[0]["layers"]] == [["relu_1"], ["relu"], []]
    assert arrays["fc.omega"].shape == (5, 2, 10)
    assert arrays["relu_1.omega"].shape == (5, 2, 12)
    np.testing.assert_array_equal(
        arrays["relu_1.counts"], outliers(torch.from_numpy(arrays["relu_1.omega"]), 1.5, zeros=False).sum(0)
    )
    assert "fc.omega" not in explain(model, batch, name="ssa", **{**asked, "omegas": False}).rows()[0].arrays
    mixed: list[Target] = [UnitTarget(layer="relu_1", channel=0), ClassTarget(index=1)]
    both = explain(model, Batch(inputs(2).double(), mixed), name="ssa").rows()
    assert [sorted(row.arrays) for row in both] == [
        ["frequency", "relu_1.counts", "relu_1.units"],
        ["fc.counts", "fc.units", "frequency", "relu_1.counts", "relu_1.units"],
    ]
    assert both[1].arrays["fc.counts"].tolist() == [[0, 1] + [0] * 8]


def test_the_derivative_of_a_probability_is_the_seeds() -> None:
    """p_c (w_c - sum_j p_j w_j), which differs from input to input; that of a logit is w_c for all."""
    last = nn.Linear(8, 4)
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), last)
    model, x = model_of(module, (3,), dtype=torch.float64), inputs(5, shape=(3,)).double()
    module.double()
    weight = last.weight.detach()
    p = module(x).detach().softmax(1)
    expected = {"probability": p[:, 2:3] * (weight[2] - p @ weight), "logit": weight[2].expand(5, -1)}
    for score, omega in expected.items():
        batch = no_input(model, dataset(x))
        asked = {"dataset": "pictures", "classes": [2], "layers": ["1"], "omegas": True, "score": score}
        found = explain(model, batch, name="ssa", **asked).rows()[0].arrays["2.omega"]
        np.testing.assert_allclose(found[:, 0], omega, rtol=1e-5, atol=1e-8)  # results are float32


def test_more_branches_than_a_hundred_may_be_followed() -> None:
    first, last = nn.Linear(2, 800), nn.Linear(800, 2)
    with torch.no_grad():
        first.bias.fill_(9)
        last.weight[0] = torch.cat([torch.linspace(-0.01, 0.01, 680), torch.full((120,), 1.0)])
    model = model_of(nn.Sequential(first, nn.ReLU(), last), (2,))
    assert len(edges(over(model, dataset(inputs(2, shape=(2,))), layers=["1"], branching=200))) == 120


def test_omegas_beyond_what_a_result_may_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.methods.structure.ssa.walk.OMEGAS", 100)
    model, data = model_of(Planted(), (1, 8, 8)), dataset(inputs(12))
    with pytest.raises(InvalidParameter, match="leave omegas out, or look at fewer images"):
        over(model, data, omegas=True)
    over(model, data, omegas=True, images=2)


def test_items_count_by_label_confidence_and_number() -> None:
    module, x = Planted(), inputs(20)
    with torch.no_grad():
        module.fc.bias.zero_()
        module.fc.bias[0] = module(x).diff().mean()
    model = model_of(module, (1, 8, 8), labels=("cat", "dog"))
    right = model.forward(x).softmax(1)
    labels = np.arange(20) % 2
    assert over(model, dataset(x, labels=labels, classes=("dog", "cat")), classes=[0])["images"] == 10
    sure = [i for i in range(20) if labels[i] == 0 and right[i, 0] >= 0.5]
    assert 0 < len(sure) < 10
    labelled = dataset(x, labels=labels, classes=("cat", "dog"))
    assert over(model, labelled, confidence=0.5)["images"] == len(sure)
    assert over(model, labelled, images=3)["images"] == 3
    with pytest.raises(InvalidParameter, match="probability of 1"):
        over(model, labelled, confidence=1.0)
    with pytest.raises(InvalidParameter, match="classes 0 to 1"):
        over(model, labelled, classes=[2])


def test_it_takes_an_input_unless_it_has_a_dataset() -> None:
    alone, many = parse_method("ssa"), parse_method({"name": "ssa", "dataset": "pictures", "classes": [1]})
    assert (type(alone).takes_input, alone.takes_input, alone.takes_target) == (True, True, True)
    assert (many.takes_input, many.takes_target) == (False, False)


def test_it_goes_on_where_a_worker_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.engine.data.streaming.KEEP_S", -1.0)
    model, resources = model_of(Planted(), (1, 8, 8)), dataset(inputs(20))
    whole = over(model, resources, images=15)
    assert set(resources.phases) == {"inputs of the graph"}
    assert over(model, resources, images=15) == whole
    assert whole["images"] == 15


def test_what_it_cannot_do_is_refused() -> None:
    model = model_of(Planted(), (1, 8, 8))
    for wrong in ({"dataset": "pictures"}, {"classes": [1]}):
        with pytest.raises(ValidationError, match="together"):
            parse_method({"name": "ssa", **wrong})
    one = model_of(nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()), (1, 8, 8))
    with pytest.raises(MethodNotApplicable, match="no step"):
        parse_method("ssa").refuse(one)
    with pytest.raises(InvalidParameter, match="does not depend"):
        over(model, dataset(inputs(2)), layers=["fc"])
    with pytest.raises(InvalidParameter, match="bn1 is folded into conv1"):
        over(model_of(net(), (1, 8, 8)), dataset(inputs(2)), layers=["conv1"])
