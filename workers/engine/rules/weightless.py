"""Nodes without weights: what a graph says of them, and which function of `by_operation/` gives them their rule."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

from workers.engine.graph import ops
from workers.engine.graph.embeddings import flows
from workers.engine.graph.gates import Gates
from workers.engine.graph.graph import Graph, Node, references
from workers.engine.graph.linearity import is_affine
from workers.engine.rules import by_operation
from workers.engine.rules.entry import Entry
from workers.engine.rules.named.epsilon import by_contribution
from workers.engine.rules.rule import Rule
from workers.explanation.composite import Choices


class Structure:
    """What a graph says of how its nodes share relevance: which values come from the input, and which are gates."""

    def __init__(self, graph: Graph, choices: Choices) -> None:
        self.graph = graph
        self.choices = choices
        self.flows = flows(graph)
        self.gates = Gates(graph, choices.gates)

    def before(self, index: int) -> int:
        """The node whose value this one is the activation of; itself, where it is no activation."""
        node = self.graph.nodes[index]
        return node.inputs[0] if node.op in ops.ACTIVATION and len(node.inputs) == 1 else index


class Weightless(NamedTuple):
    """A node without weights and its entry; `named` where that is about this very node or its class of operations."""

    node: Node
    entry: Entry
    named: bool
    structure: Structure

    @property
    def sources(self) -> list[int]:
        """The nodes that it reads whose values come from the input."""
        return [i for i in self.node.inputs if self.structure.flows[i]]

    def flowing(self, argument: Any) -> list[int]:
        """Those among an argument of its call."""
        return [i for i in references(argument) if self.structure.flows[i]]


RuleOf: TypeAlias = Callable[[Weightless], Rule | None]
F = TypeVar("F", bound=RuleOf)
_served: dict[str, RuleOf] = {}


def serves(operations: Iterable[str]) -> Callable[[F], F]:
    """Marks what gives nodes of these operations their rule, or None where it has none for that node."""

    def served(rule_of: F) -> F:
        for op in operations:
            assert op not in _served, f"two rules serve {op}"
            _served[op] = rule_of
        return rule_of

    return served


@cache
def served() -> dict[str, RuleOf]:
    """What gives a node its rule, by its operation: found in the files of `by_operation/`."""
    for one in pkgutil.iter_modules(by_operation.__path__):
        importlib.import_module(f"{by_operation.__name__}.{one.name}")
    return _served


def implied(of: Weightless) -> Rule | None:
    """The rule that follows from what the node does; where no file serves its operation, by contribution if affine."""
    rule_of = served().get(of.node.op)
    if rule_of is not None:
        return rule_of(of)
    return by_contribution(of.entry) if is_affine(of.node, of.structure.graph) else None
