"""z+ (Montavon et al. 2017; S4 Table 10.1)."""

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


class ZPlusEntry(Entry):
    """z+: positive contributions only."""

    rule: Literal["z_plus"] = "z_plus"
    epsilon: Epsilon_ = EPSILON
    bias: bool = Field(default=True, description="Whether a positive bias takes its share, which is then lost.")

    def bind(self, node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return ZPlus(node, self.epsilon, self.bias)


class ZPlus(Linear):
    """R_j = sum_k (a_j w_jk)^+ / sum_j (a_j w_jk)^+ R_k, for inputs of either sign; a positive bias counts or not."""

    def __init__(self, node: Node, epsilon: float, bias: bool = True) -> None:
        super().__init__(node, epsilon)
        self.counts_bias = bias

    @property
    def bias(self) -> Tensor | None:
        return super().bias if self.counts_bias else None

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        terms = split_by_sign(local.leaves[0].detach(), self.plus, self.minus)
        return [self.share(terms, relevance, sign=1)]
