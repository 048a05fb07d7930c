"""Gates: values that say how much of another passes (attention weights, squeeze-and-excitation, a norm's size)."""

from __future__ import annotations

from workers.engine import ops
from workers.engine.embeddings import flows
from workers.engine.graph import Graph, Node

_KEEPING = (
    ops.ROUTING | ops.AVERAGING | ops.MAX_POOLING | ops.ADDITION | ops.SCALING | ops.ELEMENTWISE
    | {"clamp", "clamp_min", "clamp_max"}
)  # fmt: skip


def gates(graph: Graph) -> frozenset[int]:
    """The nodes that are gates: squashed values and sizes, and what is made of nothing but them.

    In a product with another value they are held constant, as a layer's weights are.
    """
    flowing = flows(graph)
    found: set[int] = set()
    for node in graph.nodes[1:]:
        sources = [i for i in node.inputs if flowing[i]]
        if not flowing[node.index]:
            continue
        if _weighs(node, graph) or (node.op in _KEEPING and all(i in found for i in sources)):
            found.add(node.index)
    return frozenset(found)


def _weighs(node: Node, graph: Graph) -> bool:
    if node.op == "pow":
        exponent = node.args[1]
        return isinstance(exponent, int | float) and exponent < 0
    if node.op == "add" and len(node.inputs) == 1:  # 1 + tanh(x), as in a GELU written out
        return graph.nodes[node.inputs[0]].op == "tanh"
    return node.op in ops.WEIGHTING
