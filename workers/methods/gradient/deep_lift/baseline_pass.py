"""Contrast: the forward pass of the inputs beside that of a baseline, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.graph import Graph
from workers.engine.graph.tape import Local, Tape
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model


@dataclass(frozen=True, slots=True)
class Contrast:
    """A tape of the inputs, and each node's value for the baseline `start`, which broadcasts to that for the inputs."""

    tape: Tape
    base: Mapping[int, Any]
    start: Tensor

    def references(self, local: Local) -> list[Tensor]:
        """What the leaves of a node are for the baseline."""
        return [self.base[i] for i in local.inputs]

    def difference(self, index: int) -> Tensor:
        """By how much a node's value differs from the baseline's."""
        difference: Tensor = self.tape.values[index] - self.base[index]
        return difference

    def again(self, local: Local, leaves: Sequence[Tensor]) -> Any:
        """The node's output on other leaves; all else as it was for the inputs."""
        values = {i: self.tape.values[i] for i in local.node.inputs}
        return local.node.run(values | dict(zip(local.inputs, leaves, strict=True)))


def contrast(model: Model, batch: Batch, start: Tensor) -> Contrast:
    """The batch beside the baseline `start`, made once for all methods on these inputs with this baseline."""
    made = batch.cache.find(Contrast)
    if made is None or not torch.equal(made.start, start):
        made = batch.cache.store(_contrast(model, model.tape(batch), start))
    return made


def _contrast(model: Model, tape: Tape, start: Tensor) -> Contrast:
    """A baseline that is the same for every row is run as one row, unless rows and another axis share one."""
    if len(start) > 1 and model.rows is None and bool((start == start[:1]).all()):
        base = _values(tape.graph, start[:1])
        if all(_broadcasts(base[i], value) for i, value in enumerate(tape.values)):
            return Contrast(tape, base, start)
    return Contrast(tape, _values(tape.graph, start), start)


def _values(graph: Graph, x: Tensor) -> Mapping[int, Any]:
    with torch.no_grad():
        return graph.run(x, range(len(graph.nodes)))[1]


def _broadcasts(one: Any, many: Any) -> bool:
    if isinstance(one, tuple | list):
        return all(_broadcasts(*pair) for pair in zip(one, many, strict=True))
    if not isinstance(one, Tensor):
        return True
    return one.dim() == many.dim() and all(a in (1, b) for a, b in zip(one.shape, many.shape, strict=True))
