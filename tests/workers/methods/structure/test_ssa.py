"""ssa and ssa_clusters: planted dependencies, and Algorithm 1 of S1 rewritten one unit at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.test_gradient_family import explain
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ClassTarget, Target, UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.structure.ssa.outliers import outliers
from workers.methods.structure.ssa.walk import Steps

Stage = Callable[[Tensor], Tensor]
Edges = set[tuple[tuple[str, int], tuple[str, int]]]


def edges(info: Any) -> Edges:
    """The edges by layer and unit."""
    units = [(node["layer"], node["unit"]) for node in info["nodes"]]
    return {(units[edge["from"]], units[edge["to"]]) for edge in info["edges"]}


def dataset(x: Tensor, **more: Any) -> InMemory:
    return InMemory({"pictures": InMemoryDataset(x, **more)})


def over(model: Model, resources: InMemory, **parameters: Any) -> Any:
    """The info of the graph over a dataset."""
    batch = no_input(model, resources)
    return explain(model, batch, name="ssa", dataset="pictures", **{"classes": [0], **parameters}).info[0]


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


# Algorithm 1, naively -------------------------------------------------------------------------------------------------


def naive_step(stage: Stage, below: Tensor, units: Sequence[int], branching: int, fence: float) -> dict[int, list[int]]:
    """One step over all inputs: a backward pass for each unit of each input, quartiles by numpy."""
    found = {}
    for unit in units:
        times: Counter[int] = Counter()
        sums: Counter[int] = Counter()
        for row in range(len(below)):
            leaf = below[row : row + 1].clone().requires_grad_()
            value = stage(leaf)[0, unit].mean()
            (slope,) = torch.autograd.grad(value, leaf)
            omega = slope[0].flatten(1).sum(1).numpy() if slope.dim() > 2 else slope[0].numpy()
            first, third = np.percentile(omega[omega != 0], [25, 75]) if (omega != 0).any() else (0, np.inf)
            for k in np.flatnonzero((omega > third + fence * (third - first)) & (omega > 0)).tolist():
                times[k] += 1
                sums[k] += omega[k]
        found[unit] = sorted(times, key=lambda k: (-times[k], -sums[k]))[:branching]
    return found


def naive(stages: Sequence[Stage], x: Tensor, names: Sequence[str], start: int, branching: int, fence: float) -> Edges:
    """The graph of a chain of stages, the first of which makes the lowest level."""
    values = [stages[0](x)]
    for stage in stages[1:-1]:
        values.append(stage(values[-1]))
    found: Edges = set()
    units = [start]
    for level in range(len(stages) - 1, 0, -1):
        step = naive_step(stages[level], values[level - 1].detach(), units, branching, fence)
        found |= {((names[level], u), (names[level - 1], k)) for u, below in step.items() for k in below}
        units = sorted({k for below in step.values() for k in below})
    return found


class Chain(nn.Module):
    """A small VGG: padded and strided convolutions, both poolings, two dense layers; weights with heavy tails."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b = nn.Conv2d(1, 24, 3, padding=1), nn.Conv2d(24, 20, 5, stride=2, padding=1)
        self.c, self.d, self.e = nn.Conv2d(20, 16, 2, padding="same"), nn.Linear(64, 30), nn.Linear(30, 5)
        for parameter in self.parameters():
            parameter.data = torch.randn_like(parameter) ** 3

    def stages(self) -> list[Stage]:
        return [
            lambda x: self.a(x).relu(),
            lambda x: self.b(nn.functional.max_pool2d(x, 3, 2, 1)).sigmoid(),
            lambda x: self.c(x).relu(),
            lambda x: self.d(nn.functional.avg_pool2d(x, 2).flatten(1)).relu(),
            self.e,
        ]

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages():
            x = stage(x)
        return x


