"""Composites at work: a composite's table against a graph gives each node its rule."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from workers.composite import Entry, RuleSpec
from workers.engine import ops
from workers.engine.graph import Graph, Node
from workers.engine.rules import linear
from workers.engine.rules.rule import Gradient, Pass, Rule
from workers.errors import InvalidParameter, MethodNotApplicable

STABILISER = 1e-6  # of sums and averages, which no entry names
ZERO = 1e-9  # what LRP-0 divides by where a unit is exactly zero
Range = tuple[Tensor, Tensor]


def assign(graph: Graph, table: Sequence[Entry], box: Range | None) -> dict[int, Rule]:
    """The rule of every node that a value flows through, by index.

    Raises MethodNotApplicable for an operation that no rule fits, naming the node; InvalidParameter for a linear node
    that no entry of the table matches, and for z_box where the input has no range.
    """
    flows = graph.reaching(0)
    places = _places(graph)
    return {
        node.index: _rule(node, table, places.get(node.index, frozenset()), box)
        for node in graph.nodes[1:]
        if flows[node.index]
    }


def linear_nodes(graph: Graph) -> list[Node]:
    """The nodes with weights: what the entries of a composite are about."""
    return [node for node in graph.nodes if is_linear(node)]


def is_linear(node: Node) -> bool:
    """Whether the node applies constant weights to one input."""
    return node.op in ops.LINEAR and len(node.inputs) == 1 and isinstance(node.args[1], Tensor)


def _places(graph: Graph) -> dict[int, frozenset[str]]:
    """Where each linear node lies: first, lower_half, upper_half."""
    weighted = linear_nodes(graph)
    above: set[int] = set()
    for node in weighted:
        if node.index not in above:
            reached = graph.reaching(node.index)
            above |= {other.index for other in weighted if other is not node and reached[other.index]}
    convolutions = [node.index for node in weighted if node.op != "linear"]
    lower = set(convolutions[: len(convolutions) // 2])
    return {
        node.index: frozenset(
            {"lower_half" if node.index in lower else "upper_half"} | (set() if node.index in above else {"first"})
        )
        for node in weighted
    }


def _rule(node: Node, table: Sequence[Entry], places: frozenset[str], box: Range | None) -> Rule:
    if is_linear(node):
        entry = next((e for e in table if _matches(e, node, places)), None)
        if entry is None:
            raise InvalidParameter(
                f"no entry of the composite matches {node.layer} ({node.op}); end the table with an entry without "
                "conditions",
                pointer="/method/composite",
            )
        return _bind(entry.rule, node, box)
    return _structural(node)


def _matches(entry: Entry, node: Node, places: frozenset[str]) -> bool:
    kind = "linear" if node.op == "linear" else "convolution"
    names = (node.layer, *node.aliases)
    return (
        (entry.layers is None or any(fnmatchcase(name, entry.layers) for name in names))
        and (entry.ops is None or entry.ops == kind)
        and (entry.where is None or entry.where in places)
    )


def _bind(spec: RuleSpec, node: Node, box: Range | None) -> Rule:
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
            return linear.ZPlus(node, spec.epsilon)
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
        )
    lowest, highest = box or (like.new_zeros(()), like.new_zeros(()))
    return (
        lowest if low is None else torch.full_like(lowest, low),
        highest if high is None else torch.full_like(highest, high),
    )


def _structural(node: Node) -> Rule:
    """The rule of a node without weights, which follows from what it does."""
    if node.op in ops.ACTIVATION:
        return Pass()
    if node.op in ops.ROUTING or node.op in ops.MAX_POOLING:
        return Gradient()
    if node.op in ops.AVERAGING or node.op in ops.ADDITION or node.op in ops.BATCH_NORM:
        return linear.Epsilon(STABILISER)
    if node.op in ops.SCALING and len(node.inputs) == 1:
        return Pass()
    raise MethodNotApplicable(
        f"no propagation rule is known for {node.op} at {node.layer}; "
        "gradient, integrated_gradients, smooth_grad and occlusion need only the function and work here",
        pointer="/method",
    )
