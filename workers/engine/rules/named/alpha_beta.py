"""LRP-alpha-beta (Bach et al. 2015; S4 Table 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.engine.rules.entry import EPSILON, Entry, Epsilon_
from workers.engine.rules.linear import Linear, split_by_sign

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.graph.graph import Graph, Node
    from workers.engine.graph.tape import Local
    from workers.engine.rules.rule import Rule


class AlphaBetaEntry(Entry):
    """LRP-alpha-beta: positive contributions weighted alpha, negative ones beta = alpha - 1."""

    rule: Literal["alpha_beta"] = "alpha_beta"
    alpha: float = Field(default=2.0, ge=1, le=100)
    epsilon: Epsilon_ = EPSILON

    def bind(self, node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return AlphaBeta(node, self.epsilon, self.alpha, self.alpha - 1)


class AlphaBeta(Linear):
    """R_j = sum_k (alpha (a_j w_jk)^+ / z_k^+  -  beta (a_j w_jk)^- / z_k^-) R_k, with alpha - beta = 1."""

    def __init__(self, node: Node, epsilon: float, alpha: float, beta: float) -> None:
        super().__init__(node, epsilon)
        self.alpha = alpha
        self.beta = beta

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        a = local.leaves[0].detach()
        towards = self.share(split_by_sign(a, self.plus, self.minus), relevance * self.alpha, sign=1)
        if not self.beta:
            return [towards]
        return [towards - self.share(split_by_sign(a, self.minus, self.plus), relevance * self.beta, sign=-1)]
