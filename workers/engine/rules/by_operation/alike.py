"""Every value that a node without weights of its own reads counts alike: sums, averages, and pools of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Node
from workers.engine.graph.tape import Local
from workers.engine.rules.by_operation import pooling
from workers.engine.rules.by_operation.passing import Pass
from workers.engine.rules.named.epsilon import by_contribution
from workers.engine.rules.rule import Rule, fit, stabilise
from workers.engine.rules.weightless import Weightless, serves


class Flat:
    """R_j = sum_k 1 / (number of values that k sums, averages or pools) R_k; of summands, those from the input.

    Interpolation shares by its own weights.
    """

    def __init__(self, node: Node, epsilon: float, carriers: Sequence[int]) -> None:
        self.node = node
        self.epsilon = epsilon
        self.carriers = tuple(carriers)

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        relevance = pooling.of_values(relevance)
        if self.node.op not in ops.AVERAGING and not (pooling.pools(self.node) and len(local.leaves) == 1):
            part = relevance / len(self.carriers)
            return [
                fit(part, leaf) if i in self.carriers else None
                for i, leaf in zip(local.inputs, local.leaves, strict=True)
            ]
        leaf = torch.ones_like(local.leaves[0]).requires_grad_()
        with torch.enable_grad():
            z = pooling.sums(self.node, leaf) if pooling.pools(self.node) else self.node.run({local.inputs[0]: leaf})
        return [torch.autograd.grad(z, leaf, relevance / stabilise(z.detach(), self.epsilon))[0]]


class WSquare(Flat):
    """R_j = sum_k w_jk^2 / sum_j w_jk^2 R_k, which is Flat where all weights are the same."""


@serves(ops.AVERAGING | ops.ADDITION | ops.BATCH_NORM)
def summed(of: Weightless) -> Rule:
    """By contribution, or all values alike where the entry says so; a batch norm has then one value of each unit."""
    alike = of.entry.alike(of.node, of.sources)
    if alike is None:
        return by_contribution(of.entry)
    return Pass() if of.node.op in ops.BATCH_NORM else alike