@pytest.mark.parametrize("fence", [0.5, 1.5])
def test_it_equals_the_naive_loop_on_a_chain(fence: float) -> None:
    module = Chain().double()
    x = inputs(6, shape=(1, 21, 21)).double()
    model = model_of(Chain(), (1, 21, 21), dtype=torch.float64)
    steps = Steps(model, (), model.folded.nodes[model.folded.output])
    assert all(steps.routes)
    expected = naive(module.stages(), x, ["relu", "sigmoid", "relu_1", "relu_2", "e"], 2, 3, fence)
    assert len(expected) > 8
    assert edges(over(model, dataset(x), classes=[2], fence=fence)) == expected


def test_with_a_probability_the_first_step_differs_from_input_to_input() -> None:
    module, x = Chain(), inputs(6, shape=(1, 21, 21)).double()
    with torch.no_grad():
        logits = module(x.float())
        module.e.bias.sub_(logits.mean(0)).div_(logits.std())
        module.e.weight.div_(logits.std())
    model = model_of(module, (1, 21, 21), dtype=torch.float64)
    module.double()
    stages = [*module.stages()[:-1], lambda x: module.e(x).softmax(1)]
    expected = naive(stages, x, ["relu", "sigmoid", "relu_1", "relu_2", "e"], 2, 3, 1.5)
    info = over(model, dataset(x), classes=[2], score="probability")
    assert edges(info) == expected
    first = {edge["frequency"] for edge in info["edges"] if edge["from"] == 0}
    assert first != {1.0}
    logits = over(model, dataset(x), classes=[2])
    assert {edge["frequency"] for edge in logits["edges"] if edge["from"] == 0} == {1.0}


