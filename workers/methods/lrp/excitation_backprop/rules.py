"""Excitation backprop's rules: winning probabilities, and those of the unit that everything speaks against."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from torch import Tensor

from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.tape import Local
from workers.engine.model.model import Model
from workers.engine.rules.entry import Table
from workers.engine.rules.matching import is_linear
from workers.engine.rules.named.z_plus import ZPlus, ZPlusEntry
from workers.engine.rules.rule import Rule

EPSILON = 0.0  # what excites is all of one sign: only where nothing does is there nothing to divide by
TABLES: dict[bool, Table] = {bias: (ZPlusEntry(bias=bias, epsilon=EPSILON),) for bias in (False, True)}


class Contrast:
    """The probabilities of a layer's units, less those of their duals: the same units, all weights negated."""

    def __init__(self, node: Node, bias: bool) -> None:
        x, weight, *rest = node.args
        negated = [-rest[0], *rest[1:]] if rest and isinstance(rest[0], Tensor) else rest
        self.unit = ZPlus(node, EPSILON, bias)
        self.dual = ZPlus(replace(node, args=(x, -weight, *negated)), EPSILON, bias)

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        for_it, against = self.unit.backward(local, relevance)[0], self.dual.backward(local, relevance)[0]
        assert for_it is not None
        assert against is not None
        return [for_it - against]


def rules(model: Model, bias: bool, contrastive: bool, starts: Collection[int]) -> dict[int, Rule]:
    """z+, with biases or without; contrastive, the first layers with weights below the start against their duals."""
    plain = model.rules(TABLES[bias])
    if not contrastive:
        return plain
    return {**plain, **{node.index: Contrast(node, bias) for node in _topmost(model.folded, starts)}}


def _topmost(graph: Graph, starts: Collection[int]) -> list[Node]:
    """The nodes with weights that are reached from the starts, going down, before any other."""
    found: dict[int, Node] = {}
    seen: set[int] = set()
    ahead = list(starts)
    while ahead:
        index = ahead.pop()
        if index in seen:
            continue
        seen.add(index)
        node = graph.nodes[index]
        if is_linear(node):
            found[index] = node
        else:
            ahead.extend(node.inputs)
    return list(found.values())
