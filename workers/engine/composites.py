"""Composites at work: a composite's table against a graph gives each node its rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from workers.composite import DEFAULT, Choices, Entry
from workers.engine import ops
from workers.engine.graph import Graph, Node
from workers.engine.rules import linear
from workers.engine.rules.rule import Rule
from workers.engine.structure import Structure, Unknown, reached
from workers.errors import Instead, InvalidParameter

ZERO = 1e-9  # what LRP-0 divides by where a unit is exactly zero
Range = tuple[Tensor, Tensor]


def assign(graph: Graph, table: Sequence[Entry], box: Range | None, choices: Choices = DEFAULT) -> dict[int, Rule]:
    """The rule of every node that a value flows through, by index.

    An operation that no rule fits gets one that raises (see `check`). Raises InvalidParameter for a linear node that no
    entry of the table matches, and for z_box where the input has no range.
    """
    structure, places = Structure(graph, choices), _places(graph)
    rules: dict[int, Rule] = {}
    for node in graph.nodes[1:]:
        if not structure.flows[node.index] or node.op in ops.EMBEDDING:
            continue
        if node.index in places:
            rules[node.index] = _of_table(node, table, places[node.index], box)
        else:
            rules[node.index] = structure.rule(node) or Unknown(node)
    return rules


def check(graph: Graph, rules: Mapping[int, Rule], ends: Collection[int], to: int) -> None:
    """Raise MethodNotApplicable where relevance of one of `ends` comes to an operation without a rule on its way to
    `to`, naming the node nearest to that."""
    ahead = {i for i, flows in enumerate(graph.reaching(to)) if flows and i != to}
    unknown = [rule for i in reached(graph, rules, ends) if isinstance(rule := rules.get(i), Unknown) and i in ahead]
    if unknown:
        raise unknown[-1].error()


def linear_nodes(graph: Graph) -> list[Node]:
    """The nodes with weights: what the entries of a composite are about."""
    return [node for node in graph.nodes if is_linear(node)]


def is_linear(node: Node) -> bool:
    """Whether the node applies constant weights to one input."""
    return node.op in ops.LINEAR and len(node.inputs) == 1 and isinstance(node.args[1], Tensor)


def _places(graph: Graph) -> dict[int, frozenset[str]]:
    """Where each linear node lies: first, lower_half, upper_half.

    Weights that also read what weights have made, as those of a recurrent layer do, are not first at any of their uses.
    """
    weighted = linear_nodes(graph)
    above: set[int] = set()
    for node in weighted:
        if node.index not in above:
            reached = graph.reaching(node.index)
            above |= {other.index for other in weighted if other is not node and reached[other.index]}
    later = {id(node.args[1]) for node in weighted if node.index in above}
    convolutions = [node.index for node in weighted if node.op != "linear"]
    lower = set(convolutions[: len(convolutions) // 2])
    return {
        node.index: frozenset(
            {"lower_half" if node.index in lower else "upper_half"}
            | (set() if node.index in above or id(node.args[1]) in later else {"first"})
        )
        for node in weighted
    }


def _of_table(node: Node, table: Sequence[Entry], places: frozenset[str], box: Range | None) -> Rule:
    entry = next((e for e in table if _matches(e, node, places)), None)
    if entry is None:
        raise InvalidParameter(
            f"no entry of the composite matches {node.layer} ({node.op}); end the table with an entry without "
            "conditions",
            pointer="/method/composite",
        )
    return _bind(entry, node, box)


def _matches(entry: Entry, node: Node, places: frozenset[str]) -> bool:
    kind = "linear" if node.op == "linear" else "convolution"
    names = (node.layer, *node.aliases)
    return (
        (entry.layers is None or any(fnmatchcase(name, entry.layers) for name in names))
        and (entry.ops is None or entry.ops == kind)
        and (entry.where is None or entry.where in places)
    )


def _bind(spec: Entry, node: Node, box: Range | None) -> Rule:
    match spec.rule:
        case "zero":
            return linear.Epsilon(ZERO)
        case "epsilon":
            return linear.Epsilon(spec.epsilon, spec.std)
        case "gamma":
            return linear.Gamma(node, spec.epsilon, spec.gamma)
        case "alpha_beta":
            return linear.AlphaBeta(node, spec.epsilon, spec.alpha, spec.alpha - 1)
        case "z_plus":
            return linear.ZPlus(node, spec.epsilon, spec.bias)
        case "flat":
            return linear.Flat(node, spec.epsilon)
        case "w_square":
            return linear.WSquare(node, spec.epsilon)
        case "z_box":
            low, high = _range(spec.low, spec.high, box, node)
            return linear.ZBox(node, spec.epsilon, low, high)


def _range(low: float | None, high: float | None, box: Range | None, node: Node) -> Range:
    """The box of z_box: what the entry says, else the model's input range."""
    like = node.args[1]
    if box is None and (low is None or high is None):
        raise InvalidParameter(
            "z_box needs the range of the input, and the model's card has none: give the rule low and high, or add "
            "low and high to [input] of the card",
            pointer="/method/composite",
            instead=[Instead(parameters={"composite": name}) for name in ("epsilon_plus", "epsilon_plus_flat")],
        )
    lowest, highest = box or (like.new_zeros(()), like.new_zeros(()))
    return (
        lowest if low is None else torch.full_like(lowest, low),
        highest if high is None else torch.full_like(highest, high),
    )
