"""What signals do at rectifiers in the methods that treat them specially, and which nodes are rectifiers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.embeddings import check_slope
from workers.engine.graph.graph import Graph, Node, Ref, references
from workers.engine.graph.linearity import adds_up
from workers.engine.graph.tape import Local
from workers.engine.rules.by_operation.passing import Gradient
from workers.engine.rules.rule import Rule, fit
from workers.explanation.errors import ANY_FUNCTION, MethodNotApplicable

_BOUNDED = {"hardtanh": "min_val", "clamp": "min", "clamp_min": "min"}
_CHOICES = frozenset({"where", "masked_fill", "index", "index_select", "gather", "take_along_dim"})
_LINEAR = ops.LINEAR | ops.BATCH_NORM | ops.AVERAGING | ops.ADDITION | ops.ROUTING | ops.MAX_POOLING
_ABOVE, _BELOW = frozenset({"gt", "ge"}), frozenset({"lt", "le"})
_ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})


class Guided:
    """A positive signal passes where the neuron is active, no other passes anywhere (S2 A.2.2)."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        return local.vjp(relevance.clamp(min=0) * (local.output.detach() > 0))


class Deconv:
    """A positive signal passes, whether the neuron is active or not (S2 A.2.1)."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        return [fit(relevance.clamp(min=0), leaf) for leaf in local.leaves]


def signals(graph: Graph, rectifier: Rule, method: str) -> dict[int, Rule]:
    """By node, `rectifier` where the node is one and its own derivative elsewhere: gates and norms keep theirs.

    Raises MethodNotApplicable where no rectifier is, naming the activation that there is.
    """
    check_slope(graph)
    flows, gradient = graph.reaching(0), Gradient()
    found: dict[int, Rule] = {
        node.index: rectifier if is_rectifier(node, graph) else gradient
        for node in graph.nodes[1:]
        if flows[node.index]
    }
    if rectifier not in found.values():
        other = next(iter(_neither(graph)), None)
        what = f"its first activation, {other.layer} ({other.op}), is none" if other else "it is linear"
        raise MethodNotApplicable(
            f"{method} changes what rectifiers (ReLU) hand back, and this model has none: {what}",
            pointer="/method",
            instead=ANY_FUNCTION,
        )
    return found


def check_rectified(graph: Graph, method: str, ends: Collection[int]) -> None:
    """Raise MethodNotApplicable, naming the node, where one between input and `ends` is no rectifier and not linear."""
    within = graph.leading(ends)
    for node in _neither(graph):
        if within[node.index]:
            raise MethodNotApplicable(
                f"{method} is defined for rectifiers (ReLU) and linear layers; {node.layer} ({node.op}) is neither",
                pointer="/method",
                instead=ANY_FUNCTION,
            )


def is_rectifier(node: Node, graph: Graph) -> bool:
    """Whether the node is zero for negative values of one input and the identity for small positive ones."""
    if node.op in ("relu", "relu6"):
        return True
    if node.op in _BOUNDED:
        low = node.args[1] if len(node.args) > 1 else node.kwargs.get(_BOUNDED[node.op])
        return _is_zero(low, graph)
    if node.op == "threshold":
        return all(_is_zero(argument, graph) for argument in node.args[1:3])
    if node.op == "leaky_relu":
        return len(node.args) > 1 and _is_zero(node.args[1], graph)
    if node.op in ("maximum", "fmax"):
        return any(_is_zero(argument, graph) for argument in node.args)
    return _masks(node, graph)


def _masks(node: Node, graph: Graph) -> bool:
    """Whether the node keeps what is above zero of the very value that it looks at, written as a choice or product."""
    args = node.args
    if node.op == "where" and len(args) == 3:
        kept = _compares(args[0], args[1], _ABOVE, graph) and _is_zero(args[2], graph)
        return kept or (_compares(args[0], args[2], _BELOW, graph) and _is_zero(args[1], graph))
    if node.op == "masked_fill":
        return _compares(args[1], args[0], _BELOW, graph) and _is_zero(args[2], graph)
    if node.op == "mul":
        return _compares(args[1], args[0], _ABOVE, graph) or _compares(args[0], args[1], _ABOVE, graph)
    return False


def _compares(condition: Any, value: Any, how: frozenset[str], graph: Graph) -> bool:
    """Whether the condition compares the value with zero, be it as a number."""
    if not (isinstance(condition, Ref) and isinstance(value, Ref)):
        return False
    node = graph.nodes[condition.index]
    while node.op in ("to", "_to_copy", "type_as") and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
    return node.op in how and node.args[0] == value and _is_zero(node.args[1], graph)


def _is_zero(argument: Any, graph: Graph) -> bool:
    if isinstance(argument, Ref):
        return graph.nodes[argument.index].op in _ZEROS
    return bool((argument == 0).all()) if isinstance(argument, Tensor) else argument == 0 and argument is not False


def _neither(graph: Graph) -> Sequence[Node]:
    """The nodes that the input flows into and that are neither rectifiers, nor linear, nor pick a maximum."""
    flows, derived = graph.reaching(0), graph.varying()
    found = []
    for node in graph.nodes[1:]:
        if not flows[node.index] or is_rectifier(node, graph) or adds_up(node, graph):
            continue
        chosen = node.op in _CHOICES and any(derived[i] and not flows[i] for i in node.inputs)
        product = node.op in ops.LINEAR and len(node.inputs) > 1
        if chosen or product or not (node.op in _LINEAR or _scales(node)):
            found.append(node)
    return found


def _scales(node: Node) -> bool:
    """Whether the node multiplies or divides its one input by a constant."""
    return node.op in ops.SCALING and len(list(references(node.args))) == 1 and (
        node.op != "div" or isinstance(node.args[0], Ref)
    )  # fmt: skip
