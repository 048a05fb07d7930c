"""DeepLIFT at work: which rule hands a multiplier through which node, and the walk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeAlias

from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, references
from workers.engine.graph.linearity import is_affine
from workers.engine.rules.backward import propagate
from workers.engine.rules.by_operation.passing import Gradient
from workers.engine.rules.rule import Rule
from workers.explanation.errors import ANY_FUNCTION, MethodNotApplicable
from workers.methods.gradient.deep_lift.baseline_pass import Contrast
from workers.methods.gradient.deep_lift.normalisation_rules import Attention, Softmax, Standardise, argument
from workers.methods.gradient.deep_lift.reveal_cancel import Linear, RevealCancel, Signs
from workers.methods.gradient.deep_lift.rules import (
    PRODUCTS,
    Halfway,
    Lifting,
    Loser,
    MaxPool,
    Quotient,
    Rectified,
    Rescale,
    Winner,
)

Mode: TypeAlias = Literal["gradient", "rescale", "reveal_cancel"]
ELEMENTWISE = ops.ACTIVATION | ops.ELEMENTWISE | frozenset(
    {"exp2", "log2", "log10", "tan", "asin", "acos", "sinh", "cosh", "erfc", "sign", "maximum", "minimum"}
)  # fmt: skip
SUMS = ops.ROUTING | ops.AVERAGING | ops.ADDITION | ops.BATCH_NORM | {"neg", "diff"}
SQUARES = frozenset({"square", "var"})
COMPARING: Mapping[str, type[Lifting]] = {
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), MaxPool),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices", "amax", "max", "maximum"), Winner),
    **dict.fromkeys(("scatter_reduce_amax", "index_reduce_amax"), Winner),
    **dict.fromkeys(("scatter_reduce_amin", "index_reduce_amin"), Loser),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"), Winner),
    **dict.fromkeys(("amin", "min", "minimum"), Loser),
}
NORMALISING: Mapping[str, type[Lifting]] = {
    **dict.fromkeys(("softmax", "log_softmax", "logsumexp"), Softmax),
    **dict.fromkeys(ops.NORMALISING, Standardise),
}


def assign(graph: Graph, ends: Collection[int]) -> dict[int, type[Lifting] | None]:
    """The rule of every node that a value flows through to one of `ends`, by index; None where the node is affine.

    Raises MethodNotApplicable for an operation that no rule fits, naming the node.
    """
    flows, varies, onward = graph.reaching(0), graph.varying(), graph.leading(ends)
    found: dict[int, type[Lifting] | None] = {}
    for node in graph.nodes[1:]:
        if not onward[node.index]:
            continue
        hidden = [graph.nodes[i] for i in node.inputs if varies[i] and not flows[i]]
        if hidden and (flows[node.index] or node.index in ends):
            raise _refused(node, f"its argument {hidden[0].layer} depends on the input by steps that have no slope")
        if flows[node.index]:
            found[node.index] = _kind(node, graph, flows)
    return found


def _kind(node: Node, graph: Graph, flows: Sequence[bool]) -> type[Lifting] | None:
    read = [i for i in references([*node.args, *node.kwargs.values()]) if flows[i]]
    only = len([i for i in node.inputs if graph.nodes[i].carries]) == 1
    if node.op in SUMS or (node.op in PRODUCTS and len(read) == 1):
        return None
    if node.op in PRODUCTS and (len(read) == 2 or node.op in ("addmm", "baddbmm", "addmv", "addcmul")):
        return Halfway
    if node.op in SQUARES:
        return Halfway
    if node.op == "div" and argument(node, "rounding_mode") is None:
        return None if list(references(node.args[0])) == read else Quotient
    if node.op in ELEMENTWISE and only and len(read) == 1:
        return Rectified if node.op == "relu" else Rescale
    if node.op == "scaled_dot_product_attention" and not any(flows[i] for i in references(_mask(node))):
        return Attention
    if node.op in COMPARING:
        return COMPARING[node.op]
    if node.op in NORMALISING and only:
        return NORMALISING[node.op]
    if is_affine(node, graph):
        return None
    raise _refused(node, f"no rule is known for {node.op}")


def _mask(node: Node) -> tuple[object, ...]:
    return (*node.args[3:], *node.kwargs.values())


def _refused(node: Node, why: str) -> MethodNotApplicable:
    return MethodNotApplicable(
        f"deep_lift cannot pass {node.layer} ({node.op}): {why}", pointer="/method", instead=ANY_FUNCTION
    )


def multipliers(contrast: Contrast, start: Mapping[int, Tensor], mode: Mode) -> Tensor:
    """The multipliers of the input, from those of the nodes in `start`."""
    gradient = Gradient()
    if mode == "gradient":
        return propagate(contrast.tape, start, lambda _: gradient)[0]
    kinds = assign(contrast.tape.graph, start)
    made: dict[type[Lifting] | None, Rule] = {kind: kind(contrast) for kind in set(kinds.values()) if kind is not None}
    made[None] = gradient
    if mode == "reveal_cancel":
        signs = Signs(contrast, {0, *kinds}, frozenset(i for i, kind in kinds.items() if kind is None))
        made |= {None: Linear(signs), Rescale: RevealCancel(signs), Rectified: RevealCancel(signs)}
    return propagate(contrast.tape, start, lambda local: made[kinds[local.node.index]])[0]
