"""Another implementation of the same function: every hidden neuron split in two (S4 13.3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, Ref
from workers.engine.layers.linear_units import Weighted
from workers.engine.model.graph_copy import GraphCopy, edited, variant
from workers.engine.model.model import Model
from workers.engine.rules.matching import is_linear, linear_nodes
from workers.explanation.errors import MethodNotApplicable

ROUNDING = 16  # units in the last place of the norm: less is no difference
_CAT = torch.ops.aten.cat.default


def split(model: Model, theta: float) -> tuple[Model, list[str]]:
    """The model with what its layers read of other layers doubled, and the names of those layers.

    The copies' outgoing weights are w + t and -t, where t is `theta` standard deviations of the layer's weights: the
    sum is that of before. Grouped convolutions stay as they are. Raises MethodNotApplicable where no layer is left.
    """
    check(model)
    hidden = _hidden(model.folded)
    layers: list[str] = []

    def edit(copy: GraphCopy, node: Node) -> Ref:
        if node.index not in hidden:
            return copy.copied(node)
        layers.append(node.layer)
        neuron = Weighted(node)
        axis = -1 if node.op == "linear" else 1
        read = model.folded.nodes[node.inputs[0]]
        there = copy.moved(node.args[0])
        doubled = copy.added(f"{node.name}_split", _CAT, "cat", ([there, there], axis), _doubled(read, axis), read)
        amount = theta * neuron.weight.std()
        extra = torch.full_like(neuron.weight, float(amount))
        weight = torch.cat([neuron.weight + extra, -extra], 0 if neuron.transposed else 1)
        return copy.copied(node, (doubled, weight, *copy.moved(list(node.args[2:]))))

    return variant(model, edited(model.folded, edit)), layers


def check(model: Model) -> None:
    """Raise MethodNotApplicable where no layer reads what another one has made."""
    if not _hidden(model.folded):
        raise MethodNotApplicable(
            "no neuron of this model can be split: it has no layer that reads another one; name a second model of the "
            "same function as `other`",
            pointer="/method/other",
        )


def _hidden(graph: Graph) -> set[int]:
    """The layers with weights that read what other ones have made."""
    layers = {layer.index for layer in linear_nodes(graph)}
    above = graph.fed(layers)
    return {
        i
        for i in layers
        if above[i] and is_linear(graph.nodes[i]) and Weighted(graph.nodes[i]).groups == 1 and _plain(graph, i)
    }


def _plain(graph: Graph, index: int) -> bool:
    """Whether the node's input has plain sizes and its first argument is what it reads."""
    node = graph.nodes[index]
    return isinstance(node.args[0], Ref) and graph.nodes[node.inputs[0]].shape is not None and node.op in ops.LINEAR


def _doubled(node: Node, axis: int) -> tuple[int, ...]:
    shape = list(node.shape or ())
    at = axis if axis < 0 else axis - 1
    shape[at] *= 2
    return tuple(shape)


def gap(one: Tensor, other: Tensor) -> Tensor:
    """|one - other| / |one| of each row, Euclidean; the distance itself where one is zero. What is rounding is 0."""
    size = one.flatten(1).double().norm(dim=1)
    distance = (one - other).flatten(1).double().norm(dim=1)
    relative = torch.where(size > 0, distance / size.clamp(min=1e-300), distance)
    return torch.where(relative > ROUNDING * torch.finfo(one.dtype).eps, relative, 0.0)
