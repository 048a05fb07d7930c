"""Adjoints in a call or two, of nodes that most of a graph is made of: autograd takes ten times as long to be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from workers.engine.graph.graph import Node, Ref

Adjoint: TypeAlias = Callable[[Node, Sequence[Tensor], Tensor], tuple[Tensor, ...] | None]


def adjoint(node: Node, leaves: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...] | None:
    """`weights` (shaped like the output) times the node's Jacobian, for each leaf; None where none is known here."""
    known = ADJOINTS.get(node.op)
    if known is None or node.kwargs or any(leaf.dtype != weights.dtype for leaf in leaves):
        return None
    return known(node, leaves, weights)


def _linear(node: Node, leaves: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...] | None:
    given, weight, *bias = node.args
    fixed = isinstance(weight, Tensor) and not any(isinstance(one, Ref) for one in bias)
    alone = len(leaves) == 1 and isinstance(given, Ref)
    return (weights.matmul(weight),) if alone and fixed else None


def _reshaped(_: Node, leaves: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...] | None:
    return (weights.reshape(leaves[0].shape),) if len(leaves) == 1 else None


def _transposed(node: Node, leaves: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...] | None:
    return (weights.transpose(node.args[1], node.args[2]),) if len(leaves) == 1 else None


def _sum(node: Node, leaves: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...] | None:
    plain = len(node.args) == 2 and all(isinstance(one, Ref) for one in node.args)
    whole = len(leaves) == 2 and all(leaf.shape == weights.shape for leaf in leaves)
    return (weights, weights) if plain and whole else None


ADJOINTS: Mapping[str, Adjoint] = {
    "linear": _linear,
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten", "unsqueeze", "squeeze"), _reshaped),
    "transpose": _transposed,
    "add": _sum,
}
