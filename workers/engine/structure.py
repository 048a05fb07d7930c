"""The rules of nodes without weights, which follow from what a node does and what reads what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from workers.composite import Choices
from workers.engine import ops
from workers.engine.embeddings import flows
from workers.engine.gates import gates
from workers.engine.graph import Graph, Node, references
from workers.engine.rules import normalisation, pooling, shared
from workers.engine.rules.linear import Epsilon
from workers.engine.rules.product import Product
from workers.engine.rules.rule import Gradient, Pass, Rule
from workers.engine.tape import Local
from workers.errors import ANY_FUNCTION, MethodNotApplicable

STABILISER = 1e-6  # of sums, averages, products and norms, which no entry names


class Structure:
    """What a graph says of how its nodes share relevance: which values come from the input, and which are gates."""

    def __init__(self, graph: Graph, choices: Choices) -> None:
        self.graph = graph
        self.choices = choices
        self.flows = flows(graph)
        self.gates = gates(graph)

    def rule(self, node: Node) -> Rule | None:
        """The rule of a node without weights; None where none is known."""
        sources = [i for i in node.inputs if self.flows[i]]
        if node.op in ops.ACTIVATION or node.op in ops.ELEMENTWISE or node.op in ("softmax", "rms_norm"):
            return Pass() if len(sources) == 1 else None
        if node.op in ops.MAX_POOLING and self.choices.pooling == "proportional":
            return pooling.Proportional(node, STABILISER) if pooling.averages(node) else None
        if node.op in ops.ROUTING or node.op in ops.MAX_POOLING or node.op in ops.CHOOSING:
            return Gradient()
        if node.op in ops.AVERAGING or node.op in ops.ADDITION or node.op in ops.BATCH_NORM:
            return Epsilon(STABILISER)
        if node.op in ops.NORMALISING:
            return normalisation.rule(node, STABILISER) if len(node.inputs) == 1 else None
        if node.op == "log_softmax":
            return normalisation.Shifted(STABILISER)
        return self._product(node, sources)

    def _product(self, node: Node, sources: Sequence[int]) -> Rule | None:
        if node.op == "neg":
            return Pass()
        if node.op == "div":
            return _elementwise([i for i in references(node.args[0]) if self.flows[i]] or sources)
        if node.op == "mul" and self.choices.gate != "all" and len(sources) == 2:
            return Product(self.choices.gate, {i: self._before(i) for i in sources}, STABILISER)
        if node.op == "mul":
            return _elementwise(self._signals(sources))
        if node.op == "scaled_dot_product_attention":
            return shared.Carriers([i for i in references(node.args[2]) if self.flows[i]], STABILISER)
        if node.op in ops.BILINEAR:
            return shared.Carriers(self._signals(sources), STABILISER)
        if node.op in ops.AFFINE_IN_EACH and len(self._flowing(node.args[1:3])) < 2:
            return Epsilon(STABILISER)
        return None

    def _before(self, index: int) -> int:
        """The node whose value this one is the activation of; itself, where it is no activation."""
        node = self.graph.nodes[index]
        return node.inputs[0] if node.op in ops.ACTIVATION and len(node.inputs) == 1 else index

    def _signals(self, sources: Sequence[int]) -> Sequence[int]:
        """The factors that are no gates; all, where that leaves none."""
        return [i for i in sources if i not in self.gates] or sources

    def _flowing(self, arguments: Sequence[Any]) -> Collection[int]:
        return {i for i in references(list(arguments)) if self.flows[i]}


def _elementwise(carriers: Sequence[int]) -> Rule:
    return shared.Carrier(carriers[0]) if len(carriers) == 1 else shared.Carriers(carriers, STABILISER)


class Unknown:
    """Stands for the rule of a node that has none, where relevance from the output never comes (within a gate)."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def error(self) -> MethodNotApplicable:
        return MethodNotApplicable(
            f"no propagation rule is known for {self.node.op} at {self.node.layer}",
            pointer="/method",
            instead=ANY_FUNCTION,
        )

    def backward(self, _local: Local, _relevance: Any) -> Sequence[Tensor | None]:
        raise self.error()


def reached(graph: Graph, rules: Mapping[int, Rule], ends: Collection[int]) -> list[int]:
    """The nodes that relevance from the ends comes to, last first."""
    found = set(ends)
    for node in reversed(graph.nodes):
        if node.index in found and node.index in rules:
            found.update(getattr(rules[node.index], "carriers", node.inputs))
    return sorted(found, reverse=True)
