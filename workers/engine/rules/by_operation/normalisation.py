"""Rules for normalisation by statistics of the input itself, whose size is held constant (Ali et al. 2022, LN rule)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Node
from workers.engine.graph.tape import Local
from workers.engine.rules.by_operation.passing import Pass
from workers.engine.rules.named.epsilon import Epsilon, Zero
from workers.engine.rules.rule import Rule, stabilise
from workers.engine.rules.weightless import Weightless, serves


@serves(ops.NORMALISING - {"rms_norm"})
def normalised(of: Weightless) -> Rule | None:
    """Of one value of the input; a norm by stored statistics is affine."""
    node, epsilon = of.node, of.entry.epsilon
    if len(node.inputs) != 1:
        return None
    if of.entry.alike(node, of.sources) is not None:
        return Pass()
    stored = node.op == "instance_norm" and not node.args[5]
    affine = Epsilon(epsilon) if epsilon else Zero()
    return affine if stored else Normalise(node, epsilon)


@serves({"log_softmax"})
def shifted(of: Weightless) -> Rule:
    """The logarithm of the sum is held constant."""
    return Shifted(of.entry.epsilon)


class Normalise:
    """y = w (x - mean) / size + b, the size held constant: linear in x, relevance by contribution, b absorbs.

    For layer, group and instance norm. With x - mean alone relevance is conserved within each group of values.
    """

    def __init__(self, node: Node, epsilon: float) -> None:
        self.node = node
        self.epsilon = epsilon

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        x = local.leaves[0].detach()
        grouped, weight, small = _parts(self.node, x)
        part = relevance / stabilise(local.output.detach(), self.epsilon)
        part = (part if weight is None else part * weight).reshape(grouped.shape)
        part = part * torch.rsqrt(grouped.var(-1, correction=0, keepdim=True) + small)
        return [(grouped * (part - part.mean(-1, keepdim=True))).reshape(x.shape), *[None] * (len(local.leaves) - 1)]


class Shifted:
    """y = x - c with c held constant, as in a log-softmax: R x / y."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        return [local.leaves[0].detach() * (relevance / stabilise(local.output.detach(), self.epsilon))]


def _parts(node: Node, x: Tensor) -> tuple[Tensor, Tensor | None, float]:
    """x with each group of values that is normalised together in the last axis, the weight per value, the epsilon."""
    if node.op == "layer_norm":
        axes = len(node.args[1])
        weight, small = _argument(node, 2), _argument(node, 4, 1e-5)
        return x.flatten(-axes), weight, small
    channels = [1, -1, *[1] * (x.dim() - 2)]
    if node.op == "group_norm":
        groups, weight, small = node.args[1], _argument(node, 2), _argument(node, 4, 1e-5)
        return x.reshape(len(x), groups, -1), None if weight is None else weight.view(channels), small
    weight, small = _argument(node, 1), node.args[7]
    return x.flatten(2), None if weight is None else weight.view(channels), small


def _argument(node: Node, position: int, default: Tensor | float | None = None) -> Any:
    return node.args[position] if len(node.args) > position else default
