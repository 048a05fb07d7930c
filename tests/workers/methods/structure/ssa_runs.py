"""What the tests of ssa and ssa_algorithm share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tests.resources import InMemory, InMemoryDataset, no_input
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.model import Model
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


def omegas(steps: Steps, x: Tensor) -> Iterator[list[Tensor]]:
    """Of each step the derivatives of every unit, by its routes and by walking back from each unit."""
    graph = steps.model.folded
    _, values = graph.run(x, range(len(graph.nodes)))
    for part, way in zip(steps.parts, steps.routes, strict=True):
        units = list(range(part.top.units))
        mixed = steps.one_by_one(part, values, units)
        yield [mixed, way.omega(way.statistics(values), torch.tensor(units))] if way else [mixed]
