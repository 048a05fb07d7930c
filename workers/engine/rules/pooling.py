"""Maximum pooling by proportion: what a pool reads shares its relevance, not the winner alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import Node
from workers.engine.rules.rule import stabilise
from workers.engine.tape import Local

_AVERAGING: dict[str, Callable[..., Tensor]] = {
    "max_pool1d": torch.nn.functional.avg_pool1d,
    "max_pool2d": torch.nn.functional.avg_pool2d,
    "max_pool3d": torch.nn.functional.avg_pool3d,
    "adaptive_max_pool1d": torch.nn.functional.adaptive_avg_pool1d,
    "adaptive_max_pool2d": torch.nn.functional.adaptive_avg_pool2d,
    "adaptive_max_pool3d": torch.nn.functional.adaptive_avg_pool3d,
    "amax": torch.mean,
}


class Proportional:
    """R_j = sum over pools k of a_j / sum_j' a_j' R_k (S4 table 10.1: pooling as a layer of ones)."""

    def __init__(self, node: Node, epsilon: float) -> None:
        self.node = node
        self.epsilon = epsilon

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        if not isinstance(relevance, Tensor):
            relevance = relevance[0]
        leaf = local.leaves[0].detach().requires_grad_()
        with torch.enable_grad():
            z = _average(self.node, leaf)
        return [leaf.detach() * torch.autograd.grad(z, leaf, relevance / stabilise(z.detach(), self.epsilon))[0]]


def averages(node: Node) -> bool:
    """Whether the maximum over these windows has an average over the very same."""
    dilation = node.args[4] if len(node.args) > 4 and node.op.startswith("max_pool") else 1
    return _name(node) in _AVERAGING and set(dilation if isinstance(dilation, list | tuple) else [dilation]) == {1}


def _name(node: Node) -> str:
    return node.op.removesuffix("_with_indices")


def _average(node: Node, x: Tensor) -> Tensor:
    arguments = list(node.args[1:])
    if node.op.startswith("max_pool"):
        ceil = arguments[4:5]
        arguments = arguments[:3]
        if len(arguments) > 1 and not arguments[1]:  # an empty stride is the window's size
            arguments[1] = arguments[0]
        return _AVERAGING[_name(node)](x, *arguments, **({"ceil_mode": ceil[0]} if ceil else {}))
    return _AVERAGING[_name(node)](x, *arguments, **node.kwargs)
