"""The rules of nodes without weights, which follow from what a node does and what reads what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.embeddings import flows
from workers.engine.graph.gates import Gates
from workers.engine.graph.graph import Graph, Node, references
from workers.engine.graph.linearity import is_affine
from workers.engine.graph.tape import Local
from workers.engine.rules import alike, bilinear, normalisation, pooling
from workers.engine.rules.linear import Epsilon, Zero
from workers.engine.rules.rule import Gradient, Pass, Rule
from workers.explanation.composite import Choices, Entry
from workers.explanation.errors import ANY_FUNCTION, Instead, MethodNotApplicable


class Structure:
    """What a graph says of how its nodes share relevance: which values come from the input, and which are gates."""

    def __init__(self, graph: Graph, choices: Choices) -> None:
        self.graph = graph
        self.choices = choices
        self.flows = flows(graph)
        self.gates = Gates(graph, choices.gates)

    def rule(self, node: Node, entry: Entry, named: bool) -> Rule | None:
        """The rule of a node without weights, by an entry of the composite; None where none is known.

        A maximum pool follows the entry where that has `named` it.
        """
        sources = [i for i in node.inputs if self.flows[i]]
        if node.op in ops.ACTIVATION or node.op in ops.ELEMENTWISE or node.op in ("softmax", "rms_norm"):
            return Pass() if len(sources) == 1 else None
        if pooling.pools(node) and (named or self.choices.pooling == "proportional"):
            return _pool(node, entry, sources, named)
        if node.op in ops.INDEXED_MAXIMA and self.choices.pooling == "proportional":
            return None
        if node.op in ops.ROUTING or node.op in ops.MAX_POOLING or node.op in ops.CHOOSING:
            return Gradient()
        if node.op in ops.AVERAGING or node.op in ops.ADDITION or node.op in ops.BATCH_NORM:
            return _sum(node, entry, sources)
        if node.op in ops.NORMALISING:
            return _norm(node, entry)
        if node.op == "log_softmax":
            return normalisation.Shifted(entry.epsilon)
        found = self._product(node, entry, sources)
        return found or (by_contribution(entry) if is_affine(node, self.graph) else None)

    def _product(self, node: Node, entry: Entry, sources: Sequence[int]) -> Rule | None:
        if node.op == "neg":
            return Pass()
        if node.op == "div":
            return bilinear.Carrier([i for i in references(node.args[0]) if self.flows[i]] or sources)
        if node.op == "mul" and self.choices.gate != "all" and len(sources) == 2:
            stabiliser = entry.epsilon if self.choices.stabiliser is None else self.choices.stabiliser
            return bilinear.Product(self.choices.gate, {i: self._before(i) for i in sources}, stabiliser)
        if node.op == "mul":
            return bilinear.Carrier(self.gates.signals(node, sources))
        if node.op == "scaled_dot_product_attention":
            return bilinear.Carriers([i for i in references(node.args[2]) if self.flows[i]], entry.epsilon)
        if node.op in ops.BILINEAR:
            return bilinear.Carriers(self.gates.signals(node, sources), entry.epsilon)
        if node.op in ops.AFFINE_IN_EACH and len(self._flowing(node.args[1:3])) < 2:
            return by_contribution(entry)
        return None

    def _before(self, index: int) -> int:
        """The node whose value this one is the activation of; itself, where it is no activation."""
        node = self.graph.nodes[index]
        return node.inputs[0] if node.op in ops.ACTIVATION and len(node.inputs) == 1 else index

    def _flowing(self, arguments: Sequence[Any]) -> Collection[int]:
        return {i for i in references(list(arguments)) if self.flows[i]}


def by_contribution(entry: Entry) -> Rule:
    """In proportion to the contributions, which is every signed rule's share where all weights have one sign."""
    if entry.rule == "zero" or not (entry.epsilon or (entry.rule == "epsilon" and entry.std)):
        return Zero()
    return Epsilon(entry.epsilon, entry.std if entry.rule == "epsilon" else 0.0)


def _sum(node: Node, entry: Entry, sources: Sequence[int]) -> Rule:
    if entry.rule not in ("flat", "w_square"):
        return by_contribution(entry)
    if node.op in ops.BATCH_NORM:
        return Pass()
    return (alike.Flat if entry.rule == "flat" else alike.WSquare)(node, entry.epsilon, sources)


def _pool(node: Node, entry: Entry, sources: Sequence[int], named: bool) -> Rule:
    if named and entry.rule in ("flat", "w_square"):
        return (alike.Flat if entry.rule == "flat" else alike.WSquare)(node, entry.epsilon, sources)
    return pooling.Proportional(node, entry.epsilon)


def _norm(node: Node, entry: Entry) -> Rule | None:
    if len(node.inputs) != 1:
        return None
    return Pass() if entry.rule in ("flat", "w_square") else normalisation.rule(node, entry.epsilon)


class Unknown:
    """Stands for the rule of a node that has none, where relevance from the output never comes (within a gate)."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def error(self) -> MethodNotApplicable:
        return MethodNotApplicable(
            f"no propagation rule is known for {self.node.op} at {self.node.layer}",
            pointer="/method",
            instead=(Instead(parameters={"pooling": "winner_take_all"}), *ANY_FUNCTION),
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
