"""Step-wise sensitivity analysis equals the paper's Algorithm 1, written naively."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.toys import inputs, model_of, net
from tests.workers.methods.structure.ssa_runs import Edges, Stage, dataset, edges, omegas, over
from workers.methods.structure.ssa.walk import Steps

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


class Skips(nn.Module):
    """Of a row: an input that is added to what is made of it, joined with that, and scales it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.up, self.down, self.joined, self.fc = nn.Linear(5, 7), nn.Linear(7, 5), nn.Linear(10, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        added = (x.tanh() + self.down(self.up(x).relu())).relu()
        scaled = self.joined(torch.cat([x, added], 1)).relu() + x
        output: Tensor = self.fc(scaled.sigmoid())
        return output


class Picked(nn.Module):
    """Layers that read one of several values that a call returns."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second, self.fc = nn.Linear(6, 8), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.first(x).chunk(2, 1)
        output: Tensor = self.fc(torch.sort(self.second(one * other.sigmoid()).relu() + one, 1).values)
        return output


@pytest.mark.parametrize(("module", "shape", "mixing"), [
    (Skips(), (5,), 0),
    (Picked(), (6,), 2),
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
