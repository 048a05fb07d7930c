"""Boxes: the range of the input, seen from the layers that read it through calls that only arrange or rescale it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.explanation.errors import InvalidParameter

Range = tuple[Tensor, Tensor]
_MONOTONE = ops.ROUTING | ops.AVERAGING | ops.MAX_POOLING | ops.BATCH_NORM | ops.ADDITION | ops.SCALING
_MONOTONE |= {"relu", "relu6", "hardtanh", "leaky_relu", "sigmoid", "tanh", "clamp", "clamp_min", "clamp_max"}


def seen_from(graph: Graph, node: Node, box: Range) -> Range:
    """The lowest and highest values of what a node reads, of one row, from those of the input.

    Raises InvalidParameter, naming the node between them by which the range is not known.
    """
    source = node.inputs[0]
    if source == 0:
        return box
    unclear = next((n for n in _between(graph, source) if not _keeps_order(graph, n)), None)
    if unclear is not None:
        raise InvalidParameter(
            f"z_box needs the range of what {node.layer} reads, and {unclear.layer} ({unclear.op}) lies between it and "
            "the input; give the rule low and high, or another rule: z_plus where that is positive, else w_square",
            pointer="/method/composite",
        )
    until = replace(graph, nodes=graph.nodes[: source + 1], output=source)
    shape = (1, *(graph.nodes[0].shape or ()))
    with torch.no_grad():
        one, other = (until.run(end.expand(shape).contiguous())[0] for end in box)
    low, high = torch.minimum(one, other), torch.maximum(one, other)
    even = bool((low == low.flatten()[0]).all() and (high == high.flatten()[0]).all())
    return (low.flatten()[0], high.flatten()[0]) if even else (low, high)


def _between(graph: Graph, source: int) -> list[Node]:
    """The nodes by which the input gets to a node, with it."""
    flows = graph.reaching(0)
    wanted, waiting = set[int](), [source]
    while waiting:
        index = waiting.pop()
        if index and index not in wanted and flows[index]:
            wanted.add(index)
            waiting.extend(graph.nodes[index].inputs)
    return [graph.nodes[index] for index in sorted(wanted)]


def _keeps_order(graph: Graph, node: Node) -> bool:
    """Whether each of its values rises, or falls, with all that it reads."""
    flows = graph.reaching(0)
    once = sum(flows[i] for i in node.inputs) == 1
    return node.op in _MONOTONE and (once or node.op in ops.ROUTING)
