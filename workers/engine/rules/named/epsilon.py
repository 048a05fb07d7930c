"""LRP-0 and LRP-epsilon: shares by contribution (Bach et al. 2015; S4 Table 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.engine.rules.entry import EPSILON, Entry, Epsilon_

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.graph.graph import Graph, Node
    from workers.engine.graph.rows import Rows
    from workers.engine.graph.tape import Local
    from workers.engine.rules.rule import Rule


class ZeroEntry(Entry):
    """LRP-0: in proportion to the contributions, unstabilised; what a node of value zero is given it absorbs."""

    rule: Literal["zero"] = "zero"

    @property
    def epsilon(self) -> float:
        return 0.0

    def bind(self, _node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return Zero()


class EpsilonEntry(Entry):
    """LRP-epsilon: absolute, or `std` standard deviations of the node's output."""

    rule: Literal["epsilon"] = "epsilon"
    epsilon: Epsilon_ = EPSILON
    std: float = Field(default=0.0, ge=0, le=100)

    @property
    def spread(self) -> float:
        return self.std

    def bind(self, _node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return Epsilon(self.epsilon, self.std)


class Epsilon:
    """R_j = sum_k a_j w_jk / (z_k + eps sign z_k) R_k; eps absolute, or in standard deviations of z per sample.

    Needs no second forward: z is the node's own output. Serves every node that is linear or
    affine in its inputs, so sums and averages too, which it splits by contribution.
    """

    def __init__(self, epsilon: float, std: float = 0.0) -> None:
        self.epsilon = epsilon
        self.std = std

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        from workers.engine.rules.rule import quotient

        z: Tensor = local.output.detach()
        epsilon: float | Tensor = self.epsilon
        if self.std:
            epsilon = self.epsilon + self.std * _spread(z, local.node.rows)
        shares = local.vjp(quotient(relevance, z, epsilon))
        if len(shares) == 1 and shares[0] is not None and _fills(shares[0]):
            return [shares[0].mul_(local.leaves[0].detach())]  # nobody else's memory: of one leaf alone
        return [
            None if share is None else leaf.detach() * share for leaf, share in zip(local.leaves, shares, strict=True)
        ]


class Zero(Epsilon):
    """LRP-0: R_j = sum_k a_j w_jk / z_k R_k; where z_k is zero, R_k is absorbed."""

    def __init__(self) -> None:
        super().__init__(0.0)


def _fills(value: Tensor) -> bool:
    """Whether each place of its memory is one value's, in either order of axes that the engine has."""
    import torch

    return value.is_contiguous() or (value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last))


def by_contribution(entry: Entry) -> Rule:
    """In proportion to the contributions, which is every signed rule's share where all weights have one sign."""
    return Epsilon(entry.epsilon, entry.spread) if entry.epsilon or entry.spread else Zero()


def _spread(z: Tensor, rows: Rows) -> Tensor:
    """The standard deviation of z over what belongs to each row, shaped like it."""
    parts = rows.split(z)
    if parts.dim() < 2:
        return z.new_zeros(z.shape)
    spread = parts.std(tuple(range(1, parts.dim())), correction=0, keepdim=True)
    return rows.join(spread.expand_as(parts))
