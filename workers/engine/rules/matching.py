"""Which entry of a composite is about which node: by its name, its class of operation, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.rules.by_operation import pooling
from workers.engine.rules.entry import Entry
from workers.engine.rules.rule import Rule

_CLASSES = {
    "convolution": ops.LINEAR - {"linear"},
    "linear": frozenset({"linear"}),
    "sum": ops.ADDITION | {"sum", "cumsum"},
    "average_pooling": ops.AVERAGING - {"sum", "cumsum"},
    "max_pooling": ops.MAX_POOLING | ops.CHOOSING,
    "normalisation": ops.NORMALISING | ops.BATCH_NORM | {"log_softmax"},
    "product": ops.BILINEAR | ops.AFFINE_IN_EACH | {"mul"},
}


class Position(NamedTuple):
    """Where a layer with weights lies: whether it reads the input alone, and in which half of its like."""

    first: bool
    lower: bool


def is_linear(node: Node) -> bool:
    """Whether the node applies constant weights to one input."""
    return node.op in ops.LINEAR and len(node.inputs) == 1 and isinstance(node.args[1], Tensor)


def linear_nodes(graph: Graph) -> list[Node]:
    """The nodes that apply constant weights."""
    return [node for node in graph.nodes if is_linear(node)]


def matches(entry: Entry, node: Node, position: Position | None = None) -> bool:
    """Whether every condition of the entry holds for the node; `position` is that of a layer with weights."""
    if pooling.pools(node) and (entry.ops or entry.layers) and not names(entry, node):
        return False
    return (
        (entry.layers is None or any(fnmatchcase(name, entry.layers) for name in (node.layer, *node.aliases)))
        and (entry.ops is None or node.op in _CLASSES[entry.ops])
        and (entry.where is None or (position is not None and _lies(entry, node, position)))
    )


def names(entry: Entry, node: Node) -> bool:
    """Whether the entry is about this very layer, or about the class of its operation."""
    return (entry.ops is not None and node.op in _CLASSES[entry.ops]) or entry.layers in (node.layer, *node.aliases)


def _lies(entry: Entry, node: Node, position: Position) -> bool:
    if entry.where == "first":
        return position.first
    lower = position.lower and (node.op != "linear" or entry.ops == "linear")
    return lower == (entry.where == "lower_half")


def where(graph: Graph, rules: Mapping[int, Rule]) -> dict[int, Position]:
    """Where each layer with weights lies, given the rules of the other nodes.

    Weights that also read what weights have made, as those of a recurrent layer do, are not first at any of their uses.
    """
    weighted = linear_nodes(graph)
    above = graph.fed({node.index for node in weighted})
    later = {id(node.args[1]) for node in weighted if above[node.index]}
    lower = {
        *_lower_half(graph, rules, [node for node in weighted if node.op != "linear"]),
        *_lower_half(graph, rules, [node for node in weighted if node.op == "linear"]),
    }
    return {
        node.index: Position(not above[node.index] and id(node.args[1]) not in later, node.index in lower)
        for node in weighted
    }


def _lower_half(graph: Graph, rules: Mapping[int, Rule], layers: Sequence[Node]) -> set[int]:
    """Those of the layers below which, themselves included, lies no more than half of the longest chain of them.

    So layers side by side, as in a residual block's branches, are in one half; the middle one of an odd number is in
    the lower. Counted along the ways that relevance goes: what makes a gate makes the net no deeper.
    """
    counted = {node.index for node in layers}
    depth = [0] * len(graph.nodes)
    carrying = [False] * len(graph.nodes)
    carrying[graph.output] = True
    for node in reversed(graph.nodes):
        if carrying[node.index]:
            for i in _carriers(node, rules):
                carrying[i] = True
    for node in graph.nodes:
        below = max((depth[i] for i in _carriers(node, rules)), default=0)
        depth[node.index] = below + (node.index in counted)
    deepest = max((depth[i] for i in counted if carrying[i]), default=0)
    return {i for i in counted if 2 * depth[i] <= deepest + 1}


def _carriers(node: Node, rules: Mapping[int, Rule]) -> Sequence[int]:
    carriers: Sequence[int] = getattr(rules.get(node.index), "carriers", node.inputs)
    return carriers
