"""Switched projections: in a piecewise linear net any unit is, around one input, x . w + b exactly (S0 proposition 1).

The switched weights w are the unit's gradient. The switched bias b is the sum of what the constants of the net put into
the unit, found on the same walk back: a bias times the gradient that reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Node, Ref, references
from workers.engine.graph.linearity import is_affine
from workers.engine.graph.rows import by_row
from workers.engine.graph.tape import Flow, Local
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.rules.backward import propagate
from workers.engine.rules.by_operation.passing import Gradient
from workers.engine.rules.matching import is_linear
from workers.explanation.errors import MethodNotApplicable, methods

_HOMOGENEOUS = (
    (ops.ROUTING - {"pad", "constant_pad_nd", "masked_fill", "where"})
    | ops.AVERAGING
    | ops.MAX_POOLING
    | {"relu", "leaky_relu", "prelu", "rrelu", "abs", "maximum", "minimum"}
)
_AFFINE = (
    ops.LINEAR
    | ops.ADDITION
    | ops.SCALING
    | ops.BATCH_NORM
    | {"pad", "constant_pad_nd", "masked_fill", "where", "relu6", "hardtanh", "hardsigmoid", "hardshrink", "softshrink"}
    | {"threshold", "clamp", "clamp_min", "clamp_max"}
)


@dataclass(frozen=True)
class Projection:
    """Of each row's unit: its activity v (n,), switched weights w shaped like the input, and switched bias b (n,)."""

    activity: Tensor
    weights: Tensor
    bias: Tensor

    @property
    def size(self) -> Tensor:
        """w . w, (n,)."""
        return by_row(self.weights.square())

    def offset(self) -> Tensor:
        """x - c, the input as the unit sees it from its centre c: v / (w . w) w; zero where w is."""
        scale = torch.where(self.size > 0, self.activity / self.size, 0.0)
        return self.weights * scale.view(-1, *[1] * (self.weights.dim() - 1))


def check(model: Model, to: int | None = None) -> None:
    """Raise MethodNotApplicable, naming the first node before `to`, or the targets, that is not linear by pieces."""
    graph = model.folded
    into, onward = graph.reaching(0), graph.leading(model.ends if to is None else [to])
    for node in graph.nodes[1:]:
        if into[node.index] and onward[node.index] and not (_piecewise_linear(node) or is_affine(node, graph)):
            raise MethodNotApplicable(
                f"{node.op} at {node.layer} is not piecewise linear, and a switched projection is exact only in nets "
                "that are",
                pointer="/method",
                instead=methods("gradient", "integrated_gradients"),
            )


def project(model: Model, batch: Batch) -> Projection:
    """The switched projection of each row's target."""
    scores, start = model.start(batch)
    rule, intercepts = Gradient(), _Intercepts(torch.zeros_like(scores))
    found = propagate(model.tape(batch), start, lambda _: rule, (0,), watch=intercepts.watch)
    return Projection(scores, found[0], intercepts.total)


def _piecewise_linear(node: Node) -> bool:
    if node.op in ops.LINEAR:
        return is_linear(node)
    if node.op in ops.SCALING:
        by_constant = len(list(references(node.args))) == 1
        return by_constant and (node.op != "div" or isinstance(node.args[0], Ref))
    return node.op in _HOMOGENEOUS or node.op in _AFFINE


class _Intercepts:
    """Watches a gradient's walk and sums, for every row, what constants put into the unit."""

    def __init__(self, total: Tensor) -> None:
        self.total = total

    def watch(self, local: Local, gradient: Flow, parts: Sequence[Tensor | None]) -> None:
        node = local.node
        if node.op in _HOMOGENEOUS or not isinstance(gradient, Tensor):
            return
        if node.op in ops.LINEAR:
            if len(node.args) > 2 and node.args[2] is not None:
                axis = gradient.dim() - 1 if node.op == "linear" else 1
                bias: Tensor = node.args[2]
                put_in = gradient * bias.view(-1, *[1] * (gradient.dim() - 1 - axis))
                self.total = self.total + by_row(put_in, node.rows)
            return
        reached = sum(
            by_row(leaf.detach() * part, rows)
            for leaf, part, rows in zip(local.leaves, parts, local.reads, strict=True)
            if part is not None
        )
        self.total = self.total + by_row(gradient * local.output.detach(), node.rows) - reached
