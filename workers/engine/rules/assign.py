"""Composites at work: a composite's table against a graph gives each node its rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.tape import Local
from workers.engine.rules.boxes import Range
from workers.engine.rules.entry import Entry
from workers.engine.rules.matching import Position, is_linear, matches, names, where
from workers.engine.rules.named.epsilon import EpsilonEntry
from workers.engine.rules.rule import Rule
from workers.engine.rules.weightless import Structure, Weightless, implied
from workers.explanation.composite import DEFAULT, Choices
from workers.explanation.errors import ANY_FUNCTION, Instead, InvalidParameter, MethodNotApplicable


def assign(graph: Graph, table: Sequence[Entry], box: Range | None, choices: Choices = DEFAULT) -> dict[int, Rule]:
    """The rule of every node that a value flows through, by index.

    A node without weights that no entry matches shares by contribution, stabilised as the table's last entry is. An
    operation that no rule fits gets one that raises (see `check`). Raises InvalidParameter for a linear node that no
    entry of the table matches, and for z_box where the input has no range.
    """
    structure, rest = Structure(graph, choices), EpsilonEntry(epsilon=table[-1].epsilon)
    flowing = [n for n in graph.nodes[1:] if structure.flows[n.index] and n.op not in ops.EMBEDDING]
    rules: dict[int, Rule] = {}
    for node in flowing:
        if not is_linear(node):
            entry = next((e for e in table if matches(e, node)), rest)
            rules[node.index] = implied(Weightless(node, entry, names(entry, node), structure)) or Unknown(node)
    positions = where(graph, rules)
    for node in flowing:
        if is_linear(node):
            rules[node.index] = _of_table(node, table, positions[node.index], graph, box)
    return dict(sorted(rules.items()))


def check(graph: Graph, rules: Mapping[int, Rule], ends: Collection[int], to: int) -> None:
    """Raise MethodNotApplicable where relevance of one of `ends` comes to an operation without a rule on its way to
    `to`, naming the node nearest to that."""
    ahead = {i for i, flows in enumerate(graph.reaching(to)) if flows and i != to}
    unknown = [rule for i in reached(graph, rules, ends) if isinstance(rule := rules.get(i), Unknown) and i in ahead]
    if unknown:
        raise unknown[-1].error()


def _of_table(node: Node, table: Sequence[Entry], position: Position, graph: Graph, box: Range | None) -> Rule:
    entry = next((e for e in table if matches(e, node, position)), None)
    if entry is None:
        raise InvalidParameter(
            f"no entry of the composite matches {node.layer} ({node.op}); end the table with an entry without "
            "conditions",
            pointer="/method/composite",
        )
    return entry.bind(node, graph, box)


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
