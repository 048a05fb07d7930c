"""What signals do at rectifiers in the methods that treat them specially, and which nets consist of rectifiers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from workers.engine import ops
from workers.engine.graph import Graph, Node, Ref, references
from workers.engine.rules.rule import Gradient, Rule, fit
from workers.engine.tape import Local
from workers.errors import MethodNotApplicable

_BOUNDED = {"hardtanh": "min_val", "clamp": "min", "clamp_min": "min"}
_CHOICES = frozenset({"where", "masked_fill", "index", "index_select", "gather", "take_along_dim"})
_LINEAR = ops.LINEAR | ops.BATCH_NORM | ops.AVERAGING | ops.ADDITION | ops.ROUTING | ops.MAX_POOLING


class Guided:
    """A positive signal passes where the neuron is active, no other passes anywhere (S2 A.2.2)."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        return local.vjp(relevance.clamp(min=0))


class Deconv:
    """A positive signal passes, whether the neuron is active or not (S2 A.2.1)."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        return [fit(relevance.clamp(min=0), leaf) for leaf in local.leaves]


def rectified(graph: Graph, rectifier: Rule, method: str) -> dict[int, Rule]:
    """By node, `rectifier` where the node is one and the gradient where it is linear or picks a maximum.

    A rectifier is a ReLU, or one cut off above (ReLU6, clamp or hardtanh from 0). Raises MethodNotApplicable, naming
    the node, for any other: what a signal does there the method does not define.
    """
    flows, derived, gradient = graph.reaching(0), _derived(graph), Gradient()
    found: dict[int, Rule] = {}
    for node in graph.nodes[1:]:
        if not flows[node.index]:
            continue
        chosen = node.op in _CHOICES and any(derived[i] and not flows[i] for i in node.inputs)
        product = node.op in ops.LINEAR and len(node.inputs) > 1
        if not is_rectifier(node) and (chosen or product or not (node.op in _LINEAR or _scales(node))):
            raise MethodNotApplicable(
                f"{method} is defined for rectifiers (ReLU) and linear layers; {node.layer} ({node.op}) is neither. "
                "gradient, integrated_gradients and occlusion need only the function and work here",
                pointer="/method",
            )
        found[node.index] = rectifier if is_rectifier(node) else gradient
    return found


def is_rectifier(node: Node) -> bool:
    """Whether the node is zero for negative values and the identity for small positive ones."""
    if node.op in ("relu", "relu6"):
        return True
    if node.op not in _BOUNDED:
        return False
    low = node.args[1] if len(node.args) > 1 else node.kwargs.get(_BOUNDED[node.op])
    return isinstance(low, int | float) and low == 0


def _scales(node: Node) -> bool:
    """Whether the node multiplies or divides its one input by a constant."""
    return node.op in ops.SCALING and len(list(references(node.args))) == 1 and (
        node.op != "div" or isinstance(node.args[0], Ref)
    )  # fmt: skip


def _derived(graph: Graph) -> list[bool]:
    """For each node, whether it is computed from the input in any way, conditions included."""
    found = [True] + [False] * (len(graph.nodes) - 1)
    for node in graph.nodes[1:]:
        found[node.index] = any(found[i] for i in node.inputs)
    return found
