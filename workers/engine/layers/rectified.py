"""Rectified layers, and how often over a dataset each of their units is active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.streaming import stream
from workers.engine.graph.graph import Graph, Node
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable

RECTIFIERS = frozenset({"relu", "relu6"})
POOLS = frozenset({"max_pool1d", "max_pool2d", "max_pool3d"})


def rectified(graph: Graph) -> list[Node]:
    """The nodes whose value a rectifier reads, in order: their elements are the units, active where positive."""
    flows = graph.reaching(0)
    read = {node.inputs[0] for node in graph.nodes if node.op in RECTIFIERS and flows[node.index]}
    return [graph.nodes[index] for index in sorted(read)]


def check(model: Model) -> None:
    """Raise MethodNotApplicable where no layer is rectified."""
    if not rectified(model.folded):
        raise MethodNotApplicable(
            "no layer of this model is rectified by a ReLU, so no unit is ever inactive", pointer="/method"
        )


def rectified_layer(model: Model, name: str | None) -> Node:
    """The named layer, before its rectifier, or the last rectified one; a rectifier's own name will do.

    Raises MethodNotApplicable where there is none, InvalidParameter for a layer that is not rectified.
    """
    check(model)
    found = rectified(model.folded)
    if name is None:
        return found[-1]
    node = model.layer(name)
    if node.op in RECTIFIERS:
        node = model.folded.nodes[node.inputs[0]]
    if node not in found:
        raise InvalidParameter(
            f"the layer {name} is not rectified; those that are: {', '.join(n.layer for n in found)}",
            pointer="/method/layer",
        )
    return node


@dataclass
class Rates:
    """Of one rectified layer: how many items were seen, for how many each unit was active, and `passed` of all units.

    A unit is passed that is active and, where all that reads it is max pooling, wins there: the seed's active
    subnetwork, whose other units it calls inactive whatever their output.
    """

    layer: Node
    rectifier: Node
    pools: tuple[Node, ...]
    counts: Tensor
    passed: int = 0
    seen: int = 0

    def add(self, value: Tensor, rectified: Tensor) -> None:
        active = value > 0
        by_row = self.layer.rows.split(active)
        self.counts += by_row.sum(0)
        self.passed += int((active & self._won(rectified)).sum()) if self.pools else int(active.sum())
        self.seen += len(by_row)

    def _won(self, rectified: Tensor) -> Tensor:
        leaf = rectified.detach().requires_grad_()
        with torch.enable_grad():
            pooled = [pool.run({self.rectifier.index: leaf}) for pool in self.pools]
        return torch.autograd.grad(pooled, leaf, [torch.ones_like(one) for one in pooled])[0] > 0

    @property
    def rates(self) -> Tensor:
        return self.counts / self.seen

    @property
    def share_passed(self) -> float:
        return self.passed / self.seen / self.counts.numel()


@dataclass
class _Counted:
    """What the pass has counted so far, of all layers."""

    of: list[Rates]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        whole = {f"{i} whole": np.array([one.passed, one.seen]) for i, one in enumerate(self.of)}
        return whole | {f"{i} counts": one.counts.cpu().numpy() for i, one in enumerate(self.of)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for i, one in enumerate(self.of):
            one.counts.copy_(torch.from_numpy(arrays[f"{i} counts"]))
            one.passed, one.seen = map(int, arrays[f"{i} whole"])


def activation_rates(model: Model, batch: Batch, dataset: str) -> list[Rates]:
    """For every rectified layer, how often over a dataset each unit is active; one pass."""
    graph = model.folded
    found = [_empty(model, node) for node in rectified(graph)]
    keep = {index for one in found for index in (one.layer.index, one.rectifier.index)}
    with torch.no_grad():
        for x in stream(model, batch, dataset, _Counted(found)):
            _, values = graph.run(x, keep)
            for one in found:
                one.add(values[one.layer.index], values[one.rectifier.index])
    return found


def _empty(model: Model, layer: Node) -> Rates:
    nodes = model.folded.nodes
    rectifier = next(node for node in nodes if node.op in RECTIFIERS and layer.index in node.inputs)
    readers = tuple(node for node in nodes if rectifier.index in node.inputs)
    pools = readers if all(node.op in POOLS for node in readers) else ()
    return Rates(layer, rectifier, pools, torch.zeros(layer.part or (), dtype=torch.float64, device=model.device))
