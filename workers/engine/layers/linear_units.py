"""Linear neurons, which signal estimators are fitted to: layers with weights, and sums of values (S2 section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.embeddings import check_slope
from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.linearity import adds_up
from workers.engine.layers.rectified import RECTIFIERS
from workers.engine.model.model import Model
from workers.engine.rules.matching import is_linear
from workers.explanation.errors import MethodNotApplicable, methods

RESCALING = ops.SCALING | ops.BATCH_NORM | ops.ADDITION  # of one value
MOVING = ops.ROUTING | ops.MAX_POOLING | ops.AVERAGING | RECTIFIERS


class Neuron(Protocol):
    """The units of a node: y = w . x for each. What belongs to each weight is shaped like `weight`."""

    node: Node
    weight: Tensor
    axis: int

    def correlate(self, inputs: Sequence[Tensor], g: Tensor) -> Tensor:
        """The sum of x g over samples and places, for each weight; g is shaped like the node's value."""
        ...

    def total(self, values: Tensor) -> Tensor:
        """The sum over each unit's weights."""
        ...

    def spread(self, of_units: Tensor) -> Tensor:
        """A number for each unit, broadcastable to the weights."""
        ...


class Weighted:
    """The units of a dense or convolutional layer of any kind; places share their weights."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.weight: Tensor = node.args[1]
        self.axis = -1 if node.op == "linear" else 1
        self.transposed = ops.channel_axis_of_weight(node.op, node.args) == 1
        self.groups = ops.groups(node.op, node.args)
        self.units = self.weight.shape[1] * self.groups if self.transposed else len(self.weight)

    def call(self, x: Tensor, weight: Tensor) -> Tensor:
        """The node's call with these weights and no bias."""
        output: Tensor = self.node.call(x, weight, None, *self.node.args[3:], **self.node.kwargs)
        return output

    def read(self, x: Tensor) -> Tensor:
        """What the units of each place read of one sample (1, ...): (groups, inputs of a unit, places)."""
        inputs = self.weight[0].numel()
        if self.node.op == "linear":
            return x.reshape(-1, inputs).T[None]
        each = torch.eye(inputs, dtype=x.dtype, device=x.device).view(inputs, *self.weight.shape[1:])
        return self.call(x, each.repeat(self.groups, *[1] * (each.dim() - 1))).view(self.groups, inputs, -1)

    def by_unit(self, y: Tensor) -> Tensor:
        """The node's value for one sample as (groups, units, places)."""
        if self.node.op == "linear":
            return y.reshape(-1, self.units).T[None]
        return y.reshape(self.groups, self.units // self.groups, -1)

    def correlate(self, inputs: Sequence[Tensor], g: Tensor) -> Tensor:
        weight = self.weight.detach().requires_grad_()
        with torch.enable_grad():
            output = self.call(inputs[0].detach(), weight)
        return torch.autograd.grad(output, weight, g)[0]

    def total(self, values: Tensor) -> Tensor:
        if not self.transposed:
            return values.flatten(1).sum(1)
        grouped = values.reshape(self.groups, -1, *values.shape[1:])  # a transposed one holds its inputs first
        return grouped.flatten(3).sum((1, 3)).flatten()

    def spread(self, of_units: Tensor) -> Tensor:
        ones = [1] * (self.weight.dim() - 2)
        if not self.transposed:
            return of_units.view(-1, 1, *ones)
        repeated = of_units.view(self.groups, -1).repeat_interleave(len(self.weight) // self.groups, 0)
        return repeated.view(len(self.weight), -1, *ones)


class Sum:
    """Sums of several values: the units of a channel share a weight for each of the values."""

    axis = 1

    def __init__(self, node: Node, weight: Tensor) -> None:
        self.node = node
        self.weight = weight

    def correlate(self, inputs: Sequence[Tensor], g: Tensor) -> Tensor:
        return torch.stack([over_units(x * g, self.axis) for x in inputs])

    def total(self, values: Tensor) -> Tensor:
        return values.sum(0)

    def spread(self, of_units: Tensor) -> Tensor:
        return of_units[None]


def over_units(values: Tensor, axis: int) -> Tensor:
    """The sum over all axes but that of the units."""
    axis %= values.dim()
    return values.sum([i for i in range(values.dim()) if i != axis])


def neurons(model: Model) -> list[Neuron]:
    """The linear neurons that the input flows into, in order; raises MethodNotApplicable as `check` does."""
    check(model)
    graph = model.folded
    flows = graph.reaching(0)
    found: list[Neuron] = []
    for node in graph.nodes[1:]:
        if flows[node.index] and is_linear(node):
            found.append(Weighted(node))
        elif flows[node.index] and is_sum(node):
            found.append(Sum(node, _slopes(node, graph, model)))
    return found


def is_sum(node: Node) -> bool:
    return node.op in ops.ADDITION and len(node.inputs) > 1


def check(model: Model) -> None:
    """Raise MethodNotApplicable, naming the node, where a model has more than linear neurons, ReLUs and pooling."""
    graph = model.folded
    check_slope(graph)
    flows = graph.reaching(0)
    for node in graph.nodes[1:]:
        if flows[node.index] and not _known(node, graph):
            raise MethodNotApplicable(
                f"{node.op} at {node.layer} has no signal estimator: patterns are defined for linear neurons with "
                "ReLUs and pooling",
                pointer="/method",
                instead=methods("gradient", "integrated_gradients"),
            )


def _known(node: Node, graph: Graph) -> bool:
    if is_sum(node):
        return all(graph.nodes[i].shape == node.shape and len(node.shape or ()) > 0 for i in node.inputs)
    known = is_linear(node) or node.op in MOVING or (node.op in RESCALING and len(node.inputs) == 1)
    return known or adds_up(node, graph)


def _slopes(node: Node, graph: Graph, model: Model) -> Tensor:
    """The weight of each summand (summands, channels): 1, -1, or what `alpha` says."""
    shapes = [(1, *(graph.nodes[i].shape or ())) for i in node.inputs]
    leaves = [torch.zeros(shape, dtype=model.dtype, device=model.device, requires_grad=True) for shape in shapes]
    with torch.enable_grad():
        output = node.run(dict(zip(node.inputs, leaves, strict=True)))
    found = torch.autograd.grad(output.sum(), leaves)
    return torch.stack([slope.flatten(2)[0, :, 0] if slope.dim() > 2 else slope[0] for slope in found])