class Branches(nn.Module):
    """What nets are made of: sums, concatenation, groups, a gate by channel, batch norm that nothing folds into."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem, self.deep = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pair, self.wide = nn.Conv2d(8, 6, 1, groups=2), nn.Conv2d(8, 10, 3, padding=2, dilation=2)
        self.norm, self.mix = nn.BatchNorm2d(24), nn.Conv2d(24, 12, 3, stride=2)
        self.down, self.squeeze, self.grow = nn.Conv2d(24, 12, 1, stride=2), nn.Linear(12, 4), nn.Linear(4, 12)
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x).relu()
        deep = nn.functional.silu(self.deep(stem)) + stem
        x = torch.cat([self.pair(deep).relu(), nn.functional.max_pool2d(self.wide(deep).tanh(), 3, 1, 1), deep], 1)
        x = self.norm(x).relu()
        x = (self.mix(x) + self.down(x[:, :, 1:-1, 1:-1])).relu()
        gate = self.grow(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        output: Tensor = self.fc((x * gate[:, :, None, None]).mean((2, 3)))
        return output


def omegas(steps: Steps, x: Tensor) -> Iterator[list[Tensor]]:
    """Of each step the derivatives of every unit, by its routes and by walking back from each unit."""
    graph = steps.model.folded
    _, values = graph.run(x, range(len(graph.nodes)))
    for part, way in zip(steps.parts, steps.routes, strict=True):
        units = list(range(part.top.units))
        mixed = steps.one_by_one(part, values, units)
        yield [mixed, way.omega(way.statistics(values), torch.tensor(units))] if way else [mixed]


@pytest.mark.parametrize(("module", "shape", "mixing"), [
    (net(), (1, 8, 8), 0),
    (Chain(), (1, 21, 21), 0),
    (Branches(), (2, 11, 11), 1),
    (nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3)), (6,), 0),
    (nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 3)), (4, 6), 1),
    (nn.Sequential(nn.Conv1d(3, 5, 3), nn.GELU(), nn.AvgPool1d(2, padding=1), nn.Conv1d(5, 4, 2), nn.Flatten()),
     (3, 12), 1),
])  # fmt: skip
def test_the_routes_give_what_a_walk_from_each_unit_gives(
    module: nn.Module, shape: tuple[int, ...], mixing: int
) -> None:
    model = model_of(module.float(), shape, dtype=torch.float64)
    steps = Steps(model, (), model.folded.nodes[model.folded.output])
    ones = list(omegas(steps, inputs(3, shape=shape).double()))
    assert sum(len(found) == 1 for found in ones) == mixing
    for found in ones:
        if len(found) > 1:
            torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)
            assert found[0].abs().max() > 0


def test_mixed_steps_see_every_input_of_the_dataset() -> None:
    """Layers before their ReLUs: what is below is on or off by the input, and no routes give that."""
    module, x = Chain().double(), inputs(12, shape=(1, 21, 21)).double()
    model = model_of(Chain(), (1, 21, 21), dtype=torch.float64)
    found = edges(over(model, dataset(x), classes=[0], layers=["c", "d"], fence=0.5))
    stages = [
        lambda x: module.c(module.stages()[1](module.stages()[0](x))),
        lambda x: module.d(nn.functional.avg_pool2d(x.relu(), 2).flatten(1)),
        lambda x: module.e(x.relu()),
    ]
    assert found == naive(stages, x, ["c", "d", "e"], 0, 3, 0.5)


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


# Clusters of graphs ---------------------------------------------------------------------------------------------------


class TwoPairs(nn.Module):
    """Classes 0 and 2 build on the same two units, and so do 1 and 3 on two others; each has a third of its own."""

    below = ((0, 1, 4), (2, 3, 5), (0, 1, 6), (2, 3, 7))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.fc = nn.Linear(6, 40), nn.Linear(40, 4)
        with torch.no_grad():
            self.first.weight.mul_(0.1)
            self.first.bias.fill_(1)
            self.fc.weight.mul_(0.1)
            for c, units in enumerate(self.below):
                self.fc.weight[c, list(units)] = 1

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.first(x).relu())
        return output


def clustered(**parameters: Any) -> Any:
    model = model_of(TwoPairs(), (6,), labels=("cat", "car", "dog", "bus"))
    graphs = [{"name": "ssa", "dataset": "pictures", "classes": [c], "layers": ["relu"]} for c in range(4)]
    batch = no_input(model, dataset(inputs(5, shape=(6,))))
    return explain(model, batch, name="ssa_clusters", **{"graphs": graphs, **parameters})


def test_two_planted_pairs_of_classes_that_share_features_cluster_together() -> None:
    found = clustered()
    assert found.arrays["clustering"][0].tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    order = [graph["labels"][0] for graph in found.info[0]["graphs"]]
    drawn = [order[i] for i in found.arrays["order"][0].tolist()]
    assert {frozenset(drawn[:2]), frozenset(drawn[2:])} == {frozenset({"cat", "dog"}), frozenset({"car", "bus"})}
    presence = found.arrays["presence"][0]
    nodes = [node["unit"] for node in found.info[0]["nodes"]]
    for c, units in enumerate(TwoPairs.below):
        assert sorted(np.array(nodes)[presence[c].nonzero()[0]].tolist()) == sorted(units)


def test_wards_heights_are_those_of_cosine_distances() -> None:
    """Two of three nodes shared: cosine similarity 2/3, and the distance between unit vectors its chord."""
    merges = clustered().arrays["merges"][0]
    assert merges.shape == (3, 4)
    np.testing.assert_allclose(merges[:2, 2], np.sqrt(2 * (1 - 2 / 3)))


def test_graphs_that_cannot_be_compared_are_refused() -> None:
    for graphs in (["ssa", "ssa"], ["gradient", "gradient"]):
        with pytest.raises(ValidationError):
            parse_method({"name": "ssa_clusters", "graphs": graphs})
    two = [{"name": "ssa", "dataset": "pictures", "classes": [0], "layers": layers} for layers in ([], ["relu"])]
    with pytest.raises(InvalidParameter, match="different layers"):
        clustered(graphs=two)
